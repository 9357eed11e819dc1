"""job.py - the main.py of every job of the crash test; the test imports it for story().

What it prints is a function of its arguments, so that the test knows every byte.  What it
testifies goes into a FIFO that only the witness reads (witness.py): neither runner, worker
nor cumulusd has a hand in it.

SPDX-License-Identifier: Apache-2.0
"""
import os
import sys
import time


def story(key, lines, width):
    """What the job prints to stdout, line by line."""
    for n in range(lines):
        yield b"%s %d %s\n" % (key.encode(), n, b"." * (n * 37 % width))


def testify(word):
    """One line into the ledger; so short that the kernel never splits it."""
    line = "%s %s %s\n" % (word, os.environ["JOB_ID"], NONCE)
    fd = os.open(os.environ["CRASH_WITNESS"], os.O_WRONLY | os.O_NONBLOCK)
    os.write(fd, line.encode())
    os.close(fd)


def tell(key, lines, width, pause_s):
    import cumulus
    for n, line in enumerate(story(key, lines, width)):
        while line:
            line = line[os.write(1, line):]
        if pause_s:
            time.sleep(pause_s)
            cumulus.progress((n + 1) / lines, key)


def linger():
    """A process that outlives main() and holds its pipes."""
    if os.fork() == 0:
        time.sleep(600)
        os._exit(0)


def ignore_terminate():
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def main():
    kind, key, lines, width, pause_ms = sys.argv[1:]
    if kind == "stubborn":
        ignore_terminate()
    if kind in ("linger", "stubborn"):
        linger()
    tell(key, int(lines), int(width), int(pause_ms) / 1000)
    if kind in ("stubborn", "overtime", "patient"):
        time.sleep(600)
    testify("end")
    if kind == "raise":
        raise RuntimeError(key)
    if kind == "exit":
        sys.exit(7)
    if kind == "signal":
        os.kill(os.getpid(), 11)
    return key


if "CRASH_WITNESS" in os.environ:  # in a job, not in the test
    NONCE = os.urandom(6).hex()
    testify("start")
