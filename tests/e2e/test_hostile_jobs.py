"""Jobs that misbehave: each ends with its reason, the neighbours go on, and nothing is left.

SPDX-License-Identifier: Apache-2.0
"""
import os
import re
import shutil
import signal
from pathlib import Path

import grpc
import pytest

from client import TERMINAL, Client
from system import pb, until

MIB = 1 << 20

# Counts, so that one can see whether it goes on.
TICK = """
    import time
    def main():
        n = 0
        while True:
            print(n, flush=True)
            n += 1
            time.sleep(0.05)
    """


def worker_of(system):
    """The pid of its cumulus-worker."""
    for pid in system.processes():
        try:
            comm = Path(f"/proc/{pid}/comm").read_text().strip()
            program = os.path.basename(os.readlink(f"/proc/{pid}/exe"))
        except OSError:
            continue  # it ended while we looked
        if comm == program == "cumulus-worker":
            return pid
    raise AssertionError("no worker runs")


def mounts_of(pid):
    with open(f"/proc/{pid}/mountinfo") as f:
        return f.read()


@pytest.fixture(scope="module")
def neighbour(shared_system):
    """A job that was there before, and must not notice any of this."""
    client = Client(shared_system)
    job, stream = client.begin(TICK, gpu=0.1, duration=3600)
    until(lambda: b"\n" in b"".join(o.data for o in client.logs(job)), "the neighbour ticks")
    yield job, worker_of(shared_system)
    stream.cancel()
    client.close()


def ticks(client, job):
    """The last number that the neighbour printed."""
    status = client.status(job)
    assert status.state == pb.RUNNING, status
    lines = b"".join(o.data for o in client.logs(job, tail_lines=3)).split(b"\n")
    return int(lines[-2])  # what follows the last line end may be half a number


def left_of(system, jobs):
    """What these jobs left on the machine, in words."""
    left = [f"run folder {name}" for name in system.run_folders() if name.split(".")[0] in jobs]
    left += [f"cgroup {folder}" for folder in system.cgroups()
             if os.path.basename(folder).split(".")[0] in jobs]
    for pid in system.processes():
        try:
            told = Path(f"/proc/{pid}/environ").read_bytes()
            told += Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        left += [f"process {pid} of {job}" for job in jobs if job.encode() in told]
    for pid in (1, system.process.pid, worker_of(system)):
        left += [f"mount of {job} in {pid}" for job in jobs if job in mounts_of(pid)]
    return left


@pytest.fixture(autouse=True)
def nobody_else_notices(client, neighbour):
    """After each test: the neighbour ticks, worker and cumulusd are the same, all is given back."""
    job, worker = neighbour
    before = ticks(client, job)
    null = os.stat("/dev/null")
    yield
    for mine in client.jobs:
        if client.status(mine).state not in TERMINAL:
            client.cancel(mine)
        client.until_terminal(mine)
    until(lambda: ticks(client, job) > before, "the neighbour goes on")
    assert worker_of(client.system) == worker, "the worker is not the one of before"
    until(lambda: not left_of(client.system, client.jobs),
          "nothing of it is left")
    until(lambda: abs(sum(d.allocated_amount for d in client.devices()) - 0.1) < 0.001,
          "all shares but the neighbour's are free")
    assert client.health().status == "healthy"
    after = os.stat("/dev/null")
    assert (after.st_mode, after.st_uid) == (null.st_mode, null.st_uid)


def failed(story, reason, said=""):
    assert story.code == grpc.StatusCode.OK, story.text()
    assert story.last.state == pb.FAILED, story.text()[-2000:]
    assert pb.Reason.Name(story.last.reason) == pb.Reason.Name(reason), story.text()[-2000:]
    assert said in story.last.message, story.last.message
    assert not re.search("[\x00-\x1f\x7f-\x9f]", story.last.message), story.last.message
    return story


# ---- those who want too much

