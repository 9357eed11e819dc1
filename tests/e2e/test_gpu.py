"""A job is held to its share of a device: memory, time and the end.  Real containers, and
the processor as a real OpenCL device (PoCL).

SPDX-License-Identifier: Apache-2.0
"""
import os
import re
import signal
import time
from pathlib import Path

import pytest

from cli import Cli
from client import TERMINAL, Story, zip_of
from shares import arbiter_of, client_of, process_of
from system import pb, until
from test_operations import Operated

OCL = (Path(__file__).parent / "ocl.py").read_text()


def job(main):
    """A package with ocl.py in it."""
    return zip_of({"main.py": main, "ocl.py": OCL})


@pytest.fixture
def gpu(new_system, monkeypatch, tmp_path):
    """A client of a system whose device is the processor, with books of its own."""
    monkeypatch.setenv("CUMULUS_CHRONOS_DIR", str(tmp_path / "chronos"))
    with client_of(new_system(devices="opencl-cpu"), tmp_path / "chronos") as client:
        yield client


FILL = """
    import ocl
    def main():
        return ocl.Device().fill()
    """


def quota(client, share):
    """The bytes of a share, as the device says what it has."""
    whole = client.run(job("""
        import ocl
        def main():
            return ocl.Device().memory()
        """), gpu=1).value
    return whole * round(share * 100) // 100


def test_a_job_over_its_memory_gets_opencls_own_error_at_that_byte(gpu):
    bytes_of_share = quota(gpu, 0.3)
    had, error = gpu.run(job(FILL), gpu=0.3).value
    assert had == bytes_of_share
    assert error == -4  # CL_MEM_OBJECT_ALLOCATION_FAILURE


def test_a_job_is_shown_its_share_as_the_devices_memory(gpu):
    seen = gpu.run(job("""
        import ocl
        def main():
            return ocl.Device().memory()
        """), gpu=0.3).value
    assert seen == quota(gpu, 0.3)


def test_a_job_that_unsets_the_variables_is_held_all_the_same(gpu):
    had, error = gpu.run(job("""
        import json, os, subprocess, sys
        import ocl
        def main():
            for name in ("OPENCL_LAYERS", "CHRONOS_PARTITION", "CHRONOS_DIR", "CHRONOS_DEVICE"):
                os.environ.pop(name)
            child = subprocess.run(
                [sys.executable, "-c", "import ocl; print(*ocl.Device().fill())"],
                env={"OPENCL_LAYERS": "", "CHRONOS_PARTITION": "p-00000000"},
                capture_output=True, text=True, check=True)
            print(child.stderr)
            return [int(word) for word in child.stdout.split()]
        """), gpu=0.3).value
    assert had == quota(gpu, 0.3)
    assert error == -4


def test_the_users_variables_cannot_name_another_partition(gpu):
    story = gpu.run(job("""
        import os
        import ocl
        def main():
            names = [n for n in os.environ if n.startswith(("LD_", "OCL_"))]
            return [names, os.environ["CHRONOS_PARTITION"], ocl.Device().fill()[0]]
        """), gpu=0.3, env={"OPENCL_LAYERS": "/nonexistent", "CHRONOS_PARTITION": "p-1",
                            "LD_PRELOAD": "/nonexistent.so", "OCL_ICD_VENDORS": "/tmp"})
    names, partition, had = story.value
    assert names == []
    assert partition == gpu.status(story.job).partition_id
    assert had == quota(gpu, 0.3)


def test_all_processes_of_a_job_share_its_memory(gpu):
    first, second = gpu.run(job("""
        import subprocess, sys
        import ocl
        def main():
            mine, _ = ocl.Device().fill(limit=256 << 20)
            child = subprocess.run(
                [sys.executable, "-c", "import ocl; print(ocl.Device().fill()[0])"],
                capture_output=True, text=True, check=True)
            return [mine, int(child.stdout)]
        """), gpu=0.3).value
    assert first == 256 << 20
    assert first + second == quota(gpu, 0.3)


SPIN = """
    import sys, time
    import ocl
    def main():
        spinner = ocl.Spinner(ocl.Device())
        print("spinning", flush=True)
        end = time.monotonic() + float(sys.argv[1])
        while time.monotonic() < end:
            code = spinner.spin()
            if code:
                return code
        return 0
    """


