"""cli.py - runs `cumulus` as scripts and people do: on pipes, and on terminals of its own.

SPDX-License-Identifier: Apache-2.0
"""
import codecs
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
import time

import pyte

from system import BIN, DEADLINE_S, ROOT, until

CUMULUS = BIN / "cumulus"
EXAMPLES = ROOT / "examples"

DONE, FAILED, USAGE, CANCELLED, DURATION, NO_ANSWER, NO_PLACE, NOT_FOUND, NOT_ALLOWED = range(9)

UNKNOWN_JOB = "j-aaaaaaaaaaaaaaaa"

SLEEPER = """
import time
def main():
    print("up", flush=True)
    time.sleep(600)
"""

COUNTER = """
import time
def main():
    for n in range(60):
        print("line", n, flush=True)
        time.sleep(0.1)
    return n
"""


def environment(home, **more):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CUMULUS_")}
    clean.update(HOME=str(home), TERM="xterm", TZ="UTC")
    clean.pop("NO_COLOR", None)
    clean.pop("XDG_CONFIG_HOME", None)
    return {**clean, **more}


class Cli:
    """`cumulus` with an empty home, speaking to one server."""

    def __init__(self, address, home, system=None):
        self.address, self.home, self.system = address, home, system

    def env(self, **more):
        return environment(self.home, CUMULUS_ADDRESS=self.address, **more)

    def __call__(self, *words, code=DONE, **env):
        done = subprocess.run([CUMULUS, *map(str, words)], capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=2 * DEADLINE_S,
                              env=self.env(**env), encoding="utf-8")
        self.remember(done.stdout + done.stderr)
        assert done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def remember(self, text):
        if self.system:
            self.system.jobs.update(re.findall(r"j-[a-z2-7]{16}", text))

    def json(self, *words, code=DONE):
        return json.loads(self(*words, "--json", code=code).stdout)

    def submit(self, *words):
        return self("submit", "--parsable", *words).stdout.strip()

    def state(self, job):
        return self.json("status", job)["state"]

    def until_state(self, job, *states):
        return until(lambda: (s := self.state(job)) in states and s, f"{job} is {states}")


class Terminal:
    """`cumulus` on a terminal of its own, whose screen shows what a person would see."""

    def __init__(self, cli, *words, program=CUMULUS, columns=80, rows=24, **env):
        self.cli = cli
        self.seen = ""
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.Stream(self.screen)
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        variables = cli.env(**env)
        # Whatever the program prints first, the terminal has its size by then.
        ready, go = os.pipe()
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.read(ready, 1)
            os.environ.clear()
            os.environ.update(variables)
            # A terminal's programs get Ctrl-C, also where CI ignores it (a shell's `&`).
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.execv(program, [str(program), *map(str, words)])
        self.resize(columns, rows)
        os.write(go, b"x")
        os.close(ready)
        os.close(go)

    def resize(self, columns, rows):
        """Folds nothing: pyte cuts what a real terminal would fold."""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def lines(self):
        """What the screen shows, without the empty rest."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip().split("\n")

    def until_lines(self, question, what):
        """Read on until the screen is as it should be."""
        end = time.monotonic() + DEADLINE_S
        while not question(self.lines()):
            assert self.read() and time.monotonic() < end, f"no {what} in {self.lines()}"

    def read(self):
        """What has come; False at the end."""
        if not select.select([self.fd], [], [], 0.05)[0]:
            return True
        try:
            got = os.read(self.fd, 65536)
        except OSError:  # Linux says so when the other side is closed
            return False
        text = self.decoder.decode(got)
        self.seen += text
        self.stream.feed(text)
        return bool(got)

    def until(self, text):
        ended = False
        end = time.monotonic() + DEADLINE_S
        while text not in self.seen:
            assert not ended and time.monotonic() < end, f"no {text!r} in {self.seen!r}"
            ended = not self.read()

    def interrupt(self):
        os.write(self.fd, b"\x03")

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self, deadline_s=DEADLINE_S):
        """Its exit code, once it has ended."""
        until(lambda: not self.read(), "the program's end", deadline_s)
        os.close(self.fd)
        self.fd = -1
        self.cli.remember(self.seen)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        """A test that failed hangs up, as a window that is closed; all our programs end then."""
        if self.fd >= 0:
            os.close(self.fd)
            os.waitpid(self.pid, 0)
            self.cli.remember(self.seen)


class Following:
    """A command on pipes, read as it goes."""

    def __init__(self, cli, *words):
        self.cli, self.words, self.out, self.err = cli, words, "", ""

    def __enter__(self):
        self.process = subprocess.Popen([CUMULUS, *map(str, self.words)], env=self.cli.env(),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)
        self.readers = [threading.Thread(target=self.read, args=pair) for pair in
                        ((self.process.stdout, "out"), (self.process.stderr, "err"))]
        for reader in self.readers:
            reader.start()
        return self

    def read(self, pipe, name):
        for line in pipe:
            setattr(self, name, getattr(self, name) + line.decode(errors="replace"))

    def until(self, text):
        until(lambda: text in self.out + self.err or self.process.poll() is not None,
              f"{text!r}")
        assert text in self.out + self.err

    def job(self):
        return re.search(r"j-[a-z2-7]{16}", self.err).group()

    def end(self):
        code = self.process.wait(timeout=DEADLINE_S)
        for reader in self.readers:
            reader.join()
        return code

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.end()
        self.process.stdout.close()
        self.process.stderr.close()
        self.cli.remember(self.err)