def test_a_fork_bomb_meets_its_limit_and_is_gone(client):
    story = client.run("""
        import os, time
        def main():
            refused = 0
            end = time.monotonic() + 3
            while time.monotonic() < end:
                try:
                    if os.fork() == 0:
                        while True:
                            try:
                                os.fork()
                            except OSError:
                                pass
                except OSError:
                    refused += 1
                    time.sleep(0.01)
            return refused
        """, limits=pb.Limits(pids=64))
    assert story.value > 0
    assert b"limit of 64 processes" in story.output(pb.SYSTEM)


HOGS = {
    "anonymous memory": """
        def main():
            hog = []
            while True:
                hog.append(b"x" * (16 << 20))
        """,
    "/dev/shm": """
        def main():
            for n in range(100):
                with open(f"/dev/shm/{n}", "wb") as f:
                    f.write(b"x" * (8 << 20))
            hog = []
            while True:
                hog.append(b"x" * (8 << 20))
        """,
    "memory files": """
        import os
        def main():
            files = []
            while True:
                files.append(os.memfd_create("hog"))
                os.write(files[-1], b"x" * (8 << 20))
        """,
    "the buffers of pipes": """
        import os, resource
        def main():
            resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
            pipes, hog = [], []
            try:
                while True:
                    pipes.append(os.pipe())
                    os.set_blocking(pipes[-1][1], False)
                    os.write(pipes[-1][1], b"x" * 65536)
            except OSError:
                pass
            while True:
                hog.append(b"x" * (8 << 20))
        """,
}


@pytest.mark.parametrize("kind", HOGS)
def test_a_memory_hog_is_ended_and_told_its_limit(client, kind):
    story = client.run(HOGS[kind], limits=pb.Limits(memory_bytes=128 * MIB))
    if story.last.reason == pb.CODE_FAILED:  # its tmpfs was full before
        assert "No space left" in story.last.message or "MemoryError" in story.last.message
        return
    failed(story, pb.OUT_OF_MEMORY, "128 MiB")


def test_the_page_cache_is_given_back_and_kills_nobody(client):
    story = client.run("""
        import os
        def main():
            with open("/job/work/large", "wb") as f:
                for _ in range(32):
                    f.write(b"x" * (8 << 20))
            total = 0
            with open("/job/work/large", "rb") as f:
                while piece := f.read(1 << 20):
                    total += len(piece)
            return total
        """, limits=pb.Limits(memory_bytes=128 * MIB, disk_bytes=512 * MIB))
    assert story.value == 256 * MIB


FILLERS = {
    "many empty files": """
        def main():
            n = 0
            while True:
                open(f"/job/work/{n}", "w").close()
                n += 1
        """,
    "many empty folders": """
        import os
        def main():
            n = 0
            while True:
                os.mkdir(f"/job/src/{n}")
                n += 1
        """,
    "a file that is deleted and still open": """
        import os, time
        def main():
            files = []
            for n in range(6):
                files.append(open("/job/work/hidden", "wb", 0))
                os.unlink("/job/work/hidden")
                files[-1].write(b"x" * (8 << 20))
            time.sleep(600)
        """,
    "deleted and only mapped": """
        import mmap, os, time
        def main():
            maps = []
            for n in range(6):
                fd = os.open("/job/work/hidden", os.O_RDWR | os.O_CREAT)
                os.posix_fallocate(fd, 0, 8 << 20)
                maps.append(mmap.mmap(fd, 8 << 20))
                os.close(fd)
                os.unlink("/job/work/hidden")
            time.sleep(600)
        """,
    "far down": """
        import os, time
        def main():
            os.chdir("/job/work")
            for _ in range(200):
                os.mkdir("d")
                os.chdir("d")
            for n in range(6):
                with open(f"hidden{n}", "wb") as f:
                    f.write(b"x" * (8 << 20))
            time.sleep(600)
        """,
    "in folders that nobody may read": """
        import os, time
        def main():
            os.mkdir("/job/work/closed")
            for n in range(6):
                with open(f"/job/work/closed/hidden{n}", "wb") as f:
                    f.write(b"x" * (8 << 20))
            os.chmod("/job/work/closed", 0)
            time.sleep(600)
        """,
}


