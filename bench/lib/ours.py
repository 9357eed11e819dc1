"""ours.py - a system to be measured, its load, and what its processes have cost.

SPDX-License-Identifier: Apache-2.0
"""
import contextlib
import io
import json
import os
import random
import subprocess
import tempfile
import zipfile

from harness import BUILD

from client import Client, SLEEP, pb
from system import System, until

LOAD = BUILD / "bench" / "bench_load"
COMMENT = b"0" * 16  # bench_load writes over it

TRIVIAL = "def main():\n    pass\n"
STAMP = "import time\ndef main():\n    print(time.time_ns(), flush=True)\n"


def package(code, size=0):
    """A ZIP with this main.py, of at least so many bytes, most of them incompressible."""
    def made(filler):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as z:
            z.writestr("main.py", code)
            if filler:
                z.writestr("data.bin", random.Random(1).randbytes(filler))
            z.comment = COMMENT
        return out.getvalue()

    empty = len(made(1))
    return made(size - empty + 1 if size > empty else 0)


@contextlib.contextmanager
def package_file(code, size=0):
    with tempfile.NamedTemporaryFile(suffix=".zip") as f:
        f.write(package(code, size))
        f.flush()
        yield f.name


@contextlib.contextmanager
def system(*flags, devices="simulated:8"):
    """A system that has its worker, and a client of it."""
    ours = System(*flags, devices=devices)
    try:
        client = Client(ours)
        if devices != "none":
            client.until_ready()
        yield ours, client
        client.channel.close()
        ours.close()
    except BaseException:
        ours.remove()
        raise


def hold(client, gpu):
    """A job that keeps this much busy for as long as the system is there."""
    return client.begin(SLEEP, gpu=gpu, duration=3600)[0]


def load(*words):
    told = subprocess.run([LOAD, *map(str, words)], stdout=subprocess.PIPE, text=True,
                          check=True)
    return json.loads(told.stdout)


def rate(*words):
    told = load(*words)
    return told["count"] / told["seconds"]


def cpu_seconds(pid):
    """User and system time that this process has used."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine_cpu_seconds():
    """What all processors together have been busy with, whoever made them."""
    with open("/proc/stat", encoding="ascii") as f:
        user, nice, system, _idle, _wait, irq, soft = map(int, f.readline().split()[1:8])
    return (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")


def memory_bytes(pid):
    """What this process alone keeps in memory: no pages of files."""
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        for line in f:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    raise AssertionError(f"process {pid} has no RssAnon")


__all__ = ["LOAD", "TRIVIAL", "STAMP", "Client", "package", "package_file", "system", "hold", "load",
           "rate", "cpu_seconds", "machine_cpu_seconds", "memory_bytes", "pb", "until"]
