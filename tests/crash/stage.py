"""stage.py - one system that is killed again and again, and the processes that it consists of.

Kills go to identities, never to names: a process is found by its program and data folder, held
by a pidfd, looked at once more, and only then killed.

SPDX-License-Identifier: Apache-2.0
"""
import json
import os
import re
import secrets
import signal
import subprocess
import threading
import time
from pathlib import Path

import grpc

from customers import plan_of
from system import BIN, ROOT, System, pb, rpc, until
from witness import Ledger, Sampler, living

BACK_S = 60  # for a system to be whole again
GONE_S = 5  # promise 4
WORKER_FDS = 64  # more than it has when idle, less than it had with a few lost per job
ROLES = {  # what its executable is, or what it calls itself
    "cumulusd": "cumulusd",
    "keeper": "cumulus-keeper",
    "worker": "cumulus-worker",
    "runner": "cumulus-runner",
}
FAULTS = sorted(set(re.findall(r'fault_point\("([a-z-]+)"\)', "".join(
    p.read_text() for p in sorted((ROOT / "runner").glob("*.c"))))))

# The worker starts this instead of cumulus-runner: whoever finds a fault lying there takes it.
RUNNER = """#!/bin/sh
for word; do
	[ "$before" != --run-folder ] || run=${{word##*/}}
	before=$word
done
if [ -n "$run" ] && mv {folder}/fault "{folder}/taken/$run" 2>/dev/null; then
	CUMULUS_FAULT=$(cat "{folder}/taken/$run")
	export CUMULUS_FAULT
fi
exec {runner} "$@"
"""