@pytest.mark.parametrize("kind", FILLERS)
def test_who_fills_the_disk_is_ended_however_it_is_done(client, kind):
    failed(client.run(FILLERS[kind], limits=pb.Limits(disk_bytes=32 * MIB)),
           pb.DISK_LIMIT, "32 MiB")


def test_one_file_cannot_outgrow_the_jobs_disk(client):
    story = client.run("""
        def main():
            with open("/job/work/large", "wb") as f:
                while True:
                    f.write(b"x" * (8 << 20))
        """, limits=pb.Limits(disk_bytes=32 * MIB))
    assert story.last.reason in (pb.CODE_FAILED, pb.SIGNALED, pb.DISK_LIMIT), story.text()
    assert any(w in story.last.message for w in ("File too large", "SIGXFSZ", "32 MiB"))


def test_a_hard_link_is_counted_once(client):
    story = client.run("""
        import os, time
        def main():
            with open("/job/work/one", "wb") as f:
                f.write(b"x" * (16 << 20))
            for n in range(20):
                os.link("/job/work/one", f"/job/work/{n}")
            time.sleep(5)
            return "there"
        """, limits=pb.Limits(disk_bytes=64 * MIB))
    assert story.value == "there"


def test_a_descriptor_hog_meets_its_limit(client):
    story = client.run("""
        import os, resource
        def main():
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            fds = []
            try:
                while True:
                    fds.append(os.open("/dev/null", os.O_RDONLY))
            except OSError as e:
                return [len(fds), e.strerror]
        """)
    assert story.value[0] <= 4096 and story.value[1] == "Too many open files"


def test_an_environment_larger_than_a_program_may_have_fails_in_the_job(client):
    story = client.run("""
        import os, subprocess
        def main():
            for n in range(64):
                os.environ[f"LARGE_{n}"] = "x" * 100_000
            subprocess.run(["/bin/true"], check=True)
        """)
    failed(story, pb.CODE_FAILED, "Argument list too long")


# ---- what they print

def test_a_hundred_megabytes_of_output_are_counted_and_kept_to_the_limit(client):
    story = client.run("""
        import os
        def main():
            line = b"x" * 99 + b"\\n"
            for _ in range(1000):
                os.write(1, line * 1000)
            return "said"
        """, duration=300)
    assert story.value == "said"
    said = story.output(pb.SYSTEM).decode()
    kept = len(story.output(pb.STDOUT))
    lost = int(re.search(r"(\d+) bytes of output were not kept", said).group(1))
    assert kept <= 64 * MIB and kept + lost == 100_000_000, said


def test_output_without_line_ends_arrives_as_it_is(client):
    story = client.run("""
        import os
        def main():
            for _ in range(64):
                os.write(1, b"y" * 50_000)
        """)
    assert story.last.state == pb.COMPLETED
    assert story.output(pb.STDOUT) == b"y" * 3_200_000


def test_bytes_that_are_no_text_arrive_whole_and_their_message_is_text(client):
    raw = bytes(range(256)) + b"\x1b]0;title\x07\x1b[2J\xf0\x9f\x98"
    story = client.run(f"""
        import os
        def main():
            os.write(1, {raw!r})
            os.write(2, {raw[::-1]!r})
        """)
    assert story.output(pb.STDOUT) == raw and story.output(pb.STDERR) == raw[::-1]
    assert all(isinstance(e.message, str) for e in story.events)


def test_an_error_that_is_hostile_is_one_clean_line(client):
    story = client.run("""
        class Evil(Exception):
            def __str__(self):
                raise KeyboardInterrupt
        Evil.__name__ = "Evil\\n\\x1b[2J\\x9b"
        def main():
            raise Evil
        """)
    failed(story, pb.CODE_FAILED, "Evil")
    story = client.run("def main():\n    raise ValueError('\\ud800\\x00\\x1b[2Jgone\\x9b')\n")
    failed(story, pb.CODE_FAILED, "gone")


# ---- what they return

