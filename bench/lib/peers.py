"""peers.py - what stands beside ours: started by hand for a bench, gone after it.

Each raises Missing, with the reason, where it is not installed or does not start; nothing is
guessed.  Data and sockets lie in a temporary folder; no bridge and no firewall rule is made.

SPDX-License-Identifier: Apache-2.0
"""
import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness import BUILD, ROOT, Missing

PATIENCE_S = 30
CGROUPS = Path("/sys/fs/cgroup")


def need(*programs):
    for program in programs:
        if shutil.which(program) is None:
            raise Missing(f"{program} is not installed (scripts/setup.sh bench)")


def quietly(*words, **more):
    """Run to its end; what it said is shown only where it failed."""
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise Missing(f"{Path(str(words[0])).name} failed: {(done.stderr or done.stdout).strip()[-200:]}")
    return done.stdout


def wait_until(question, process, what, log):
    """Until the answer is true; what the program wrote into its log says why it never is."""
    end = time.monotonic() + PATIENCE_S
    while not question():
        if process.poll() is not None:
            told = Path(log).read_text(errors="replace").strip()[-200:] if Path(log).exists() else ""
            raise Missing(f"{what} ended with {process.returncode}: {told}")
        if time.monotonic() > end:
            raise Missing(f"{what} is not there after {PATIENCE_S} s")
        time.sleep(0.05)


