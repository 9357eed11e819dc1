"""A job on a GPU of AMD's or Intel's gets that device's nodes, is held by OpenCL's layer, and
reaches no other device.  Real containers, real OpenCL, on a machine made for it
(opencl_host.py).

SPDX-License-Identifier: Apache-2.0
"""
import errno
from pathlib import Path

import pytest

from client import zip_of
from opencl_host import USABLE, OpenclHost
from shares import client_of
from system import pb

OCL = (Path(__file__).parent / "ocl.py").read_text()
DEVICE = 8 << 30

# What opening each node says: no driver has them, so that nobody minds is "no such device".
LOOK = """
    import os
    def main():
        found = {}
        for folder, _, names in os.walk("/dev"):
            for name in names:
                path = os.path.join(folder, name)
                if "dri" in path or "kfd" in path:
                    try:
                        os.close(os.open(path, os.O_RDWR))
                        found[path] = 0
                    except OSError as e:
                        found[path] = e.errno
        return [os.environ["GPU_UUID"], found]
    """

SLEEPER = zip_of({"main.py": """
    import time
    def main():
        time.sleep(600)
    """})


@pytest.fixture
def start(new_system, monkeypatch, tmp_path):
    """A function that starts a system on such a machine; returns a context manager."""
    monkeypatch.setenv("CUMULUS_CHRONOS_DIR", str(tmp_path / "chronos"))
    return lambda: client_of(new_system(kind=OpenclHost), tmp_path / "chronos")


@pytest.fixture
def gpu(start):
    with start() as client:
        yield client


@pytest.mark.parametrize("runtime", ["crun", "runc"])
def test_a_job_gets_its_own_devices_nodes_and_may_use_them(start, monkeypatch, runtime):
    monkeypatch.setenv("CUMULUS_RUNTIME", runtime)
    with start() as gpu:
        check_nodes(gpu)


def check_nodes(gpu):
    devices = {d.uuid: d.name for d in gpu.devices()}
    first, _ = gpu.begin(SLEEPER, gpu=1.0)
    uuid, nodes = gpu.run(zip_of({"main.py": LOOK}), gpu=1.0).value
    gpu.cancel(first)
    gpu.until_terminal(first)
    gpu.until_free()
    # Which of the two the first one had is the scheduler's business.
    own = {"Fake Arc": ["/dev/dri/renderD128"],
           "Fake Instinct": ["/dev/dri/renderD129", "/dev/kfd"]}
    assert sorted(nodes) == own[devices[uuid]]
    assert set(nodes.values()) == {errno.ENXIO}


def test_every_such_device_can_be_had(gpu):
    jobs = [gpu.begin(SLEEPER, gpu=0.9)[0] for _ in range(USABLE)]
    had = {device for job in jobs for device in gpu.status(job).gpu_devices}
    for job in jobs:
        gpu.cancel(job)
    assert len(had) == USABLE


def test_a_job_is_held_to_its_share_of_such_a_device(gpu):
    job = zip_of({"ocl.py": OCL, "main.py": """
        import ocl
        def main():
            device = ocl.Device()
            had, error = device.fill()
            return [device.memory(), had, error]
        """})
    memory, had, error = gpu.run(job, gpu=0.1).value
    assert memory == had == DEVICE * 10 // 100
    assert error == -4  # CL_MEM_OBJECT_ALLOCATION_FAILURE


def test_a_device_whose_nodes_are_not_known_or_not_for_jobs_is_not_offered(gpu):
    health = {d.name: d.health for d in gpu.devices()}
    assert "does not say where it is on PCI" in health.pop("Fake")
    assert "root alone can open /dev/dri/renderD130" in health.pop("Fake Locked")
    assert set(health.values()) == {"ok"}
    held = [gpu.begin(SLEEPER, gpu=1.0)[0] for _ in range(USABLE)]
    waiting = next(iter(gpu.submit(zip_of({"main.py": LOOK}), gpu=0.1))).job_id
    gpu.know(waiting)
    for one in held:
        gpu.cancel(one)
    status = gpu.until_terminal(waiting)
    assert status.state == pb.COMPLETED, status.message


def test_past_its_end_a_job_of_several_devices_launches_nothing_more(gpu):
    story = gpu.run(zip_of({"ocl.py": OCL, "main.py": """
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
        """}), gpu=USABLE, duration=15)
    assert b"launch -59 allocation -59" in story.output(), story.text()  # CL_INVALID_OPERATION
    assert story.last.reason == pb.DURATION_EXCEEDED