@pytest.mark.parametrize("value, reason, said", [
    ("float('inf')", pb.RESULT_INVALID, "NaN or infinite"),
    ("[1, {'a': float('nan')}]", pb.RESULT_INVALID, "NaN or infinite"),
    ("b'bytes'", pb.RESULT_INVALID, "builtins.bytes"),
    ("{(1, 2): 3}", pb.RESULT_INVALID, "key"),
    ("10 ** 5000", pb.RESULT_INVALID, "4300 digits"),
    ("loop()", pb.RESULT_INVALID, "itself"),
    ("deep()", pb.RESULT_INVALID, "nested too deeply"),
    ("'x' * (3 << 20) + 'y' * (1 << 20)", pb.RESULT_TOO_LARGE, "3.5 MiB"),
    ("__import__('os')._exit", pb.RESULT_INVALID, "builtin_function_or_method"),
])
def test_a_result_that_json_cannot_hold_says_why(client, value, reason, said):
    failed(client.run(f"""
        def loop():
            a = []
            a.append(a)
            return a
        def deep():
            a = []
            for _ in range(100_000):
                a = [a]
            return a
        def main():
            return {value}
        """), reason, said)


def test_what_is_sent_on_the_channel_by_hand_harms_only_the_job(client):
    story = client.run("""
        import os, socket
        def main():
            s = socket.socket(fileno=os.dup(3))
            for junk in (b"\\xff" * 60000, b"Pshort", b"P" + b"\\xff" * 8 + b"nan",
                         b"P" + bytes(8) + b"\\xff\\x1b[2J" * 1000, b"I" + b"\\xff" * 5000,
                         b"F{", b"F" + b"[" * 30000, b"E", b"S" + b"\\xff" * 30000, b"E", b"?"):
                s.send(junk)
            return "unheard"
        """)
    assert story.last.state == pb.FAILED, story.text()
    assert story.last.reason in (pb.RESULT_INVALID, pb.CODE_FAILED), story.text()


def test_a_flood_on_the_channel_ends_with_the_job(client):
    story = client.run("""
        import os, struct, time
        def main():
            packet = b"P" + struct.pack("<d", 0.5) + b"x" * 900
            end = time.monotonic() + 2
            while time.monotonic() < end:
                os.write(3, packet)
            return "done"
        """)
    assert story.value == "done"
    assert len(story.events) < 200, len(story.events)


# ---- those who break themselves

def test_recursion_without_end_is_an_error_of_the_code(client):
    failed(client.run("""
        def down():
            return down() + 1
        def main():
            return down()
        """), pb.CODE_FAILED, "RecursionError")


def test_a_stack_that_overflows_is_a_signal(client):
    failed(client.run("""
        import ctypes, resource
        call = ctypes.PYFUNCTYPE(ctypes.c_int)
        @call
        def down():
            return down()
        def main():
            import sys
            sys.setrecursionlimit(10 ** 9)
            return down()
        """), pb.SIGNALED, "SIGSEGV")


def test_closing_its_standard_streams_is_the_jobs_own_business(client):
    story = client.run("""
        import os, sys
        def main():
            print("last words", flush=True)
            sys.stdout.close()
            for fd in (0, 1, 2):
                os.close(fd)
            return "silent"
        """)
    assert story.value == "silent" and story.output() == b"last words\n"


def test_daemons_that_hold_the_pipes_do_not_keep_the_job(client):
    story = client.run("""
        import os, signal, time
        def main():
            ready, go = os.pipe()
            if os.fork() == 0:
                os.setsid()
                if os.fork() == 0:
                    for n in range(1, 65):
                        if n not in (signal.SIGKILL, signal.SIGSTOP, 32, 33):
                            signal.signal(n, signal.SIG_IGN)
                    os.write(go, b"x")
                    time.sleep(600)
                os._exit(0)
            os.read(ready, 1)
            return "left one"
        """)
    assert story.value == "left one"


@pytest.mark.parametrize("whom", ["os.getpid()", "-1", "0"])
def test_a_job_that_stops_itself_is_ended_at_its_time(client, whom):
    story = client.run(f"""
        import os, signal
        def main():
            for _ in range(3):
                if os.fork() == 0:
                    signal.pause()
            os.kill({whom}, signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)
        """, duration=2)
    failed(story, pb.DURATION_EXCEEDED, "2 s")