def test_two_jobs_get_the_devices_time_by_their_shares(gpu):
    small, one = gpu.begin(job(SPIN), gpu=0.3, args=["8"])
    large, two = gpu.begin(job(SPIN), gpu=0.7, args=["8"])
    until(lambda: all(p.time_share > 0 for d in gpu.devices() for p in d.active_partitions),
          "both are seen to use the device")
    for call in (one, two):
        assert Story(call).value == 0
    had = {job: gpu.status(job).gpu_usage.time_ns for job in (small, large)}
    assert 1.5 < had[large] / had[small] < 3.6, had  # 2.33


def test_past_its_end_a_job_launches_nothing_more(gpu):
    story = gpu.run(job("""
        import signal, time
        import ocl
        def main():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            device = ocl.Device()
            spinner = ocl.Spinner(device)
            while (code := spinner.spin()) == 0:
                pass
            print("launch", code, "allocation", device.allocate(4096)[1], flush=True)
            time.sleep(60)
        """), gpu=0.5, duration=15)
    assert b"launch -59 allocation -59" in story.output(), story.text()  # CL_INVALID_OPERATION
    assert story.last.reason == pb.DURATION_EXCEEDED


def test_a_job_sees_its_own_partition_and_can_write_no_device(gpu):
    other, _ = gpu.begin(job(SPIN), gpu=0.3, args=["600"])
    story = gpu.run(job("""
        import os
        def main():
            refused = []
            for name in sorted(os.listdir("/run/chronos")):
                for flags in (os.O_RDONLY, os.O_RDWR):
                    try:
                        os.close(os.open("/run/chronos/" + name, flags))
                    except OSError:
                        refused.append(name)
            return [sorted(os.listdir("/run/chronos")), refused]
        """), gpu=0.3)
    names, refused = story.value
    own = "partition-" + gpu.status(story.job).partition_id
    assert names == ["device-0", "environment", own]
    assert refused == ["device-0", "environment"]
    gpu.cancel(other)


def test_a_job_that_spoils_its_partitions_file_hurts_nobody_else(gpu):
    vandal, vandals = gpu.begin(job("""
        import os, time
        def main():
            name = next(n for n in os.listdir("/run/chronos") if n.startswith("partition-"))
            fd = os.open("/run/chronos/" + name, os.O_RDWR)
            size = os.fstat(fd).st_size
            print("spoiling", flush=True)
            end = time.monotonic() + 6
            while time.monotonic() < end:
                os.pwrite(fd, os.urandom(size), 0)
                try:
                    os.ftruncate(fd, 0)
                    os.ftruncate(fd, size)
                except OSError:
                    pass
        """), gpu=0.3)
    had, error = gpu.run(job(FILL), gpu=0.3).value
    assert had == quota(gpu, 0.3) and error == -4
    assert gpu.run(job(SPIN), gpu=0.3, args=["2"]).value == 0
    assert [e.state for e in vandals][-1] in TERMINAL
    assert gpu.health().status == "healthy"
    assert "worker" not in [line for line in gpu.system.log_text() if "died" in line]
    gpu.until_free()


def test_what_a_killed_runner_held_comes_back(gpu):
    name, call = gpu.begin(job(SPIN), gpu=0.9, args=["600"])
    os.kill(until(lambda: process_of(gpu.system, "cumulus-runner"),
                  "the runner"), signal.SIGKILL)
    assert gpu.until_terminal(name).reason == pb.RUNNER_LOST
    gpu.until_free()
    had, _ = gpu.run(job(FILL), gpu=0.9).value
    assert had == quota(gpu, 0.9)


def test_jobs_go_on_when_the_arbiter_is_killed(gpu):
    until(lambda: gpu.devices()[0].enforcement == "arbitrated", "an arbiter serves")
    name, call = gpu.begin(job(SPIN), gpu=0.5, args=["8"])
    until(lambda: gpu.status(name).gpu_usage.time_ns, "the job has had a turn")
    first = arbiter_of(gpu)
    os.kill(first, signal.SIGKILL)
    assert until(lambda: (a := arbiter_of(gpu)) != first and a, "another arbiter")
    assert Story(call).value == 0
    assert gpu.run(job(SPIN), gpu=0.5, args=["1"]).value == 0


