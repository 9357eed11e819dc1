#!/usr/bin/env python3
"""gpu_check.py - does Chronos hold PyTorch on this machine's GPU?  Prints a report.

SPDX-License-Identifier: Apache-2.0

    scripts/gpu_check.py BUILD            with the first NVIDIA GPU, and PyTorch in this Python
    scripts/gpu_check.py BUILD --fake     its machinery, with the fake driver: no figures

The GPU should have nothing else to do.  Ends with 0 when all checks pass, 1 when one does not,
3 when there is no NVIDIA GPU or no PyTorch here.  `make gpu-check` runs it.
"""
import ctypes
import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

MIB = 1 << 20
SECONDS = 10
DEADLINE = 300

# The programs under test: each prints one line of JSON, those that are started together first
# print "ready" and wait for a line.
TORCH_HEAD = """
import json, sys, time, torch
def ready():
    print("ready", flush=True); sys.stdin.readline()
def done(**what):
    print(json.dumps(what), flush=True)
"""
MATMUL = TORCH_HEAD + """
a = torch.randn(2048, 2048, device="cuda"); b = torch.randn_like(a)
for _ in range(20): a @ b
torch.cuda.synchronize(); ready()
n, until = 0, time.monotonic() + SECONDS
while time.monotonic() < until:
    for _ in range(10): a @ b
    n += 10; torch.cuda.synchronize()
done(work=n)
"""
AHEAD = TORCH_HEAD + """
a = torch.randn(2048, 2048, device="cuda"); b = torch.randn_like(a)
events = [torch.cuda.Event() for _ in range(8)]
for _ in range(20): a @ b
torch.cuda.synchronize(); ready()
n, until = 0, time.monotonic() + SECONDS
while time.monotonic() < until:
    for e in events:
        e.synchronize()
        for _ in range(10): a @ b
        e.record(); n += 10
torch.cuda.synchronize(); done(work=n)
"""
GRAPH = TORCH_HEAD + """
a = torch.randn(1024, 1024, device="cuda"); out = torch.empty_like(a)
side = torch.cuda.Stream()
with torch.cuda.stream(side):
    for _ in range(3): torch.mm(a, a, out=out)
torch.cuda.synchronize()
graph = torch.cuda.CUDAGraph()
with torch.cuda.graph(graph):
    for _ in range(20): torch.mm(a, a, out=out)
graph.replay(); torch.cuda.synchronize(); ready()
n, until = 0, time.monotonic() + SECONDS
while time.monotonic() < until:
    graph.replay(); n += 20; torch.cuda.synchronize()
done(work=n)
"""
LAUNCHES = TORCH_HEAD + """
a = torch.zeros(32, device="cuda"); a.add_(1); torch.cuda.synchronize(); ready()
n, until = 0, time.monotonic() + SECONDS
while time.monotonic() < until:
    for _ in range(500): a.add_(1)
    n += 500; torch.cuda.synchronize()
done(work=n)
"""
MEMORY = TORCH_HEAD + """
free, total = torch.cuda.mem_get_info()
held = []
try:
    while True: held.append(torch.empty(2 << 20, dtype=torch.uint8, device="cuda"))
except torch.OutOfMemoryError: pass
left, _ = torch.cuda.mem_get_info()
held.clear(); torch.cuda.empty_cache()
again = torch.empty((free - (64 << 20)) // 2, dtype=torch.uint8, device="cuda")
done(total=total, left=left, again=again.numel())
"""
EXPIRY = TORCH_HEAD + """
a = torch.randn(256, 256, device="cuda"); a @ a; torch.cuda.synchronize(); ready()
try:
    while True: a @ a; torch.cuda.synchronize()
except RuntimeError as e: done(at=time.time(), error=str(e).splitlines()[0])
"""


class Check:
    """The report: rows of what was checked, what was seen and whether that is right."""

    def __init__(self):
        self.rows = []

    def add(self, what, seen, wanted, ok):
        self.rows.append((what, seen, wanted, ok))
        print(f"{'ok  ' if ok else 'FAIL'}  {what}: {seen} (wanted {wanted})", file=sys.stderr)

    def print(self, title):
        print(f"# {title}\n\n| check | seen | wanted | |\n|---|---|---|---|")
        for what, seen, wanted, ok in self.rows:
            print(f"| {what} | {seen} | {wanted} | {'ok' if ok else '**FAIL**'} |")
        return 0 if all(row[3] for row in self.rows) else 1