def test_a_job_that_is_stopped_can_be_cancelled(client):
    job, stream = client.begin("""
        import os, signal
        def main():
            os.kill(os.getpid(), signal.SIGSTOP)
        """)
    assert client.cancel(job).cancelled
    assert client.until_terminal(job).state == pb.CANCELLED


def test_who_kills_all_that_it_sees_kills_only_its_own(client):
    story = client.run("""
        import os, signal, time
        def main():
            for _ in range(5):
                if os.fork() == 0:
                    time.sleep(600)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # init hands it on
            for n in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP, signal.SIGSEGV):
                try:
                    os.kill(1, n)
                except OSError:
                    pass
            os.kill(-1, signal.SIGKILL)
            return len([p for p in os.listdir("/proc") if p.isdigit()])
        """)
    assert story.value <= 7  # init, itself, and children that are not reaped yet


def test_every_signal_to_itself_ends_in_its_reason(client):
    for number in (signal.SIGQUIT, signal.SIGILL, signal.SIGFPE, signal.SIGBUS, signal.SIGSYS,
                   signal.SIGXCPU, signal.SIGUSR1):
        failed(client.run(f"""
            import os, time
            def main():
                os.kill(os.getpid(), {int(number)})
                time.sleep(60)
            """), pb.SIGNALED, signal.Signals(number).name)


def test_a_crash_dumps_no_core(client):
    story = client.run("""
        import ctypes, os, resource
        def main():
            limit = resource.getrlimit(resource.RLIMIT_CORE)
            if (pid := os.fork()) == 0:
                ctypes.string_at(0)
            status = os.waitpid(pid, 0)[1]
            return [list(limit), os.WIFSIGNALED(status), os.WCOREDUMP(status), os.listdir(".")]
        """)
    limit, signaled, dumped, files = story.value
    # 1, not 0: a core_pattern that is a program ignores 0.
    assert limit == [1, 1] and signaled and not dumped and files == ["main.py"]


# ---- those who reach out

# Each call in a child of its own, since some are fatal where they are refused.
REACH = """
    import ctypes, errno, os, socket
    libc = ctypes.CDLL(None, use_errno=True)
    CALLS = dict(ptrace=101, unshare=272, setns=308, mount=165, umount2=166, pivot_root=155,
                 chroot=161, bpf=321, io_uring_setup=425, keyctl=250, add_key=248,
                 request_key=249, userfaultfd=323, perf_event_open=298, clock_settime=227,
                 settimeofday=164, adjtimex=159, clock_adjtime=305, sethostname=170, reboot=169,
                 swapon=167, init_module=175, finit_module=313, kexec_load=246, acct=163,
                 iopl=172, ioperm=173, open_by_handle_at=304, name_to_handle_at=303,
                 fanotify_init=300, fsopen=430, open_tree=428, move_mount=429, syslog=103,
                 quotactl=179, kcmp=312, process_madvise=440, vhangup=153, clone3=435,
                 memfd_secret=447, unknown=999)
    def tell(call):
        read, write = os.pipe()
        if (pid := os.fork()) == 0:
            ctypes.set_errno(0)
            try:
                rc = call()
                word = errno.errorcode.get(ctypes.get_errno(), "?") if rc in (-1, None) else "OK"
            except OSError as e:
                word = errno.errorcode[e.errno]
            os.write(write, word.encode())
            os._exit(0)
        os.close(write)
        word = os.read(read, 100).decode()
        os.close(read)
        status = os.waitpid(pid, 0)[1]
        return word or f"signal {os.WTERMSIG(status)}"
    def write_to(path):
        def call():
            fd = os.open(path, os.O_WRONLY)
            os.write(fd, b"1")
            return 0
        return call
    def main():
        zero = ctypes.create_string_buffer(4096)
        told = {name: tell(lambda: libc.syscall(number, zero, zero, zero, 0, 0, 0))
                for name, number in CALLS.items()}
        told["clone into a user namespace"] = tell(
            lambda: libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0))
        for family in (40, 38, 17, 44, 16):  # VSOCK, ALG, PACKET, XDP, NETLINK (not route)
            told[f"socket {family}"] = tell(
                lambda: socket.socket(family, socket.SOCK_RAW, 12).fileno())
        told["mknod"] = tell(lambda: os.mknod("/tmp/mem", 0o20666, os.makedev(1, 1)) or 0)
        told["setuid"] = tell(lambda: os.setuid(0) or 0)
        told["chown"] = tell(lambda: os.chown("/job/work", 0, 0) or 0)
        told["nice"] = tell(lambda: os.nice(-5))
        told["hard link"] = tell(lambda: os.link("/usr/bin/python3", "/job/work/p") or 0)
        for path in ("/proc/sysrq-trigger", "/proc/sys/kernel/hostname", "/proc/sys/vm/drop_caches",
                     "/proc/sys/kernel/core_pattern", "/proc/1/oom_score_adj", "/proc/1/mem",
                     "/proc/1/fd/4", "/proc/1/environ", "/sys/kernel/uevent_helper", "/dev/mem",
                     "/dev/kmsg", "/sys/fs/cgroup/cgroup.procs", "/usr/x", "/etc/passwd",
                     "/opt/cumulus/init", "/job/code.zip", "/proc/self/uid_map"):
            told[path] = tell(write_to(path))
        told["connect"] = tell(lambda: socket.create_connection(("1.1.1.1", 80), 2) and 0)
        return told
    """


