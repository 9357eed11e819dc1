"""bench.py - what an idle watcher costs in memory, beside a stream of libgrpc.

SPDX-License-Identifier: Apache-2.0
"""
import contextlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness import QUICK, Bench, Missing  # noqa: E402
import ours  # noqa: E402
import servers  # noqa: E402

WATCHERS = 2_000 if QUICK else 10_000
ON_A_CONNECTION = 100  # cumulusd allows 128


@contextlib.contextmanager
def watching(port, job, count, connections):
    """So many watchers, all of which have had their first event and wait for the next."""
    process = subprocess.Popen(
        [ours.LOAD, "watch", f"127.0.0.1:{port}", job, str(count), str(connections)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        told = process.stdout.readline()
        if not told:
            raise Missing("not every watcher was served")
        assert json.loads(told)["count"] == count
        yield
    finally:
        process.communicate()


def bytes_each(port, pid, job):
    """(bytes of a watcher with its share of a connection, bytes of a watcher alone)."""
    connections = WATCHERS // ON_A_CONNECTION
    before = ours.memory_bytes(pid)
    with watching(port, job, connections, connections):
        one_each = ours.memory_bytes(pid)
    with watching(port, job, WATCHERS, connections):
        all_of_them = ours.memory_bytes(pid)
    return ((all_of_them - before) / WATCHERS,
            (all_of_them - one_each) / (WATCHERS - connections))


def main():
    bench = Bench("streams", f"{WATCHERS} watchers of a job that does nothing, "
                             f"{ON_A_CONNECTION} on a connection")
    whole = bench.row("memory of an idle watcher, its share of the connection in it", "B", 2048,
                      less_is_better=True)
    alone = bench.row("memory of an idle watcher alone", "B", 2048, less_is_better=True)
    for _ in bench.rounds(3):
        # A process that has had as many before keeps memory that it does not use: a new one.
        with ours.system() as (system, client), tempfile.NamedTemporaryFile() as answer:
            job = ours.hold(client, 1)
            answer.write(servers.framed(ours.pb.JobEvent(job_id=job, sequence=1).SerializeToString()))
            answer.flush()
            for row, value in zip((whole, alone), bytes_each(system.port, system.process.pid, job)):
                row.ours.append(value)
            try:
                with servers.serving(servers.cpp(), answer.name) as (port, pid):
                    for row, value in zip((whole, alone), bytes_each(port, pid, job)):
                        row.beside("gRPC C++", value)
            except Missing as why:
                whole.missing["gRPC C++"] = alone.missing["gRPC C++"] = str(why)
    bench.report()


main()