@contextlib.contextmanager
def daemon(words, log, **more):
    """A program in the foreground of its own session; it and what it started are ended."""
    process = subprocess.Popen(list(map(str, words)), stdin=subprocess.DEVNULL, stdout=log,
                               stderr=log, start_new_session=True, **more)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def end_holders(folder):
    """End what still has a file of this folder open: slurmd's steps outlive slurmd."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            held = any(os.readlink(fd).startswith(f"{folder}/") for fd in (process / "fd").iterdir())
        except OSError:
            continue  # it has ended
        if held and int(process.name) != os.getpid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process.name), signal.SIGKILL)


class Absent:
    """Stands for a peer that is missing: whatever is asked of it says so."""

    def __init__(self, why):
        self.why = str(why)

    def __getattr__(self, name):
        def refuse(*_, **__):
            raise Missing(self.why)
        return refuse


@contextlib.contextmanager
def present(peer):
    """The context manager peer, or an Absent where it cannot be entered."""
    with contextlib.ExitStack() as stack:
        try:
            there = stack.enter_context(peer)
        except Missing as why:
            there = Absent(why)
        yield there


# ---- times of programs

def call_ms(words):
    began = time.perf_counter()
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, close_fds=False)
    took = (time.perf_counter() - began) * 1000
    if done.returncode != 0:
        raise Missing(f"{words[0]} ended with {done.returncode}: "
                      f"{done.stderr.decode(errors='replace').strip()[-200:]}")
    return took


def calls_per_second(words_of, count, at_a_time):
    """words_of(i) is the i-th command; so many at a time, count of them."""
    with ThreadPoolExecutor(at_a_time) as pool:
        began = time.perf_counter()
        for _ in pool.map(lambda i: call_ms(words_of(i)), range(count)):
            pass
        return count / (time.perf_counter() - began)


def static_program(folder):
    """A static program that does nothing."""
    need("gcc")
    source = Path(folder) / "nothing.c"
    source.write_text("int main(void) { return 0; }\n")
    quietly("gcc", "-O2", "-static", "-o", Path(folder) / "nothing", source)
    return Path(folder) / "nothing"


# ---- SQLite

def sqlite_rate(rows, seconds, size=4096):
    """Rows of so many bytes a second, one table, no index, WAL, synchronous=FULL."""
    folder = tempfile.mkdtemp(prefix="cumulus-bench-", dir="/tmp")
    try:
        db = sqlite3.connect(f"{folder}/raw.db", isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, uid TEXT, state, prio, created, "
                   "spec BLOB)")
        done, began = 0, time.monotonic()
        while time.monotonic() - began < seconds:
            db.execute("BEGIN IMMEDIATE")
            for i in range(done, done + rows):
                db.execute("INSERT INTO jobs (uid, state, prio, created, spec) "
                           "VALUES (?, 1, 0, ?, ?)", (f"j-{i}", i, os.urandom(size)))
            db.execute("COMMIT")
            done += rows
        rate = done / (time.monotonic() - began)
        db.close()
        return rate
    finally:
        shutil.rmtree(folder)


# ---- Docker

class Docker:
    def __init__(self, host):
        self.host = host

    def words(self, *command):
        return ["docker", "-H", self.host, "run", "--rm", "--network", "none", "nothing", *command]

    def run_ms(self):
        return call_ms(self.words("/nothing"))

    def rate(self, count, at_a_time):
        return calls_per_second(lambda i: self.words("/nothing"), count, at_a_time)


@contextlib.contextmanager
def docker():
    need("dockerd", "docker")
    folder = Path(tempfile.mkdtemp(prefix="cumulus-bench-docker-", dir="/tmp"))
    host = f"unix://{folder}/docker.sock"
    try:
        with open(folder / "log", "wb") as log, daemon(
                ["dockerd", "--bridge=none", "--iptables=false", "--ip-forward=false",
                 "--ip-masq=false", "--data-root", folder / "data", "--exec-root", folder / "exec",
                 "--pidfile", folder / "pid", "-H", host], log) as process:
            wait_until(lambda: subprocess.run(["docker", "-H", host, "info"],
                                              capture_output=True).returncode == 0,
                       process, "dockerd", folder / "log")
            root = folder / "root"
            root.mkdir()
            shutil.copy(static_program(folder), root / "nothing")
            tar = subprocess.run(["tar", "-c", "-C", root, "."], stdout=subprocess.PIPE, check=True)
            subprocess.run(["docker", "-H", host, "import", "-", "nothing"], input=tar.stdout,
                           stdout=subprocess.DEVNULL, check=True)
            yield Docker(host)
    finally:
        end_holders(folder)
        for mount in mounts_below(folder):
            subprocess.run(["umount", "-l", mount], check=False)
        shutil.rmtree(folder, ignore_errors=True)


def mounts_below(folder):
    with open("/proc/self/mountinfo", encoding="ascii") as f:
        found = [line.split()[4] for line in f]
    return sorted((m for m in found if m.startswith(f"{folder}/")), reverse=True)


# ---- crun

class Crun:
    """`crun run` with all namespaces but the user's; with cgroups where crun can make them."""

    def __init__(self, folder):
        self.folder = folder
        self.serial = 0
        self.program = [str(static_program(folder).rename(folder / "true")), "/usr/bin/python3"]
        self.bundle("static", ["/true"])
        self.bundle("python", ["/usr/bin/python3", "-I", "-S", "-c", "def main(): pass\nmain()"])
        call_ms(self.words("static"))

    def bundle(self, name, args):
        path = self.folder / name
        root = path / "root"
        for inner in ("usr", "proc", "dev", "tmp", "lib", "lib64", "sys"):
            (root / inner).mkdir(parents=True)
        shutil.copy(self.folder / "true", root / "true")
        quietly("crun", "spec", cwd=path)
        config = json.loads((path / "config.json").read_text())
        config["process"]["terminal"] = False
        config["process"]["args"] = args
        config["root"] = {"path": str(root), "readonly": False}
        for inner in ("usr", "lib", "lib64"):
            config["mounts"].append({"destination": f"/{inner}", "type": "bind",
                                     "source": f"/{inner}", "options": ["rbind", "ro"]})
        config["mounts"] = [m for m in config["mounts"] if m["type"] != "cgroup"]
        (path / "config.json").write_text(json.dumps(config))

    def words(self, name):
        # With v1 and v2 both mounted crun refuses to start: v2 is hidden from it.
        self.serial += 1
        unified = CGROUPS / "unified"
        run = ["crun", "--root", f"{self.folder}/state", "run", "--bundle",
               f"{self.folder}/{name}", f"bench-{os.getpid()}-{self.serial}"]
        if not unified.is_mount():
            return run
        return ["unshare", "-m", "--propagation", "private", "sh", "-c",
                f'umount {unified} && exec "$@"', "sh", *run]

    def run_ms(self, name):
        return call_ms(self.words(name))

    def rate(self, name, count, at_a_time):
        return calls_per_second(lambda i: self.words(name), count, at_a_time)


