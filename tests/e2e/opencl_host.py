"""opencl_host.py - starts cumulusd on a machine with GPUs of AMD's and Intel's that are not there.

As gpu_host.py does it: the GPUs' places in sysfs and their nodes in /dev are put into a mount
namespace of cumulusd's own, and the worker finds them by a libOpenCL of the tests' own
(tests/unit/test_chronos_fake_opencl.c).  Jobs get the machine's real OpenCL, with PoCL.

SPDX-License-Identifier: Apache-2.0
"""
import os
import sys
from pathlib import Path

from gpu_host import mount, new_dev, node
from system import BIN, System

FAKE = BIN.parent / "tests" / "fake-opencl"
RENDER, KFD = 226, 240  # majors; no driver of this machine has them
RENDER_GROUP, KFD_GROUP = 60123, 60124

# Where the fakes say that they are, and what Linux has of them there.
# The last one's node belongs to root alone.
GPUS = {"0001:3a:00.1": ("xe", "renderD128"), "0000:c3:1f.0": ("amdgpu", "renderD129"),
        "0000:c4:00.0": ("xe", "renderD130")}
NODES = {"dri/renderD128": (RENDER, 128, RENDER_GROUP), "kfd": (KFD, 0, KFD_GROUP),
         "dri/renderD129": (RENDER, 129, RENDER_GROUP), "dri/renderD130": (RENDER, 130, 0)}
USABLE = 2


class OpenclHost(System):
    """A System on such a machine."""

    def __init__(self, *flags, **more):
        super().__init__(*flags, devices="auto", **more)

    def command(self, words):
        return ["unshare", "--mount", "--propagation", "private", sys.executable, "-B", __file__,
                str(self.parent), *map(str, words)]


# ---- in the namespace


def put_places(place):
    # A user namespace may mount a /sys of its own only while one is seen with nothing over it.
    (place / "sys").mkdir(exist_ok=True)
    mount("-t", "sysfs", "sysfs", place / "sys")
    mount("-t", "tmpfs", "pci", "/sys/bus/pci/devices")
    for pci, (driver, name) in GPUS.items():
        device = Path("/sys/bus/pci/devices") / pci
        (device / "drm" / name).mkdir(parents=True)
        (device / "drm" / "card0").mkdir()
        os.symlink(f"../../../bus/pci/drivers/{driver}", device / "driver")


def put_nodes(place):
    with new_dev(place) as dev:
        for name, (major, minor, group) in NODES.items():
            node(dev / name, major, minor)
            os.chown(dev / name, 0, group)
            (dev / name).chmod(0o660)


def main():
    put_places(Path(sys.argv[1]))
    put_nodes(Path(sys.argv[1]))
    os.environ["LD_LIBRARY_PATH"] = str(FAKE)
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
