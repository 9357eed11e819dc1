"""shares.py - what the tests of GPU shares in jobs have in common.

SPDX-License-Identifier: Apache-2.0
"""
import contextlib
from pathlib import Path

from client import Client
from system import until


@contextlib.contextmanager
def client_of(system, chronos, ready=True):
    """A client of a system whose books are in the folder `chronos`; nothing is left after it."""
    client = Client(system)
    client.chronos = chronos
    if ready:
        client.until_ready()
    yield client
    client.close()
    until(lambda: not list(chronos.glob("partition-*")), "no partition is left")
    system.stop()
    until(lambda: not arbiter_of(client), "no arbiter is left")


def arbiter_of(client):
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"arbiter" in words and str(client.chronos).encode() in words:
            return int(folder.name)
    return None


def process_of(system, program):
    """The pid of this system's process of a program, "cumulus-runner"; None: there is none."""
    for pid in system.processes():
        try:
            first = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
        except OSError:
            continue
        if first.decode(errors="replace").endswith(program):
            return pid
    return None
