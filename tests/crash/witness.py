"""witness.py - what can be known of jobs without asking anything of Cumulus.

Two witnesses.  The ledger is written by the jobs themselves: a FIFO below the host's /usr,
which every container sees read-only (a FIFO can be written to on a read-only mount), and
whose lines a thread of the test appends to a file.  The sampler looks from outside: it
finds the processes of jobs in /proc by their environment and adds up the shares of the
devices that they hold at one moment; beside that it asks Chronos what it has given away.

SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import subprocess
import threading
from collections import defaultdict
from pathlib import Path

from system import BIN

PLACE = Path("/usr/local/lib")
PREFIX = "cumulus-crash-"
SAMPLE_S = 0.1


def remove_stale_fifos():
    """Of tests that were killed: the name says by which process each was made."""
    for old in PLACE.glob(PREFIX + "*"):
        if not Path("/proc", old.name[len(PREFIX):]).exists():
            remove_fifo(old)


def remove_fifo(folder):
    (folder / "ledger").unlink(missing_ok=True)
    folder.rmdir()


class Ledger:
    """What the jobs' own code has said: {job: [(word, nonce)]}, in the order of arrival."""

    def __init__(self, path):
        remove_stale_fifos()
        self.folder = PLACE / f"{PREFIX}{os.getpid()}"
        self.folder.mkdir()
        self.fifo = self.folder / "ledger"
        os.mkfifo(self.fifo)
        self.fifo.chmod(0o622)
        self.fd = os.open(self.fifo, os.O_RDWR)  # so that it never ends
        self.file = open(path, "wb", buffering=0)
        self.lines = defaultdict(list)
        self.lock = threading.Lock()
        self.thread = threading.Thread(target=self._read, name="ledger")
        self.thread.start()

    def _read(self):
        rest = b""
        while True:
            got = os.read(self.fd, 65536)
            self.file.write(got)
            *whole, rest = (rest + got).split(b"\n")
            with self.lock:
                for line in whole:
                    word, job, nonce = line.decode().split()
                    if word == "close":
                        return
                    self.lines[job].append((word, nonce))

    def starts(self, job):
        with self.lock:
            return [nonce for word, nonce in self.lines[job] if word == "start"]

    def ends(self, job):
        with self.lock:
            return [nonce for word, nonce in self.lines[job] if word == "end"]

    def jobs(self):
        with self.lock:
            return [job for job, lines in self.lines.items() if lines]

    def close(self):
        os.write(self.fd, b"close - -\n")
        self.thread.join()
        os.close(self.fd)
        self.file.close()
        remove_fifo(self.folder)


def start_time(pid):
    """What makes a pid an identity; None when there is no such live process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


class Alive:
    """A process of a job, as its environment tells."""

    def __init__(self, pid, born, told):
        self.pid = pid
        self.born = born
        self.job = told["JOB_ID"]
        self.devices = tuple(told.get("GPU_UUID", "").split(","))
        self.hundredths = int(told["CRASH_HUNDREDTHS"])
        try:
            self.world = os.readlink(f"/proc/{pid}/ns/pid")  # one per container
        except OSError:
            self.world = None


def living(token):
    """All processes of jobs of this test."""
    mark = f"CRASH_TOKEN={token}".encode()
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as f:
                told = f.read()
        except OSError:
            continue  # it ended while we looked
        if mark not in told:
            continue
        words = dict(w.split("=", 1) for w in told.decode(errors="replace").split("\0")
                     if "=" in w)
        born = start_time(name)
        if "JOB_ID" in words and born:
            one = Alive(int(name), born, words)
            if one.world:
                found.append(one)
    return found


def together(token):
    """Those of them that lived at one and the same moment: between the last that was found
    and the first that was looked at again."""
    return [one for one in living(token) if start_time(one.pid) == one.born]


class Sampler:
    """Looks again and again; what it finds wrong goes to `accuse`."""

    def __init__(self, token, chronos_dir, ask_devices, accuse):
        self.token = token
        self.chronos_dir = chronos_dir
        self.ask_devices = ask_devices
        self.accuse = accuse
        self.samples = 0
        self.fullest = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, name="sampler")
        self.thread.start()

    def _run(self):
        try:
            while not self.over.wait(SAMPLE_S):
                self.samples += 1
                self._sample()
        except Exception as e:  # noqa: BLE001 - a witness that falls asleep has seen nothing
            self.accuse(f"the sampler stumbled: {type(e).__name__}: {e}")

    def _sample(self):
        self._look_at_processes()
        if self.samples % 4 == 0:
            self._look_at_chronos()
        if self.samples % 4 == 2:
            self._look_at_core()

    def _add_up(self, who, shares):
        for device, sum_ in shares.items():
            self.fullest = max(self.fullest, sum_)
            if sum_ > 100:
                self.accuse(f"oversold: {who} shows {sum_} hundredths of {device} in use")

    def _look_at_processes(self):
        worlds = {}
        for one in together(self.token):
            worlds.setdefault(one.job, {})[one.world] = one
        shares = defaultdict(int)
        for job, runs in worlds.items():
            if len(runs) > 1:
                self.accuse(f"{job} runs {len(runs)} times at once")
            for one in runs.values():
                for device in one.devices:
                    shares[device] += one.hundredths
        self._add_up("/proc", shares)

    def partitions(self):
        """What Chronos has given away, by its own command."""
        done = subprocess.run([BIN / "chronos", "--dir", self.chronos_dir, "list", "--json"],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
        if done.returncode:
            return None
        return json.loads(done.stdout)["partitions"]

    def _look_at_chronos(self):
        shares = defaultdict(int)
        for p in self.partitions() or ():
            for device in p["devices"]:
                shares[device] += p["hundredths"]
        self._add_up("Chronos", shares)

    def _look_at_core(self):
        for device in self.ask_devices() or ():
            held = round(100 * sum(p.amount for p in device.active_partitions))
            told = round(100 * device.allocated_amount)
            self._add_up("ListWorkers", {device.index: max(held, told)})

    def close(self):
        self.over.set()
        self.thread.join()