def is_ready(p):
    """False of one that failed, or does nothing for a long time."""
    clock = threading.Timer(DEADLINE, p.kill)
    clock.start()
    ready = p.stdout.readline() == "ready\n"
    clock.cancel()
    return ready


def go_on(p):
    p.stdin.write("\n")
    p.stdin.flush()


def last_line(p):
    """What it said at its end, or None of one that failed."""
    try:
        text, _ = p.communicate(timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        p.kill()
        p.communicate()
        return None
    return json.loads(text.splitlines()[-1]) if p.returncode == 0 and text.strip() else None


class Machine:
    """Partitions of device 0, and programs that run in them."""

    def __init__(self, build, folder, devices, env):
        self.chronos = [os.path.join(build, "bin", "chronos"), "--dir", os.path.join(folder, "chronos")]
        self.env = {**os.environ, **env}
        self.call("--devices", devices, "list")

    def call(self, *args):
        done = subprocess.run([*self.chronos, "--json", *args], env=self.env, text=True,
                              capture_output=True)
        if done.returncode != 0:
            sys.exit(f"chronos {' '.join(args)}: {done.stderr}")
        return json.loads(done.stdout)

    def create(self, share, seconds=3600):
        return self.call("create", "0", str(share), str(seconds))["id"]

    def quota(self, share):
        return self.call("stats")["devices"][0]["memory_bytes"] * round(share * 100) // 100

    def start(self, partition, command, **env):
        args = [*self.chronos, "run", partition, "--"] if partition else []
        return subprocess.Popen([*args, *command], env={**self.env, **env}, text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def together(self, shares, command, **env):
        """What each of them got done, or None of one that failed; share None: no partition."""
        ids = [share and self.create(share) for share in shares]
        running = [self.start(i, command, **env) for i in ids]
        if all([is_ready(p) for p in running]):
            for p in running:
                go_on(p)
        done = [last_line(p) for p in running]
        for i in ids:
            if i:
                self.call("release", i)
        return [seen and seen["work"] for seen in done]


def programs(fake, build):
    """name -> command line"""
    if not fake:
        sources = {"matmul": MATMUL, "ahead": AHEAD, "graph": GRAPH, "launches": LAUNCHES,
                   "memory": MEMORY, "expiry": EXPIRY}
        return {name: [sys.executable, "-c", text.replace("SECONDS", str(SECONDS))]
                for name, text in sources.items()}
    program = os.path.join(build, "tests", "cuda_program")
    return {name: [program, f"check {name}"] for name in
            ("matmul", "ahead", "graph", "launches", "memory", "expiry")}


def check_shares(check, machine, command, what):
    alone = machine.together([None], command)[0]
    got = machine.together([0.7, 0.3], command)
    if not alone or None in got:
        check.add(what, f"alone {alone}, together {got}", "to run", False)
        return
    parts = [g / alone for g in got]
    check.add(f"{what}: 0.7 and 0.3 at once, of what one alone does",
              " and ".join(f"{p:.3f}" for p in parts), "0.70 and 0.30, each ± 0.03",
              abs(parts[0] - 0.7) <= 0.03 and abs(parts[1] - 0.3) <= 0.03)
    capped = machine.together([0.5], command)[0] / alone
    check.add(f"{what}: 0.5 by itself", f"{capped:.3f}", "0.50 ± 0.03", abs(capped - 0.5) <= 0.03)


def check_launches(check, machine, command):
    alone, whole, half = (machine.together([share], command)[0] for share in (None, 1, 0.5))
    if not alone or not whole or not half:
        check.add("launches", f"alone {alone}, whole {whole}, half {half}", "to run", False)
        return
    check.add("small kernels one after the other, with a whole device",
              f"{whole / alone:.3f} of those without Chronos", "0.95 at least", whole >= 0.95 * alone)
    # The device is idle between them, so that half of it may be enough for all of them.
    check.add("and with half a device", f"{half / alone:.3f}", "0.40 at least", half >= 0.4 * alone)


def check_memory(check, machine, command, what, **env):
    partition = machine.create(0.5)
    seen, quota = last_line(machine.start(partition, command, **env)), machine.quota(0.5)
    machine.call("release", partition)
    if not seen:
        check.add(f"memory, {what}", "the program failed", "to run", False)
        return
    check.add(f"memory, {what}: total that the program sees", seen["total"], quota,
              seen["total"] == quota)
    # PyTorch takes segments of 2 or 20 MiB for small and large blocks, the driver's pools 32.
    most = 66 if what == "cudaMallocAsync" else 22
    check.add(f"memory, {what}: left when it is out of memory", f"{seen['left'] / MIB:.1f} MiB",
              f"less than {most} MiB", seen["left"] < most * MIB)
    check.add(f"memory, {what}: half of it in one piece afterwards", seen["again"], "to fit",
              seen["again"] > 0)


def check_end(check, machine, command):
    partition = machine.create(0.5)
    p = machine.start(partition, command)
    if is_ready(p):
        taken = machine.call("list")["partitions"][0]["used_bytes"]
        check.add("charged for a context, and what the program has with it", f"{taken / MIB:.0f} MiB",
                  "more than 10 MiB", taken > 10 * MIB)
        go_on(p)
    time.sleep(1)
    ends = time.time()
    machine.call("release", partition)
    seen = last_line(p) or {"at": 1e18, "error": "the program failed"}
    late = (seen["at"] - ends) * 1000
    check.add("first launch that is refused after release", f"{late:.1f} ms: {seen['error'][:60]}",
              "an error within 100 ms (exec of chronos included)", late < 100)


def check_kill(check, machine, command):
    partition = machine.create(0.5)
    p = machine.start(partition, command)
    is_ready(p)
    p.send_signal(signal.SIGKILL)
    p.wait()
    # The books forget it when the next one needs room, the device with the process.
    seen = last_line(machine.start(partition, programs_of["memory"])) or {"left": float("inf")}
    machine.call("release", partition)
    check.add("after kill -9 of a holder the next has all of the quota",
              f"{seen['left'] / MIB:.1f} MiB not reached", "less than 22 MiB", seen["left"] < 22 * MIB)


def look_for_gpu():
    """Its name, or why there is none."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as e:
        return None, f"no NVIDIA GPU here: {e}"
    count = ctypes.c_int()
    if cuda.cuInit(0) != 0 or cuda.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value < 1:
        return None, "no NVIDIA GPU here: the driver finds none"
    name = ctypes.create_string_buffer(100)
    cuda.cuDeviceGetName(name, 100, 0)
    return name.value.decode(), None


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["--fake"]):
        sys.exit(__doc__)
    build, fake = os.path.abspath(sys.argv[1]), sys.argv[2:] == ["--fake"]
    name, why = ("fake driver", None) if fake else look_for_gpu()
    if not why and not fake:
        try:
            import torch  # noqa: F401
        except ImportError as e:
            why = f"no PyTorch in {sys.executable}: {e}; `make gpu-check PYTHON=…` names another"
    if why:
        print(f"gpu-check: {why}: NOTHING WAS CHECKED", file=sys.stderr)
        return 3
    global programs_of
    programs_of = programs(fake, build)
    check = Check()
    with tempfile.TemporaryDirectory() as folder:
        env = {"FAKE_CUDA_STATE": os.path.join(folder, "device"), "FAKE_CUDA_MIB": "16384",
               "LD_LIBRARY_PATH": os.path.join(build, "tests", "fake-cuda")}
        # CUDA's device 0 is then the one that the driver, and so Chronos, counts first.
        env = env if fake else {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
        machine = Machine(build, folder, "simulated:1" if fake else "auto", env)
        for what in ("matmul", "ahead", "graph"):
            check_shares(check, machine, programs_of[what], what)
        check_launches(check, machine, programs_of["launches"])
        for what, conf in (("cudaMalloc", ""), ("expandable_segments", "expandable_segments:True"),
                           ("cudaMallocAsync", "backend:cudaMallocAsync")):
            check_memory(check, machine, programs_of["memory"], what, PYTORCH_CUDA_ALLOC_CONF=conf)
        check_end(check, machine, programs_of["expiry"])
        check_kill(check, machine, programs_of["matmul"])
    return check.print(f"gpu-check, {name}, {datetime.date.today()}")


if __name__ == "__main__":
    sys.exit(main())
