"""A CUDA job is held to its share of a device: memory, time and the end.  Real containers,
and the fake driver of tests/cuda on a machine made for it (gpu_host.py).

SPDX-License-Identifier: Apache-2.0
"""
import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from cli import Cli
from client import Story, zip_of
from gpu_host import MIB, GpuHost, uuid_of
from shares import arbiter_of, client_of, process_of
from system import BIN, pb, until

CUDA = (Path(__file__).parent / "cuda.py").read_text()
PROGRAM = BIN.parent / "tests" / "cuda_program"
DEVICE = 16384 * MIB
CONTEXT = 64 * MIB  # of each process, on the fake driver


def job(main, **more):
    """A package with cuda.py in it."""
    return zip_of({"main.py": main, "cuda.py": CUDA, **more})


@pytest.fixture
def start(new_system, monkeypatch, tmp_path):
    """A function that starts a system on a machine with GPUs; returns a context manager."""
    monkeypatch.setenv("CUMULUS_CHRONOS_DIR", str(tmp_path / "chronos"))
    return lambda ready=True, **more: client_of(
        new_system(kind=GpuHost, **more), tmp_path / "chronos", ready)


@pytest.fixture
def gpu(start):
    """A client of one with three of them."""
    with start() as client:
        yield client


# ---- memory


def test_a_job_sees_its_share_and_gets_cudas_own_error_at_the_byte(gpu):
    free, total, had, error = gpu.run(job("""
        import cuda
        def main():
            device = cuda.Device()
            return [*device.memory(), *device.fill()]
        """), gpu=0.3).value
    assert total == DEVICE * 30 // 100
    assert free == had == total - CONTEXT
    assert error == 2  # CUDA_ERROR_OUT_OF_MEMORY