def test_the_arbiter_outlives_the_worker_and_is_found_by_the_next(gpu):
    name, call = gpu.begin(job(SPIN), gpu=0.5, args=["8"])
    first, arbiter = process_of(gpu.system, "cumulus-worker"), arbiter_of(gpu)
    os.kill(first, signal.SIGKILL)
    until(lambda: (w := process_of(gpu.system, "cumulus-worker")) != first and w, "another worker")
    assert Story(call).value == 0
    assert arbiter_of(gpu) == arbiter
    until(lambda: gpu.devices()[0].enforcement == "arbitrated", "it is found")
    gpu.until_free()


def test_turns_that_end_with_work_in_flight_are_shown_counted_and_kept(gpu, tmp_path):
    name, call = gpu.begin(job("""
        import ocl
        def main():
            spinner = ocl.Spinner(ocl.Device(), rounds=1_000_000)
            return [spinner.spin() for _ in range(3)]
        """), gpu=0.3, duration=300)
    now = until(lambda: (s := gpu.status(name)).gpu_usage.overruns and s.gpu_usage, "an overrun")
    assert 0 < now.overrun_ns <= now.time_ns
    assert now.time_asked_ns > 0
    partition, = gpu.devices()[0].active_partitions
    assert partition.overruns >= now.overruns and partition.overrun_ns >= now.overrun_ns
    cli = Cli(gpu.system.address, tmp_path / "home")
    assert re.search(rf"0\.30 +{name} .*, \d+ overruns? of \d+\.\d s\n", cli("workers").stdout)
    assert Story(call).value == 3 * [0]
    kept = gpu.status(name).gpu_usage
    assert kept.overruns >= now.overruns and kept.overrun_ns >= now.overrun_ns
    assert re.search(r"gpu time +\d+\.\d s of \d+\.\d s, \d+ overruns? of \d+\.\d s\n",
                     cli("status", name).stdout)


def test_what_jobs_had_and_where_they_went_beyond_it_is_counted(new_system, monkeypatch,
                                                                tmp_path):
    chronos = tmp_path / "chronos"
    monkeypatch.setenv("CUMULUS_CHRONOS_DIR", str(chronos))
    with client_of(new_system(kind=Operated, devices="opencl-cpu"), chronos) as client:
        name, _ = client.begin(job("""
            import ocl
            def main():
                device = ocl.Device()
                device.allocate(1 << 50)
                spinner = ocl.Spinner(device, rounds=1_000_000)
                for _ in range(2):
                    spinner.spin()
            """), gpu=0.5, duration=300)
        metrics = client.system.metrics
        device, = client.devices()
        where = {"worker": client.workers()[0].id, "device": device.uuid}
        until(lambda: metrics()("cumulus_gpu_time_ratio", **where) > 0, "the device is used")
        had = client.until_terminal(name).gpu_usage
        seen = metrics()
        assert abs(seen("cumulus_job_gpu_seconds_total") - had.time_ns / 1e9) < 1e-6
        assert seen("cumulus_job_gpu_refusals_total") == had.refusals == 1
        assert seen("cumulus_job_gpu_overruns_total") == had.overruns > 0
        assert abs(seen("cumulus_job_gpu_overrun_seconds_total") - had.overrun_ns / 1e9) < 1e-6


def test_what_a_job_has_of_its_share_is_shown_and_kept(gpu):
    name, call = gpu.begin(job("""
        import time
        import ocl
        def main():
            device = ocl.Device()
            device.fill(step=1 << 20, limit=100 << 20)
            device.allocate(1 << 50)
            spinner = ocl.Spinner(device)
            end = time.monotonic() + 5
            while time.monotonic() < end:
                spinner.spin()
        """), gpu=0.5)
    now = until(lambda: (s := gpu.status(name)).gpu_usage.time_ns and s.gpu_usage, "it is seen")
    assert 100 << 20 <= now.memory_used_bytes < 101 << 20
    assert now.processes == 1
    device = gpu.devices()[0]
    assert device.memory_used_mb == 100
    partition = device.active_partitions[0]
    assert partition.job_id == name and partition.memory_used_mb == 100
    assert Story(call).last.state == pb.COMPLETED
    kept = gpu.status(name).gpu_usage
    assert kept.memory_quota_bytes == now.memory_quota_bytes == quota(gpu, 0.5)
    assert kept.time_ns >= now.time_ns
    assert kept.refusals == 1 and kept.processes == 0
    assert 100 << 20 <= kept.memory_peak_bytes < 101 << 20
