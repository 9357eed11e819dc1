"""gpu_host.py - starts cumulusd on a machine with NVIDIA GPUs that are not there.

What such a machine has beside its GPUs is put where the product looks for it, in a mount
namespace of cumulusd's own: the driver's libraries (tests/cuda) in /usr/local/lib and in the
loader's cache, its nodes in /dev, its files in /proc/driver.  Nothing of the product knows.

The GPUs themselves are a file (tests/cuda/fake_state.c).  Containers get it from a socket
beside the libraries, as they see nothing else of the host but /usr.

SPDX-License-Identifier: Apache-2.0
"""
import contextlib
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

from system import BIN, System

FAKES = BIN.parent / "tests" / "fake-cuda"
MIB = 1 << 20
LIBRARIES = Path("/usr/local/lib")
FRONTEND, CAPS, UVM = 195, 511, 510  # majors; no driver of this machine has them
CHRDEV = 0o020000

# What is below /dev on any machine and is needed here.
USUAL = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9),
         "tty": (5, 0), "ptmx": (5, 2), "fuse": (10, 229)}


def uuid_of(index, split=False):
    return f"{'MIG' if split else 'GPU'}-fa000000-0000-0000-0000-0000000000{index:02x}"


class Gpus:
    """The GPUs' file, and who hands it out."""

    def __init__(self, place, count, mib, split):
        self.file = os.memfd_create("fake-gpus")
        # The first fields of struct fake_state; the driver makes the rest, zeroed.
        os.write(self.file, struct.pack("=IIQII", 0, count, mib * MIB, split, 1))
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(place / "gpus"))
        (place / "gpus").chmod(0o666)  # jobs have users of their own
        self.socket.listen(64)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return  # closed
            with client:
                try:
                    socket.send_fds(client, [b"g"], [self.file])
                except OSError:
                    pass  # it was killed meanwhile

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join()
        os.close(self.file)


class GpuHost(System):
    """A System on such a machine.  GPU number i has the node /dev/nvidia<i>; where they are
    split, they are instances of the GPU with the node /dev/nvidia0."""

    def __init__(self, *flags, gpus=3, mib=16384, split=False, **more):
        self.count, self.split, self.mib = gpus, split, mib
        self.gpus = None
        super().__init__(*flags, devices="auto", **more)

    def command(self, words):
        if self.gpus is None:
            self.driver = self.parent / "driver"
            self.driver.mkdir(mode=0o755)
            for library in FAKES.iterdir():
                shutil.copy(library, self.driver)
            self.gpus = Gpus(self.driver, self.count, self.mib, self.split)
        return ["unshare", "--mount", "--propagation", "private", sys.executable, "-B", __file__,
                str(self.parent), str(self.count), str(int(self.split)), *map(str, words)]

    def remove(self):
        super().remove()
        if self.gpus is not None:
            self.gpus.close()
            self.gpus = None


# ---- in the namespace


def mount(*words):
    subprocess.run(["mount", *map(str, words)], check=True)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def node(path, major, minor, mode=0o666):
    path.parent.mkdir(exist_ok=True)
    os.mknod(path, CHRDEV, os.makedev(major, minor))
    path.chmod(mode)


def put_libraries(place):
    mount("--bind", place / "driver", LIBRARIES)
    subprocess.run(["ldconfig", "-X", "-C", place / "ld.so.cache"], check=True)
    mount("--bind", place / "ld.so.cache", "/etc/ld.so.cache")


def put_files(place, count, split):
    # A user namespace may mount a /proc of its own only while one is seen with nothing over it.
    (place / "proc").mkdir(exist_ok=True)
    mount("-t", "proc", "proc", place / "proc")
    mount("-t", "tmpfs", "driver", "/proc/driver")
    driver = Path("/proc/driver/nvidia")
    for i in range(1 if split else count):
        uuid = uuid_of(0xff if split else i)
        write(driver / "gpus" / f"0000:{i + 1:02x}:00.0" / "information",
              f"Model: \t\t Fake GPU\nGPU UUID: \t {uuid}\nBus Type: \t PCIe\n"
              f"Device Minor: \t {i}\nGPU Excluded:\t No\n")
    for i in range(count if split else 0):
        instance = driver / "capabilities" / "gpu0" / "mig" / f"gi{i + 1}"
        for path, minor in ((instance, 3 + 2 * i), (instance / "ci0", 4 + 2 * i)):
            write(path / "access",
                  f"DeviceFileMinor: {minor}\nDeviceFileMode: 292\nDeviceFileModify: 1\n")


@contextlib.contextmanager
def new_dev(place):
    """A folder that then becomes /dev, with what is in it on any machine."""
    new, dev = place / "dev", Path("/dev")
    new.mkdir(exist_ok=True)
    mount("-t", "tmpfs", "-o", "mode=755", "dev", new)
    for name, (major, minor) in USUAL.items():
        node(new / name, major, minor)
    for name in ("pts", "shm"):
        (new / name).mkdir()
        mount("--rbind", dev / name, new / name)
    os.symlink("/proc/self/fd", new / "fd")
    yield new
    mount("--move", new, dev)


def put_nodes(place, count, split):
    with new_dev(place) as dev:
        node(dev / "nvidiactl", FRONTEND, 255)
        node(dev / "nvidia-uvm", UVM, 0)
        for i in range(1 if split else count):
            node(dev / f"nvidia{i}", FRONTEND, i)
        for i in range(2 * count if split else 0):
            node(dev / "nvidia-caps" / f"nvidia-cap{3 + i}", CAPS, 3 + i, 0o444)


def main():
    place, count, split = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    put_libraries(place)
    put_files(place, count, split)
    put_nodes(place, count, split)
    os.execv(sys.argv[4], sys.argv[4:])


if __name__ == "__main__":
    main()