def test_nothing_outside_can_be_reached(client):
    told = client.run(REACH).value
    fine = {name: word for name, word in told.items()
            if word not in ("EPERM", "ENOSYS", "EACCES", "EROFS", "ENOENT", "EAFNOSUPPORT",
                            "ENETUNREACH", "EXDEV", "EPROTONOSUPPORT")}
    assert not fine, fine


def test_abstract_sockets_and_ports_of_the_host_are_not_the_jobs(client):
    import socket
    name = f"\0cumulus-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as ours, socket.socket() as port:
        ours.bind(name)
        ours.listen()
        port.bind(("127.0.0.1", 0))
        port.listen()
        story = client.run(f"""
            import socket
            def main():
                told = []
                for family, where in ((socket.AF_UNIX, {name!r}),
                                      (socket.AF_INET, ("127.0.0.1", {port.getsockname()[1]})),
                                      (socket.AF_INET, ("127.0.0.1", {client.system.port}))):
                    try:
                        socket.socket(family).connect(where)
                        told.append("connected")
                    except OSError as e:
                        told.append(e.strerror)
                mine = socket.socket(socket.AF_UNIX)
                mine.bind({name!r})  # taken outside, free in here
                return told
            """)
        assert story.value == ["Connection refused"] * 3


def test_two_jobs_see_and_reach_nothing_of_each_other(client, neighbour):
    story = client.run("""
        import os
        def main():
            pids = [int(p) for p in os.listdir("/proc") if p.isdigit()]
            words = [open(f"/proc/{p}/cmdline").read() for p in pids]
            return [len(pids), os.listdir("/job"), sorted(os.listdir("/dev/shm") + os.listdir("/tmp"))]
        """)
    count, job, shared = story.value
    assert count == 2 and sorted(job) == ["code.zip", "src", "work"] and shared == []


# ---- what they leave in their folders

