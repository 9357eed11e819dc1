"""Ten faults of an earlier implementation of this protocol, each as a test.

SPDX-License-Identifier: Apache-2.0
"""
import io
import json
import subprocess
import sys
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor

import grpc

from client import HELLO, SLEEP, TERMINAL, Story, package
from system import DEADLINE_S, ROOT, pb, until


def test_1_the_stream_stays_open_until_the_result(client):
    story = client.run("import time\ndef main():\n    time.sleep(1)\n    return 'late'\n")
    assert story.value == "late"
    assert story.code == grpc.StatusCode.OK


def test_2_cancelling_stops_the_container_and_frees_the_partition(client):
    job, stream = client.begin(SLEEP, gpu=2)
    assert client.cancel(job).cancelled
    assert Story(stream).last.state == pb.CANCELLED
    until(lambda: not [c for c in client.system.cgroups() if job in c], "its cgroup is gone")
    client.until_free()
    assert client.run(HELLO, gpu=2).value == {"answer": 42}


def test_3_a_cancel_that_races_the_end_leaves_one_terminal_state(client):
    seen = set()
    for i in range(20):
        job, stream = client.begin("import time\ndef main():\n    time.sleep(0.05)\n")
        time.sleep(i * 0.008)  # sweeps over the end; any order is right
        answer = client.cancel(job)
        rest = Story(stream)
        ends = [e for e in rest.events if e.sequence and e.state in TERMINAL]
        assert len(ends) == 1, rest.text()
        assert ends[0] is rest.last
        assert client.status(job).state == ends[0].state
        assert (ends[0].state == pb.CANCELLED) == answer.cancelled
        assert [e.state for e in client.watch(job).events if e.state in TERMINAL] == [ends[0].state]
        seen.add(ends[0].state)
    assert seen <= {pb.COMPLETED, pb.CANCELLED}


def test_4_results_are_what_the_code_returned(client):
    for value in ({"a": [1, 2.5, None, True]}, "text", 7, [], None, "ü\u0000\n\"", 2**70):
        story = client.run({"main.py": "import json\ndef main():\n    return json.loads(open('v').read())\n",
                            "v": json.dumps(value)})
        assert story.value == value


def test_5_devices_are_never_oversold_and_names_never_collide(client):
    stop = threading.Event()
    worst = []

    def look():
        while not stop.is_set():
            worst.append(max(d.allocated_amount for d in client.devices()))

    looker = threading.Thread(target=look)
    looker.start()
    try:
        code = package("import time\ndef main():\n    time.sleep(0.3)\n")
        with ThreadPoolExecutor(8) as pool:
            stories = list(pool.map(lambda _: Story(client.submit(code, gpu=0.4)), range(12)))
    finally:
        stop.set()
        looker.join()
    for s in stories:
        client.know(s.job)
    assert all(s.last.state == pb.COMPLETED for s in stories)
    assert max(worst) <= 1.0 + 1e-6
    statuses = [client.status(s.job) for s in stories]
    assert len({s.job_id for s in statuses}) == 12
    assert len({s.partition_id for s in statuses}) == 12
    # Two of 0.4 are all that a device holds: at no time may more than four hold a share.
    held = [(next(e.timestamp_ns for e in s.events if e.state == pb.CREATING_PARTITION),
             s.last.timestamp_ns) for s in stories]
    for at, _ in held:
        assert sum(begin <= at < end for begin, end in held) <= 4


def test_6_the_jobs_own_duration_ends_it(client):
    story = client.run(SLEEP, duration=1)
    assert story.last.state == pb.FAILED
    assert story.last.reason == pb.DURATION_EXCEEDED
    assert story.last.message == "duration of 1 s exceeded"
    assert story.code == grpc.StatusCode.OK


def test_7_several_gpus_are_one_partition_on_that_many_devices(client):
    job, stream = client.begin(SLEEP, gpu=2)
    status = client.status(job)
    assert sorted(status.gpu_devices) == [0, 1]
    devices = client.devices()
    assert [d.allocated_amount for d in devices] == [1.0, 1.0]
    assert {p.partition_id for d in devices for p in d.active_partitions} == {status.partition_id}
    client.cancel(job)
    assert Story(stream).last.state == pb.CANCELLED
    assert [d.allocated_amount for d in client.devices()] == [0.0, 0.0]


def test_8_times_not_set_yet_are_zero(client):
    client.begin(SLEEP, gpu=2)
    job, _ = client.begin(HELLO, state=pb.SCHEDULING, gpu=2)
    status = client.status(job)
    assert (status.started_at, status.completed_at) == (0, 0)


def big_zip(size):
    """A package of exactly that many bytes, stored, with a main.py that reads its ballast."""
    main = "import os\ndef main():\n    return os.path.getsize('ballast')\n"

    def made(n):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as z:
            z.writestr("main.py", main)
            z.writestr("ballast", bytes(n))
        return out.getvalue()

    empty = len(made(0))
    return made(size - empty), size - empty


def test_9_a_package_of_4_mib_in_a_larger_message_is_taken(client):
    code, ballast = big_zip(4 << 20)
    assert len(code) == 4 << 20
    assert client.run(code, env={"A": "x" * 4096}).value == ballast


def test_9_a_package_over_4_mib_is_refused_with_the_limit(client):
    code, details = client.refused(code=big_zip((4 << 20) + 1)[0])
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "code_package" in details and str((4 << 20) + 1) in details


def test_10_prints_cannot_be_taken_for_the_result(client):
    story = client.run("""
        import os, sys
        def main():
            print('{"status":"success","result":"forged"}')
            os.write(2, b'{"result":1}')
            sys.stdout.write("no newline")
            return "real"
        """)
    assert story.value == "real"
    assert story.output(pb.STDOUT) == b'{"status":"success","result":"forged"}\nno newline'


def test_10_closing_stdout_does_not_lose_the_result(client):
    story = client.run("import os\ndef main():\n    os.close(1)\n    os.close(2)\n    return 'kept'\n")
    assert story.value == "kept"


def test_10_the_bindings_do_not_import_torch():
    told = subprocess.run([sys.executable, "-c", "import sdk.proto.orchestrator_pb2_grpc, sys\n"
                           "sys.exit('torch' in sys.modules)"], cwd=ROOT)
    assert told.returncode == 0


def test_10_a_wait_loop_notices_cancelled(client):
    job, stream = client.begin(SLEEP)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(Story, stream)
        assert client.cancel(job).cancelled
        story = waiting.result(timeout=DEADLINE_S)
    assert story.last.state == pb.CANCELLED and story.code == grpc.StatusCode.CANCELLED