def test_nvml_shows_a_job_its_share_and_itself_alone(gpu):
    other, _ = gpu.begin(job(SPIN), gpu=0.3, args=["600"])
    uuids, (total, free, used), pids, own = gpu.run(job("""
        import os
        import cuda
        def main():
            device, nvml = cuda.Device(), cuda.Nvml()
            device.allocate(1 << 20)
            handle, = nvml.handles()
            return [[nvml.uuid(handle)], nvml.memory(handle), nvml.pids(handle), os.getpid()]
        """), gpu=0.5).value
    gpu.cancel(other)
    assert uuids == [uuid_of(0)]
    assert (total, used) == (DEVICE // 2, CONTEXT + MIB) and free == total - used
    assert pids == [own]


def test_a_job_that_drops_the_layer_by_its_environment_is_held_all_the_same(gpu):
    had, error = gpu.run(job("""
        import os, subprocess, sys
        import cuda
        def main():
            for name in [n for n in os.environ if n.startswith(("CHRONOS_", "CUDA_", "LD_"))]:
                os.environ.pop(name)
            child = subprocess.run(
                [sys.executable, "-c", "import cuda; print(*cuda.Device().fill())"],
                env={"LD_PRELOAD": "", "CHRONOS_PARTITION": "", "CHRONOS_DEVICE": "7"},
                capture_output=True, text=True, check=True)
            print(child.stderr)
            return [int(word) for word in child.stdout.split()]
        """), gpu=0.3).value
    assert (had, error) == (DEVICE * 30 // 100 - CONTEXT, 2)


def test_the_users_variables_cannot_drop_the_layer(gpu):
    story = gpu.run(job("""
        import os
        import cuda
        def main():
            names = sorted(n for n in os.environ if n.startswith(("LD_", "CUDA_", "NVIDIA_")))
            return [names, os.environ["CUDA_VISIBLE_DEVICES"], cuda.Device().memory()[1]]
        """), gpu=0.3, env={"LD_PRELOAD": "/nonexistent.so", "LD_LIBRARY_PATH": "/tmp",
                            "CHRONOS_PARTITION": "p-1", "CUDA_VISIBLE_DEVICES": "1",
                            "NVIDIA_VISIBLE_DEVICES": "all", "CUDA_MPS_PIPE_DIRECTORY": "/tmp"})
    names, visible, total = story.value
    assert names == ["CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES"]
    assert visible == uuid_of(0)
    assert total == DEVICE * 30 // 100


def test_all_processes_of_a_job_share_its_memory(gpu):
    first, second = gpu.run(job("""
        import subprocess, sys
        import cuda
        def main():
            mine, _ = cuda.Device().fill(limit=1 << 30)
            child = subprocess.run(
                [sys.executable, "-c", "import cuda; print(cuda.Device().fill()[0])"],
                capture_output=True, text=True, check=True)
            return [mine, int(child.stdout)]
        """), gpu=0.3).value
    assert first == 1 << 30
    assert first + second == DEVICE * 30 // 100 - 2 * CONTEXT


def test_a_c_program_of_a_job_that_is_linked_with_the_driver_is_held(gpu):
    story = gpu.run(job("""
        import shutil, subprocess
        def main():
            program = shutil.copy("cuda_program", "/job/work/cuda_program")
            subprocess.run(["chmod", "+x", program], check=True)
            return subprocess.run([program, "check memory"], capture_output=True, text=True,
                                  check=True).stdout
        """, cuda_program=PROGRAM.read_bytes()), gpu=0.5)
    assert story.value == f'{{"total": {DEVICE // 2}, "left": 0, "again": 1}}\n'


# ---- devices


DEVICES = """
    import os
    import cuda
    def main():
        uuids = os.environ["CUDA_VISIBLE_DEVICES"].split(",")
        nvml = cuda.Nvml()
        totals = [cuda.Device(i).memory()[1] for i in range(len(uuids))]
        nodes = sorted(n for n in os.listdir("/dev") if n.startswith("nvidia"))
        return {"visible": uuids, "listed": [nvml.uuid(h) for h in nvml.handles()],
                "count": cuda.Device().count(), "totals": totals, "nodes": nodes,
                "gpus": os.environ["GPU_DEVICE"], "uuids": os.environ["GPU_UUID"].split(",")}
    """


def test_a_job_of_two_whole_devices_sees_these_two(gpu):
    first, _ = gpu.begin(job(SPIN), gpu=0.3, args=["600"])
    seen = gpu.run(job(DEVICES), gpu=2).value
    gpu.cancel(first)
    own = [uuid_of(1), uuid_of(2)]
    assert seen == {"visible": own, "listed": own, "uuids": own, "count": 2, "gpus": "0,1",
                    "totals": [DEVICE, DEVICE],
                    "nodes": ["nvidia-uvm", "nvidia1", "nvidia2", "nvidiactl"]}


def test_a_job_cannot_reach_a_device_that_is_not_its_own(gpu):
    answers = gpu.run(job("""
        import errno, os, stat
        import cuda
        def attempt(call):
            try:
                call()
            except OSError as error:
                return errno.errorcode[error.errno]
            return "done"
        def main():
            os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(
                "GPU-fa000000-0000-0000-0000-%012x" % i for i in range(3))
            node = os.makedev(195, 1)
            return [cuda.Device().count(),
                    attempt(lambda: os.open("/dev/nvidia0", os.O_RDWR)),
                    attempt(lambda: os.open("/dev/nvidia1", os.O_RDWR)),
                    attempt(lambda: os.mknod("/tmp/nvidia1", stat.S_IFCHR | 0o666, node))]
        """), gpu=0.3).value
    # Nobody is behind the nodes of this machine, which is found out after the right to open.
    assert answers == [1, "ENXIO", "ENOENT", "EPERM"]


# ---- time, and the end


SPIN = """
    import sys, time
    import cuda
    def main():
        device = cuda.Device()
        print("spinning", flush=True)
        end = time.monotonic() + float(sys.argv[1])
        while time.monotonic() < end:
            code = device.spin(int(sys.argv[2]) if sys.argv[2:] else 1000)
            if code:
                return code
        return 0
    """


def test_two_jobs_get_the_devices_time_by_their_shares(gpu):
    # The one with the smaller share has the longer kernels, and would get most of the time.
    small, one = gpu.begin(job(SPIN), gpu=0.3, args=["8", "5000"])
    large, two = gpu.begin(job(SPIN), gpu=0.7, args=["8", "1000"])
    until(lambda: all(p.time_share > 0 for d in gpu.devices() for p in d.active_partitions),
          "both are seen to use the device")
    for call in (one, two):
        assert Story(call).value == 0
    had = {job: gpu.status(job).gpu_usage.time_ns for job in (small, large)}
    assert 1.5 < had[large] / had[small] < 3.6, had  # 2.33


@pytest.mark.parametrize("share", [0.5, 1, 2])
def test_past_its_end_a_job_allocates_and_launches_nothing_more(gpu, share):
    story = gpu.run(job("""
        import signal, time
        import cuda
        def main():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            device = cuda.Device()
            while (code := device.spin()) == 0:
                pass
            print("launch", code, "allocation", device.allocate(4096), flush=True)
            time.sleep(60)
        """), gpu=share, duration=10)
    assert b"launch 800 allocation 800" in story.output(), story.text()
    assert story.last.reason == pb.DURATION_EXCEEDED


# ---- what is shown


def test_what_a_job_has_of_its_share_is_shown_and_kept(gpu, tmp_path):
    cli = Cli(gpu.system.address, tmp_path / "home", gpu.system)
    name, call = gpu.begin(job("""
        import time
        import cuda
        def main():
            device = cuda.Device()
            device.fill(step=1 << 20, limit=100 << 20)
            device.allocate(1 << 50)
            end = time.monotonic() + 5
            while time.monotonic() < end:
                device.spin()
        """), gpu=0.5)
    now = until(lambda: (s := gpu.status(name)).gpu_usage.time_ns and s.gpu_usage, "it is seen")
    assert now.memory_used_bytes == CONTEXT + 100 * MIB
    assert now.processes == 1
    device = gpu.devices()[0]
    assert device.kind == "nvidia" and device.enforcement == "arbitrated"
    assert device.memory_used_mb == 164
    partition, = device.active_partitions
    assert partition.job_id == name and partition.memory_used_mb == 164
    shown = until(lambda: (t := cli("workers").stdout) and "0.00 of the time" not in t and t,
                  "its time is shown")
    assert re.search(rf"0\.50 +{name}.* 164\.0 MiB of 8\.0 GiB, 0\.\d\d of the time, "
                     r"(\d+ overruns? of \d\.\d s, )?1 allocation refused", shown), shown
    assert re.search(r"gpu memory +164\.0 MiB of 8\.0 GiB, 1 allocation refused\n"
                     r".*gpu time +\d\.\d s of \d\.\d s", cli("status", name).stdout)
    assert Story(call).last.state == pb.COMPLETED
    kept = gpu.status(name).gpu_usage
    assert kept.memory_quota_bytes == now.memory_quota_bytes == DEVICE // 2
    assert kept.time_ns >= now.time_ns
    assert kept.refusals == 1 and kept.processes == 0
    assert kept.memory_peak_bytes == CONTEXT + 100 * MIB


# ---- kill -9


FILL = """
    import cuda
    def main():
        return cuda.Device().fill()
    """


def test_what_a_killed_runner_held_comes_back(gpu):
    name, _ = gpu.begin(job(SPIN), gpu=0.9, args=["600"])
    os.kill(process_of(gpu.system, "cumulus-runner"), signal.SIGKILL)
    assert gpu.until_terminal(name).reason == pb.RUNNER_LOST
    gpu.until_free()
    assert gpu.run(job(FILL), gpu=0.9).value == [DEVICE * 90 // 100 - CONTEXT, 2]


def test_jobs_go_on_when_worker_and_arbiter_are_killed(gpu):
    until(lambda: gpu.devices()[0].enforcement == "arbitrated", "an arbiter serves")
    name, call = gpu.begin(job(SPIN), gpu=0.5, args=["8"])
    until(lambda: gpu.status(name).gpu_usage.time_ns, "the job has had a turn")
    worker, arbiter = process_of(gpu.system, "cumulus-worker"), arbiter_of(gpu)
    os.kill(worker, signal.SIGKILL)
    os.kill(arbiter, signal.SIGKILL)
    until(lambda: (w := process_of(gpu.system, "cumulus-worker")) not in (None, worker) and w,
          "another worker")
    until(lambda: (a := arbiter_of(gpu)) not in (None, arbiter) and a, "another arbiter")
    assert Story(call).value == 0
    gpu.until_free()
    assert gpu.run(job(FILL), gpu=1).value == [DEVICE - CONTEXT, 2]


# ---- instances of a split GPU


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_a_job_gets_one_instance_of_a_split_gpu(start, monkeypatch, runtime):
    monkeypatch.setenv("CUMULUS_RUNTIME", runtime)
    with start(gpus=2, split=True) as gpu:
        first, second = gpu.devices()
        assert (first.kind, second.kind) == ("mig", "mig")
        assert [first.uuid, second.uuid] == [uuid_of(0, split=True), uuid_of(1, split=True)]
        whole, _ = gpu.begin(job(SPIN), gpu=1, args=["600"])
        story = gpu.run(job("""
            import os
            import cuda
            def main():
                device, nvml = cuda.Device(), cuda.Nvml()
                uuid = os.environ["CUDA_VISIBLE_DEVICES"]
                os.environ.pop("CUDA_VISIBLE_DEVICES")
                return {"uuid": uuid, "count": device.count(), "memory": device.memory(),
                        "fill": device.fill(), "nvml": nvml.memory(nvml.by_uuid(uuid))[0],
                        "nodes": sorted(n for n in os.listdir("/dev") if n.startswith("nvidia")),
                        "caps": sorted(os.listdir("/dev/nvidia-caps"))}
            """), gpu=0.5)
        seen = story.value
        total = DEVICE // 2
        assert seen == {
            "uuid": second.uuid, "count": 1, "memory": [total - CONTEXT, total],
            "fill": [total - CONTEXT, 2], "nvml": total,
            "nodes": ["nvidia-caps", "nvidia-uvm", "nvidia0", "nvidiactl"],
            "caps": ["nvidia-cap5", "nvidia-cap6"]}
        assert gpu.status(story.job).gpu_usage.memory_quota_bytes == total
        gpu.cancel(whole)


def test_two_jobs_share_an_instance_by_time(start):
    with start(gpus=1, split=True) as gpu:
        small, one = gpu.begin(job(SPIN), gpu=0.3, args=["8", "5000"])
        large, two = gpu.begin(job(SPIN), gpu=0.7, args=["8", "1000"])
        for call in (one, two):
            assert Story(call).value == 0
        had = {job: gpu.status(job).gpu_usage.time_ns for job in (small, large)}
        assert 1.5 < had[large] / had[small] < 3.6, had  # 2.33


def test_a_device_whose_nodes_are_not_there_takes_no_jobs(start):
    with start(gpus=2, split=True) as gpu:
        until(lambda: enforcements(gpu) == {("arbitrated", "ok")}, "an arbiter serves")
        worker = process_of(gpu.system, "cumulus-worker")
        node = Path(f"/proc/{worker}/root/dev/nvidia-caps/nvidia-cap6")
        node.rename(node.with_suffix(".away"))
        until(lambda: [d.health for d in gpu.devices()] == [
            "ok", "/dev/nvidia-caps/nvidia-cap6 is not there: it is made when the driver is "
            "loaded, or by nvidia-modprobe"], "it is missed")
        node.with_suffix(".away").rename(node)
        until(lambda: enforcements(gpu) == {("arbitrated", "ok")}, "it is found again")


# ---- what cannot be held


LAYER = "libchronos-cuda.so"


def root_layers(system):
    """The folder of the layers in the root folder of jobs."""
    return until(lambda: next((system.data / "worker" / "root").glob("*/opt/cumulus/lib"), None),
                 "the root folder")


def enforcements(client):
    return {(d.enforcement, d.health) for d in client.devices()}


def test_devices_whose_layer_is_missing_take_no_jobs_until_it_is_installed(
        start, monkeypatch, tmp_path):
    library = tmp_path / "lib"
    shutil.copytree(BIN.parent / "lib" / "cumulus", library)
    (library / LAYER).rename(tmp_path / LAYER)
    monkeypatch.setenv("CUMULUS_HARNESS", str(library / "harness.py"))
    with start(ready=False) as gpu:
        cli = Cli(gpu.system.address, tmp_path / "home", gpu.system)
        told = until(lambda: enforcements(gpu), "the devices are told of")
        (enforcement, health), = told
        assert enforcement == f"off: no {LAYER}" and f"{LAYER} is missing" in health
        assert gpu.health().message.startswith("no worker has a healthy device")
        for amount in (0.5, 1):
            assert "no worker has a healthy device" in gpu.refused(gpu=amount)[1]
        assert f"takes no jobs: {health}" in cli("workers").stdout
        assert f"takes no jobs: {health}" in cli("doctor", code=1).stdout
        assert arbiter_of(gpu) is None
        (tmp_path / LAYER).rename(library / LAYER)
        os.kill(process_of(gpu.system, "cumulus-worker"), signal.SIGKILL)
        until(lambda: enforcements(gpu) == {("arbitrated", "ok")}, "an arbiter serves")
        assert gpu.run(job(FILL), gpu=0.5).value == [DEVICE // 2 - CONTEXT, 2]


def test_what_holds_is_looked_at_all_the_time(gpu):
    until(lambda: enforcements(gpu) == {("arbitrated", "ok")}, "an arbiter serves")
    layer = root_layers(gpu.system) / LAYER
    layer.rename(layer.with_suffix(".away"))
    until(lambda: {e for e, _ in enforcements(gpu)} == {f"off: no {LAYER}"}, "it is missed")
    assert "no worker has a healthy device" in gpu.refused(gpu=0.5)[1]
    layer.with_suffix(".away").rename(layer)
    until(lambda: enforcements(gpu) == {("arbitrated", "ok")}, "it is found again")
    assert gpu.run(job(FILL), gpu=0.5).value == [DEVICE // 2 - CONTEXT, 2]