TREES = {
    "ten thousand levels": """
        import os
        def main():
            os.chdir("/job/work")
            for _ in range(10_000):
                os.mkdir("d")
                os.chdir("d")
            open("x", "w").close()
            return "made"
        """,
    "long names deep down": """
        import os
        def main():
            os.chdir("/job/src")
            for _ in range(300):
                os.mkdir("n" * 255)
                os.chdir("n" * 255)
            return "made"
        """,
    "nothing may be read": """
        import os
        def main():
            os.makedirs("/job/work/a/b/c")
            for where in ("/job/work/a/b/c", "/job/work/a/b", "/job/work/a", "/job/work", "/job/src"):
                open(where + "/f", "w").close()
                os.chmod(where + "/f", 0)
                os.chmod(where, 0)
            return "made"
        """,
    "sockets, fifos and links": """
        import os, socket
        def main():
            os.mkfifo("/job/work/fifo")
            socket.socket(socket.AF_UNIX).bind("/job/work/socket")
            for n, to in enumerate(("/", "/etc/passwd", "..", "../../../../../..", ".", "loop", "/proc/1")):
                os.symlink(to, f"/job/work/link{n}")
            os.symlink("loop", "/job/work/loop")
            os.mkdir("/job/work/.removing-0")
            return "made"
        """,
    "names of all bytes": """
        import os
        def main():
            for n in range(1, 256):
                if n not in (46, 47):
                    os.mkdir(b"/job/work/" + bytes([n]))
            os.mkdir(b"/job/work/" + b"\\xff" * 255)
            return "made"
        """,
    "attributes": """
        import array, fcntl, os
        def main():
            told = []
            for flag in (0x10, 0x20, 0x08, 0x40, 0x80):  # immutable, append, sync, nodump, noatime
                fd = os.open(f"/job/work/{flag}", os.O_CREAT | os.O_RDWR)
                try:
                    fcntl.ioctl(fd, 0x40086602, array.array("L", [flag]))
                    told.append(flag)
                except OSError:
                    pass
            try:
                os.setxattr("/job/work", "user.x", b"y" * 1000)
            except OSError:
                pass
            assert 0x10 not in told and 0x20 not in told, told
            return "made"
        """,
    "no folder of its own": """
        import os, shutil
        def main():
            for where in ("/job/src", "/job/work"):
                for name in os.listdir(where):
                    os.unlink(f"{where}/{name}")
                for call in (os.rmdir, lambda w: os.rename(w, "/tmp/gone")):
                    try:
                        call(where)
                        raise AssertionError(where)
                    except OSError:
                        pass
            return "made"
        """,
}


@pytest.mark.parametrize("kind", TREES)
def test_whatever_a_job_leaves_in_its_folders_is_removed(client, kind):
    assert client.run(TREES[kind]).value == "made"


def test_links_swapped_at_the_end_lead_nobody_outside(client, tmp_path):
    """Folders become links and back as fast as can be, while the runner counts and removes."""
    outside = Path("/usr/local/cumulus-e2e-canary")  # seen from inside, by the same path
    outside.mkdir()
    try:
        (outside / "kept").write_text("kept")
        story = client.run(f"""
            import os, time
            def swap():
                while True:
                    try:
                        os.rename("/job/work/d", "/job/work/e")
                        os.symlink("{outside}", "/job/work/d")
                        os.unlink("/job/work/d")
                        os.rename("/job/work/e", "/job/work/d")
                    except OSError:
                        pass
            def main():
                os.makedirs("/job/work/d/x")
                for name in ("output", "result", "exit", "log", "spec", "progress", "stop"):
                    os.symlink("{outside}/kept", "/job/work/" + name)
                    os.symlink("{outside}/kept", "/job/src/" + name)
                for _ in range(4):
                    if os.fork() == 0:
                        os.setsid()
                        swap()
                time.sleep(5)
                return "swapped"
            """)
        assert story.value == "swapped"
        assert (outside / "kept").read_text() == "kept"
        assert os.listdir(outside) == ["kept"]
    finally:
        shutil.rmtree(outside)


@pytest.mark.parametrize("what", ["removed", "removed and left alone", "renamed"])
def test_a_run_folder_that_an_operator_takes_away_costs_its_job_alone(client, what):
    job, stream = client.begin(TICK)
    folder = client.system.data / "worker" / "runs" / f"{job}.1"
    assert folder.is_dir()
    if what != "renamed":
        shutil.rmtree(folder, ignore_errors=True)
    else:
        folder.rename(folder.with_name("elsewhere"))
    try:
        if what != "removed and left alone":
            client.cancel(job)
        status = client.until_terminal(job)
        assert status.state in (pb.FAILED, pb.CANCELLED), status
        if what == "removed and left alone":
            assert status.reason == pb.OUTCOME_UNKNOWN, status
    finally:
        shutil.rmtree(folder.with_name("elsewhere"), ignore_errors=True)
