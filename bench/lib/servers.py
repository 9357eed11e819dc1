"""servers.py - gRPC servers of others, in bench/unary, with handlers that do nothing.

SPDX-License-Identifier: Apache-2.0
"""
import contextlib
import subprocess
import sys

from harness import BUILD, ROOT, Missing
from peers import need, quietly

SOURCE = ROOT / "bench" / "unary"
PROGRAMS = BUILD / "bench"


def framed(message):
    """A message as it lies in a stream of gRPC."""
    return b"\0" + len(message).to_bytes(4, "big") + message


def flags(*packages):
    need("pkg-config")
    return quietly("pkg-config", "--cflags", "--libs", *packages).split()


def c():
    need("gcc")
    quietly("gcc", "-O2", "-o", PROGRAMS / "server_c", SOURCE / "server.c", *flags("libnghttp2"))
    return [PROGRAMS / "server_c"]


def cpp():
    need("g++")
    quietly("g++", "-O2", "-o", PROGRAMS / "server_cc", SOURCE / "server.cc", *flags("grpc++"))
    return [PROGRAMS / "server_cc"]


def go():
    if subprocess.run([ROOT / "scripts" / "new_enough_go.sh"]).returncode != 0:
        raise Missing("there is no Go as new as orchestrator/go.mod asks")
    quietly("go", "build", "-o", PROGRAMS / "server_go", ".", cwd=SOURCE / "go")
    return [PROGRAMS / "server_go"]


def python():
    return [sys.executable, "-B", SOURCE / "server.py"]


ALL = {"bare nghttp2, a fixed answer": c, "grpc-go": go, "gRPC C++": cpp, "grpcio (aio)": python}


@contextlib.contextmanager
def serving(words, answer):
    """(port, pid) of a server that answers with the bytes of this file."""
    process = subprocess.Popen([*map(str, words), str(answer)], stdout=subprocess.PIPE, text=True)
    try:
        port = process.stdout.readline().strip()
        if not port.isdigit():
            raise Missing(f"{words[-1]} does not start")
        yield int(port), process.pid
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextlib.contextmanager
def all_of(answer):
    """{name: (port, pid, why it is missing)} of all these servers, running."""
    PROGRAMS.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        found = {}
        for name, words in ALL.items():
            try:
                found[name] = (*stack.enter_context(serving(words(), answer)), None)
            except Missing as why:
                found[name] = (0, 0, str(why))
        yield found