@contextlib.contextmanager
def crun():
    need("crun", "unshare")
    folder = Path(tempfile.mkdtemp(prefix="cumulus-bench-crun-", dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield Crun(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# ---- Slurm

SLURM_CONF = """
ClusterName=bench
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ctld_port}
SlurmdPort={d_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/d.pid
SlurmctldLogFile={folder}/ctld.log
SlurmdLogFile={folder}/d.log
SlurmctldDebug=error
SlurmdDebug=error
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
MinJobAge=5
MaxJobCount=100000
SchedulerType=sched/builtin
SchedulerParameters={scheduling}
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


class Slurm:
    def __init__(self, folder, environment):
        self.folder = folder
        self.env = environment
        self.script = folder / "true.sh"
        self.script.write_text("#!/bin/sh\nexec /bin/true\n")

    def submission_rate(self, clients, jobs):
        """Held jobs submitted a second by C programs on libslurm, so many each."""
        client = BUILD / "bench" / "slurm_client"
        if not client.exists():
            quietly("gcc", "-O2", "-o", client, ROOT / "bench/submit/slurm_client.c", "-lslurm")
        began = time.perf_counter()
        running = [subprocess.Popen([client, str(jobs)], env=self.env, stderr=subprocess.PIPE,
                                    text=True) for _ in range(clients)]
        failed = [p.communicate()[1] for p in running if p.wait() != 0]
        rate = clients * jobs / (time.perf_counter() - began)
        if failed:
            raise Missing(f"slurm_client failed: {failed[0].strip()[-200:]}")
        subprocess.run(["scancel", "-u", "root", "--quiet"], env=self.env, check=False)
        return rate

    def srun_ms(self):
        began = time.perf_counter()
        quietly("srun", "-Q", "-n1", "/bin/true", env=self.env)
        return (time.perf_counter() - began) * 1000

    def sbatch_ms(self):
        """From calling sbatch to the first instruction of the job."""
        told = self.folder / "began"
        told.unlink(missing_ok=True)
        script = self.folder / "stamp.sh"
        script.write_text(f"#!/bin/bash\necho $EPOCHREALTIME > {told}.new; mv {told}.new {told}\n")
        began = time.time()
        quietly("sbatch", "-Q", "-o", "/dev/null", script, env=self.env)
        end = time.monotonic() + PATIENCE_S
        while not told.exists():
            if time.monotonic() > end:
                raise Missing(f"sbatch: the job has not begun after {PATIENCE_S} s")
            time.sleep(0.001)
        return (float(told.read_text()) - began) * 1000

    def rate(self, jobs):
        """Trivial jobs a second from one array, uncontained, from sbatch to the last end."""
        began = time.perf_counter()
        quietly("sbatch", "-Q", "-o", "/dev/null", f"--array=1-{jobs}", self.script, env=self.env)
        while quietly("squeue", "-h", "-o", "%i", env=self.env).strip():
            time.sleep(0.02)
        return jobs / (time.perf_counter() - began)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def munge_account():
    import pwd
    try:
        return pwd.getpwnam("munge")
    except KeyError:
        raise Missing("there is no user munge (scripts/setup.sh bench)") from None


@contextlib.contextmanager
def _slurm(cpus, scheduling):
    need("munged", "slurmctld", "slurmd", "srun", "sbatch", "squeue")
    account = munge_account()
    folder = Path(tempfile.mkdtemp(prefix="cumulus-bench-slurm-", dir="/tmp"))
    folder.chmod(0o755)
    env = {**os.environ, "SLURM_CONF": f"{folder}/slurm.conf"}
    try:
        munge = folder / "munge"
        munge.mkdir(mode=0o755)
        (munge / "key").write_bytes(os.urandom(1024))
        (munge / "key").chmod(0o400)
        for path in (munge, munge / "key"):
            os.chown(path, account.pw_uid, account.pw_gid)
        host = socket.gethostname().split(".")[0]
        (folder / "state").mkdir()
        (folder / "spool").mkdir()
        (folder / "munge.socket").symlink_to(munge / "socket")
        (folder / "slurm.conf").write_text(SLURM_CONF.format(
            host=host, folder=folder, cpus=cpus, scheduling=scheduling, ctld_port=free_port(),
            d_port=free_port()))
        with contextlib.ExitStack() as stack:
            log = stack.enter_context(open(folder / "log", "wb"))
            munged = stack.enter_context(daemon(
                ["munged", "--foreground", "--force", f"--key-file={munge}/key",
                 f"--socket={munge}/socket", f"--pid-file={munge}/pid",
                 f"--log-file={munge}/log", f"--seed-file={munge}/seed"], log,
                user=account.pw_uid, group=account.pw_gid))
            wait_until((munge / "socket").exists, munged, "munged", munge / "log")
            stack.enter_context(daemon(["slurmctld", "-D", "-c"], log, env=env))
            node = stack.enter_context(daemon(["slurmd", "-D", "-c", "-N", host], log, env=env))
            wait_until(lambda: subprocess.run(["sinfo", "-h", "-t", "idle", "-o", "%D"], env=env,
                                              capture_output=True, text=True).stdout.strip() == "1",
                       node, "an idle node of Slurm", folder / "d.log")
            yield Slurm(folder, env)
    finally:
        end_holders(folder)
        shutil.rmtree(folder, ignore_errors=True)


def slurm(cpus, scheduling="defer,sched_interval=1,batch_sched_delay=0,sched_min_interval=0"):
    """Slurm on this machine with so many slots; an Absent where it cannot be had."""
    return present(_slurm(cpus, scheduling))
