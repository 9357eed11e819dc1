"""Streams are cursors: everybody hears the same story, and who lags costs nothing.

SPDX-License-Identifier: Apache-2.0
"""
import threading

from client import Client
from raw import Connection, read_all
from system import DEADLINE_S, pb
from test_additive_part import CHATTY, tokens

WATCHERS = 1000
PER_CONNECTION = 100  # cumulusd takes 128
MIB = 1 << 20

# What it writes: 24 MiB in three rounds, each ended by a mark.
ROUNDS = """
    import sys, time
    def main():
        line = "x" * 1023 + "\\n"
        for n in range(3):
            for _ in range(8 * 1024):
                sys.stdout.write(line)
            sys.stdout.flush()
            print("mark", n, file=sys.stderr, flush=True)
            time.sleep(2)
        return "done"
    """


def connect(system, count, **more):
    return [Connection(system.address, **more) for _ in range(count)]


def close(connections):
    for c in connections:
        c.close()


def resident(system):
    """Bytes of memory that cumulusd has now."""
    with open(f"/proc/{system.process.pid}/status") as f:
        return next(int(line.split()[1]) << 10 for line in f if line.startswith("VmRSS"))


def points(events):
    """Where a watcher who knows events[:i] goes on, and what it misses then."""
    sequence, offset = 0, 0
    yield 0, 0, tokens(events)
    for i, event in enumerate(events):
        sequence = event.sequence or sequence
        if event.HasField("output"):
            offset = event.output.next_offset
        yield sequence, offset, tokens(events[i + 1:])


def story(events):
    """The same as tokens(), for much output: runs of one stream between state events."""
    told = []
    for e in events:
        if e.sequence:
            told.append((e.sequence, e.state, e.message, e.result, e.reason))
        elif e.HasField("output"):
            if told and told[-1][0] == "output" and told[-1][1] == e.output.stream:
                told[-1][2].append(e.output.data)
            else:
                told.append(("output", e.output.stream, [e.output.data]))
    return [(*t[:2], b"".join(t[2])) if t[0] == "output" else t for t in told]


def test_a_thousand_watchers_early_late_and_resuming_hear_the_same(client):
    job, stream = client.begin(CHATTY)
    early = connect(client.system, 4)
    for c in early:
        for _ in range(PER_CONNECTION):
            c.watch(job)
    # One who tells everybody's resuming points; half of them are taken up while it runs.
    told, resumed, asked = [], connect(client.system, 3), []
    for event in client.stub.WatchJob(pb.WatchJobRequest(job_id=job), timeout=DEADLINE_S):
        told.append(event)
        if len(told) % 2 and len(asked) < 30:
            sequence, offset, _ = list(points(told))[-1]
            c = resumed[len(asked) % 3]
            asked.append((c, c.watch(job, sequence, offset), len(told)))
    assert told[-1].state == pb.COMPLETED
    late = connect(client.system, 3)
    goals = list(points(told))
    followers = [(c, c.watch(job, *goals[i % len(goals)][:2]), i % len(goals))
                 for c in late for i in range(PER_CONNECTION)]
    for c in resumed:  # up to a thousand with those who came before it ended
        while len(c.events) < PER_CONNECTION:
            i = len(c.events) % len(goals)
            followers.append((c, c.watch(job, *goals[i][:2]), i))
    everybody = early + resumed + late
    read_all(everybody)

    assert sum(len(c.events) for c in everybody) == WATCHERS
    whole = tokens(told)
    for c in early:
        assert all(tokens(events) == whole for events in c.events.values())
    for c, stream, known in asked + followers:
        assert tokens(c.events[stream]) == goals[known][2], known
    close(everybody)


def test_a_thousand_watchers_who_do_not_read_cost_no_memory_by_their_lag(new_system):
    system = new_system()
    client = Client(system)
    client.until_ready()
    job, stream = client.begin(ROUNDS)
    slow = Connection(system.address, receive_buffer=4096)
    slow_stream = slow.watch(job)
    stop = threading.Event()

    def a_byte_a_second():
        while not stop.wait(1):
            slow.read(1)

    reader = threading.Thread(target=a_byte_a_second)
    reader.start()
    lagging = connect(system, WATCHERS // PER_CONNECTION, receive_buffer=4096)
    before = resident(system)
    sizes, told = [], []
    for event in client.stub.WatchJob(pb.WatchJobRequest(job_id=job), timeout=DEADLINE_S):
        told.append(event)
        if event.output.stream == pb.STDERR and event.output.data.startswith(b"mark"):
            if not sizes:
                for c in lagging:
                    for _ in range(PER_CONNECTION):
                        c.watch(job)
            # An answered question: what came before it has been worked at.
            client.health()
            sizes.append(resident(system))
    sizes.append(resident(system))
    stop.set()
    reader.join()
    assert told[-1].state == pb.COMPLETED

    # 24 MiB behind, each of them: one message and little else, however far.
    assert sizes[-1] - before < 96 * MIB, sizes
    assert sizes[-1] - sizes[1] < 24 * MIB, sizes
    close(lagging)

    # The slow one has missed nothing, it only comes late.
    read_all([slow])
    assert story(slow.events[slow_stream]) == story(told)
    close([slow])
    client.close()
