"""system.py - starts cumulusd on a folder of its own, and says what it left behind.

SPDX-License-Identifier: Apache-2.0
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from sdk.proto import orchestrator_pb2 as pb  # noqa: E402
from sdk.proto import orchestrator_pb2_grpc as rpc  # noqa: E402

BIN = ROOT / os.environ.get("CUMULUS_BUILD", "build") / "bin"
DEADLINE_S = 60  # for whatever must happen at all; nothing here asserts a speed


def until(question, what, deadline_s=DEADLINE_S):
    """Ask until the answer is true; return it."""
    end = time.monotonic() + deadline_s
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {what}")
        time.sleep(0.02)


class System:
    """One cumulusd with its embedded worker, on a data folder of its own."""

    binaries = BIN

    def __init__(self, *flags, devices="simulated:2", on_exit="stop"):
        self.parent = Path(tempfile.mkdtemp(prefix="cumulus-e2e-", dir="/tmp"))
        self.parent.chmod(0o711)  # cumulusd's own user must pass it
        self.data = self.parent / "data"
        self.flags = list(flags) + ["--devices", devices, "--on-exit", on_exit]
        self.jobs = set()
        self.process = None
        self.port = 0
        try:
            self.start()
        except BaseException:
            self.remove()
            raise

    def start(self):
        self.log = open(self.parent / "log", "ab")
        self.process = subprocess.Popen(
            self.command([self.binaries / "cumulusd", "--listen", "127.0.0.1:0",
                          "--http", "off", "--data", self.data, *self.flags]),
            stdout=subprocess.PIPE, stderr=self.log, stdin=subprocess.DEVNULL, text=True)
        # cumulusd prints this line once it listens; at its end stdout closes instead.
        for line in self.process.stdout:
            found = re.search(r"listening on 127\.0\.0\.1:(\d+)", line)
            if found:
                self.port = int(found.group(1))
                return
        raise AssertionError(
            f"cumulusd ended with {self.process.wait()} before it listened:\n{self.log_text()}")

    def command(self, words):
        """What is run in place of these words."""
        return words

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def log_text(self):
        return (self.parent / "log").read_text(errors="replace")[-3000:]

    def stop(self):
        """SIGTERM: a clean end is exit 0 within 10 s."""
        if self.process is None:
            return
        if not self.alive():
            raise AssertionError(self.bury())
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"cumulusd lives 10 s after SIGTERM:\n{self.log_text()}")
        finally:
            self._end_process()
        assert status == 0, f"cumulusd ended with {status}:\n{self.log_text()}"

    def kill(self):
        """What a crash does to cumulusd; its worker goes on."""
        self.process.kill()
        self.process.wait()
        self._end_process()

    def alive(self):
        return self.process.poll() is None

    def bury(self):
        """Forget a cumulusd that died; say how."""
        told = f"cumulusd ended with {self.process.returncode}:\n{self.log_text()}"
        self._end_process()
        return told

    def _end_process(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()
        self.process = None

    def processes(self):
        """Pids whose command line or mounts name this data folder: worker, runners, jobs."""
        name = self.parent.name
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                told = (folder / "cmdline").read_bytes() + (folder / "mountinfo").read_bytes()
            except OSError:
                continue  # it ended while we looked
            if name.encode() in told:
                found.append(int(folder.name))
        return found

    def signal_worker(self, number):
        """To the worker alone: SIGSTOP makes it silent, its runs go on."""
        for pid in self.processes():
            if Path(f"/proc/{pid}/comm").read_text().strip() == "cumulus-worker":
                os.kill(pid, number)

    def cgroups(self):
        """Folders of the cgroup trees that belong to jobs of this system."""
        return [folder for folder, _, _ in os.walk("/sys/fs/cgroup")
                if os.path.basename(folder).split(".")[0] in self.jobs]

    def run_folders(self):
        return sorted(p.name for p in (self.data / "worker" / "runs").glob("*"))

    def left_behind(self):
        """What a system that was stopped should not have left, in words; "" = nothing."""
        left = []
        for pid in self.processes():
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
            except OSError:
                continue
            left.append(f"process {pid}: {words.decode(errors='replace')}")
        left += [f"cgroup {folder}" for folder in self.cgroups()]
        return "\n".join(left)

    def close(self):
        """Stop, check that nothing is left, and remove the folder whatever was found."""
        left = ""
        try:
            self.stop()
            end = time.monotonic() + 10
            while (left := self.left_behind()) and time.monotonic() < end:
                time.sleep(0.05)
        finally:
            self.remove()
        assert not left, f"left behind:\n{left}"

    def remove(self):
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.process is not None:
            self._end_process()
        shutil.rmtree(self.parent, ignore_errors=True)


def channel_to(system):
    return grpc.insecure_channel(system.address)