class Process:
    """A process of the system, by identity."""

    def __init__(self, pid, role, run):
        self.pid = pid
        self.role = role
        self.run = run  # of a runner: "<job>.<attempt>"

    def __str__(self):
        return f"{self.role} {self.run or self.pid}"


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def role_of(pid, data):
    """(role, run) of a process of this data folder, else (None, None)."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        program = os.path.basename(os.readlink(f"/proc/{pid}/exe")).removesuffix(" (deleted)")
        same = Path(f"/proc/{parent_of(pid)}/cmdline").read_bytes().decode(
            errors="replace").split("\0") == words
    except OSError:
        return None, None
    if not any(w == data or w.startswith(data + "/") for w in words):
        return None, None
    if program == "cumulusd":
        return ("keeper" if name == ROLES["keeper"] else "cumulusd"), None
    if program == ROLES["worker"]:
        return "worker", None
    if program == ROLES["runner"]:
        if "--run-folder" not in words:
            return None, None  # the worker's check of the machine
        if same:
            return "helper", None  # the runner's own child, until it is another program
        return "runner", os.path.basename(words[words.index("--run-folder") + 1])
    return None, None


class Stage:
    def __init__(self, seed, folder):
        self.seed = seed
        self.token = secrets.token_hex(8)
        self.folder = folder
        self.lock = threading.Condition()
        self.accusations = []
        self.notes = {}  # kind: [job, ...] in the order in which customers heard of it
        self.tolds = []
        self.names = set()  # of all submissions, whatever became of them
        self.planned = 0
        self.open = False
        self.broken = False  # the system does not come back
        self.harmed = {}  # "<job>.<attempt>": how its runner was killed
        self.life = 0
        self.groups = set()  # folders of the cgroup trees below which runs have theirs

        (folder / "taken").mkdir()
        runner = folder / "runner"
        runner.write_text(RUNNER.format(folder=folder, runner=BIN / "cumulus-runner"))
        runner.chmod(0o755)
        os.environ["CUMULUS_RUNNER"] = str(runner)  # for the worker; cumulusd passes it on
        self.ledger = Ledger(folder / "ledger")
        try:
            self.system = System("--grace", "1s", on_exit="leave")
        except BaseException:
            self.ledger.close()
            raise
        self.data = str(self.system.data)
        self.life = 1
        self.sampler = Sampler(self.token, self.system.data / "chronos", self.devices,
                               self.accuse)

    # ---- what is wrong

    def accuse(self, text):
        with self.lock:
            if text not in self.accusations:
                self.accusations.append(text)
                print(f"  WRONG: {text}", flush=True)

    # ---- customers

    def begin_round(self):
        with self.lock:
            self.tolds = []
            self.open = True

    def end_round(self):
        with self.lock:
            self.open = False

    def next_plan(self):
        with self.lock:
            if not self.open or self.accusations:
                return None
            self.planned += 1
            return plan_of(self.seed, self.planned)

    def keep(self, told):
        with self.lock:
            self.tolds.append(told)

    def note(self, kind, job):
        with self.lock:
            self.notes.setdefault(kind, []).append(job)
            self.lock.notify_all()

    def wait_for_note(self, kind, timeout_s):
        """The job of the next note of this kind, or None."""
        end = time.monotonic() + timeout_s
        with self.lock:
            before = len(self.notes.get(kind, ()))
            while len(self.notes.get(kind, ())) == before:
                left = end - time.monotonic()
                if left <= 0 or not self.lock.wait(left):
                    return None
            return self.notes[kind][before]

    def where(self):
        with self.lock:
            return self.life, self.system.address

    def wait_a_moment(self, life):
        """After a refusal: until the next cumulusd is there, or a short while."""
        with self.lock:
            self.lock.wait_for(lambda: self.life != life, 0.1)

    # ---- asking, with a channel of its own each time

    def ask(self, question, timeout_s=5):
        """question(stub), or None when nobody answers."""
        _, address = self.where()
        with grpc.insecure_channel(address) as channel:
            try:
                return question(rpc.OrchestratorServiceStub(channel))
            except (grpc.RpcError, ValueError):
                return None

    def devices(self):
        answer = self.ask(lambda s: s.ListWorkers(pb.ListWorkersRequest(), timeout=5))
        return answer and [d for w in answer.workers for d in w.gpu_devices]

    def is_healthy(self):
        if self.system.process and self.system.process.poll() is not None:
            raise AssertionError(f"cumulusd died by itself: {self.system.process.returncode}")
        answer = self.ask(lambda s: s.HealthCheck(pb.HealthCheckRequest(), timeout=5))
        return bool(answer and answer.status == "healthy")

    # ---- processes

    def processes(self, *roles):
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                role, run = role_of(name, self.data)
                if role in roles:
                    found.append(Process(int(name), role, run))
        return found

    def kill(self, process):
        """SIGKILL; False when it was gone already."""
        try:
            fd = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return False
        try:
            if role_of(process.pid, self.data) != (process.role, process.run):
                return False
            signal.pidfd_send_signal(fd, signal.SIGKILL)
        except ProcessLookupError:
            return False
        finally:
            os.close(fd)
        if process.run:
            self.harmed.setdefault(process.run, "killed")
        return True

    def kill_roles(self, roles, found):
        """All of them: at once those that were found before, then whoever is there still."""
        for process in found:
            self.kill(process)
        for role in roles:  # parents first: they start the others
            while any([self.kill(p) for p in self.processes(role)]):
                pass
        if "cumulusd" in roles:
            self.system.kill()

    def lay_fault(self, name):
        """The next runner dies at the fault point."""
        laid = self.folder / "fault.new"
        laid.write_text(name)
        laid.rename(self.folder / "fault")

    def take_fault_back(self):
        (self.folder / "fault").unlink(missing_ok=True)

    def taken_faults(self):
        """{"<job>.<attempt>": fault}; the runner may not have come to it."""
        taken = {p.name: p.read_text() for p in (self.folder / "taken").iterdir()}
        for run, fault in taken.items():
            self.harmed.setdefault(run, fault)
        return taken

    # ---- lives

    def restart(self):
        with self.lock:
            self.system.start()
            self.life += 1
            self.lock.notify_all()

    def stop(self):
        """SIGTERM and a clean end."""
        self.system.stop()

    def bring_back(self):
        """Whatever was killed: start what only we can start, wait for the rest."""
        if self.system.process is None:
            self.restart()
        if not self.processes("worker", "keeper"):
            # Nobody is left to start a worker but a cumulusd that starts.
            self.stop()
            self.restart()
        until(self.is_healthy, f"the system is whole again:\n{self.system.log_text()}", BACK_S)

    # ---- what is left of a job

    def learn_groups(self):
        """Where runs have their control groups, as soon as there is a run."""
        if self.groups:
            return
        for folder, names, _ in os.walk("/sys/fs/cgroup"):
            if os.path.basename(folder) == "cumulus" and any(
                    n.split(".")[0] in self.system.jobs for n in names):
                self.groups.add(folder)

    def check_gone(self, job):
        """At the terminal event nothing of the job is there any more."""
        self.learn_groups()
        left = [f"process {one.pid}" for one in living(self.token) if one.job == job]
        left += [f"cgroup {g}" for group in self.groups for g in Path(group).glob(f"{job}.*")]
        if left:
            self.accuse(f"{job} has its terminal event, but there is still {', '.join(left)}")

    def left_now(self):
        """What is not as it should be while no job is there; [] = all is."""
        left = [f"process {one.pid} of {one.job}" for one in living(self.token)]
        left += [str(p) for p in self.processes("runner", "helper")]
        left += [f"cgroup {g}" for g in self.system.cgroups()]
        left += [f"run folder {name}" for name in self.system.run_folders()]
        left += [f"partition {p['id']} of {p.get('key', '?')}"
                 for p in self.sampler.partitions() or ()]
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        left += [f"mount {m}" for m in mounts if self.data in m]
        for process in self.processes("worker", "cumulusd", "keeper"):
            left += self._open_run_files(process)
        left += self._containers()
        if os.stat("/dev/null").st_uid or os.stat("/dev/null").st_mode & 0o666 != 0o666:
            left.append("a job's owner on /dev/null")  # crun gives it away if it gets it
        for device in self.devices() or ():
            if device.allocated_amount or device.active_partitions:
                left.append(f"lease on device {device.index}: {device.allocated_amount}")
        return left

    def _open_run_files(self, process):
        left = []
        try:
            fds = list(Path(f"/proc/{process.pid}/fd").iterdir())
            if process.role == "worker" and len(fds) > WORKER_FDS:
                left.append(f"{len(fds)} descriptors of the worker")
            for fd in fds:
                at = os.readlink(fd)
                if "/runs/" in at and at.startswith(self.data):
                    left.append(f"fd of {process} on {at}")
        except OSError:
            pass
        return left

    def _containers(self):
        """What crun thinks there is; its state may lie in its default place or in D."""
        left = []
        for place in (None, *Path(self.data).glob("worker/**/crun")):
            words = ["crun", *(["--root", str(place)] if place else []), "list", "-f", "json"]
            done = subprocess.run(words, input=b"", capture_output=True,
                                  timeout=30)
            for one in json.loads(done.stdout or b"null") or ():
                if one["id"].split(".")[0] in self.system.jobs:
                    left.append(f"container {one['id']}")
        return left

    def close(self):
        """End everything; what a clean end leaves behind goes to the accusations."""
        self.end_round()
        self.sampler.close()
        try:
            if not self.accusations and not self.broken:
                self._end_cleanly()
        finally:
            self.system.remove()
            self.ledger.close()
            os.environ.pop("CUMULUS_RUNNER", None)

    def _end_cleanly(self):
        if self.system.process is not None:
            self.stop()
        flags = self.system.flags
        flags[flags.index("--on-exit") + 1] = "stop"
        self.restart()
        until(self.is_healthy, "the system is whole for the last time", BACK_S)
        self.stop()
        try:
            until(lambda: not self.system.left_behind(), "nothing is left", 2 * GONE_S)
        except AssertionError:
            self.accuse(f"left behind:\n{self.system.left_behind()}")


