"""test_tour.py - what the documents show is done: files are written, commands typed, output seen.

SPDX-License-Identifier: Apache-2.0
"""
import os
import re
import subprocess
import threading

from cli import DEADLINE_S, Cli
from system import BIN, ROOT, until

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


def steps(text):
    """("file", name, text) and ("command", line, lines of output), in their order."""
    for kind, body in BLOCK.findall(text):
        if kind in ("python", "c"):
            yield "file", re.match(r"(?:#|/\*) (\S+\.(?:py|c))\b", body).group(1), body
            continue
        if kind == "sh":  # what needs root, or a GPU
            continue
        assert kind == "console", kind
        for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", body, re.M):
            if not command.startswith("sudo "):  # the server, which the test has already
                yield "command", command, shown.splitlines()


def shape(line):
    """A line without what differs from one walk to the next: ids, numbers, times, widths."""
    line = re.sub(r"\b[jw]-[a-z2-7]{16}\b|\bp-[0-9a-f]{8}\b", "ID", line)
    line = re.sub(r"\[[#.]{20}\]", "BAR", line)
    line = re.sub(r" on (?!ID)\S+$", " on HOST", line)
    line = re.sub(r"(\d+[hms])+\b|[\d.:]+ m?s\b|[\d.]+ [KMG]i?B\b", "AMOUNT", line)
    line = re.sub(r"\d+", "0", line)
    return " ".join(line.split())


class Shell:
    """One bash for the whole walk, as a person has."""

    def __init__(self, folder, env):
        self.process = subprocess.Popen(["bash", "--norc"], cwd=folder, env=env, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)
        self.patience = threading.Timer(5 * DEADLINE_S, self.process.kill)
        self.patience.start()

    def __call__(self, command):
        # Nothing that it starts may take the commands that follow for its input.
        self.process.stdin.write(f"{{ {command}\n}} </dev/null\nprintf '\\n@@ %d\\n' $?\n")
        self.process.stdin.flush()
        lines = []
        for line in self.process.stdout:
            if line.startswith("@@ "):
                return lines[:-1] if lines[-1] == "" else lines, int(line[3:])
            lines.append(line.rstrip("\n"))
        raise AssertionError(f"the shell ended at: {command}\n" + "\n".join(lines))

    def close(self):
        self.patience.cancel()
        self.process.stdin.close()
        self.process.wait(timeout=DEADLINE_S)
        self.process.stdout.close()


def walk(text, folder, shell, remember=lambda said: None):
    """Does all of it; how many commands that were."""
    typed = 0
    for kind, what, more in steps(text):
        if kind == "file":
            (folder / what).write_text(more)
            continue
        typed += 1
        lines, code = shell(what)
        said = "\n".join(lines)
        remember(said)
        assert code == 0, f"{what}\n{said}"
        shapes = iter([shape(line) for line in lines])
        for wanted in more:
            assert shape(wanted) in shapes, f"{what}\nshows no (more)\n{wanted}\nbut\n{said}"
    return typed


def test_the_tour_can_be_walked(new_system, tmp_path):
    system = new_system()
    cli = Cli(system.address, tmp_path / "home", system)
    until(lambda: any(w["status"] == "ready" for w in cli.json("workers")), "a worker")
    folder = tmp_path / "tour"
    folder.mkdir()
    shell = Shell(folder, cli.env(PATH=f"{BIN}:/usr/bin:/bin"))
    try:
        typed = walk((ROOT / "docs/tour.md").read_text(), folder, shell, cli.remember)
    finally:
        shell.close()
    assert typed > 30


def test_the_page_about_chronos_can_be_walked(tmp_path):
    """As who installed it: with its command, its library by pkg-config, its Python module."""
    usr = tmp_path / "usr"
    build = os.environ.get("CUMULUS_BUILD", "build")
    subprocess.run(["make", "-s", f"BUILD={build}", "install-chronos", f"PREFIX={usr}"], cwd=ROOT,
                   check=True, timeout=10 * DEADLINE_S)
    shell = Shell(tmp_path, {"PATH": f"{usr}/bin:/usr/bin:/bin", "LANG": "C.UTF-8",
                             "PKG_CONFIG_PATH": f"{usr}/lib/pkgconfig",
                             "LD_LIBRARY_PATH": f"{usr}/lib",
                             "PYTHONDONTWRITEBYTECODE": "1",
                             "PYTHONPATH": str(ROOT / "chronos/python")})
    try:
        typed = walk((ROOT / "docs/chronos.md").read_text(), tmp_path, shell)
    finally:
        shell.close()
    assert typed > 10
