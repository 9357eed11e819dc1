"""bench.py - from the start of cumulusd to its first answer, with many jobs in its store.

SPDX-License-Identifier: Apache-2.0
"""
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness import BUILD, QUICK, Bench  # noqa: E402
import ours  # noqa: E402

FILL = BUILD / "bench" / "bench_fill"
SCALE = 10 if QUICK else 1
FINISHED, WAITING = 100_000 // SCALE, 1_000
MANY_FINISHED, MANY_WAITING = 1_000_000 // SCALE, 100_000 // SCALE
PACKAGE = 512
STARTS = 3


def filled(system, finished, waiting):
    """Put so many jobs into the store of a system that is stopped."""
    folder = system.data / "orchestrator"
    owner = folder.stat()
    for name in folder.glob("cumulus.db*"):
        name.unlink()
    subprocess.run([FILL, folder, str(finished), str(waiting), str(PACKAGE)], check=True)
    for path in folder.iterdir():
        os.chown(path, owner.st_uid, owner.st_gid)


def drop_caches():
    """A restart after a reboot finds nothing of the store in memory."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("1\n", encoding="ascii")


def start_ms(system):
    """Until HealthCheck is answered, in ms."""
    began = time.perf_counter()
    system.start()
    client = ours.Client(system)
    health = client.health()
    took = (time.perf_counter() - began) * 1000
    client.channel.close()
    return took, health


def measure(system, waiting, warm, cold):
    """Bytes of memory after a start; its times go to the rows, as far as there are any."""
    memory = 0
    for row, forget in ((cold, drop_caches), *[(warm, None)] * STARTS):
        if forget:
            forget()
        took, health = start_ms(system)
        assert health.waiting_jobs == waiting, f"{health.waiting_jobs} of {waiting} jobs wait"
        memory = ours.memory_bytes(system.process.pid)
        system.stop()
        if row:
            row.ours.append(took)
    return memory


def main():
    bench = Bench("restart", "cumulusd on a store that is full")
    some = f"{FINISHED:,} finished and {WAITING:,} waiting jobs"
    many = f"{MANY_FINISHED:,} finished jobs"
    warm = bench.row(f"start to first answer, {some}", "ms", 1000, less_is_better=True)
    cold = bench.row("the same, nothing of it in the page cache", "ms", 1000, less_is_better=True)
    warm_many = bench.row(f"start to first answer, {many}", "ms", 10000, less_is_better=True)
    cold_many = bench.row("the same, nothing of it in the page cache", "ms", 10000,
                          less_is_better=True)
    a_waiting = bench.row(f"memory of a waiting job, of {MANY_WAITING:,}", "B", 1024,
                          less_is_better=True)
    a_finished = bench.row(f"memory of a finished job, of {MANY_FINISHED:,}", "B", 1,
                           less_is_better=True)
    # What the limit would have removed while it is measured.
    flags = ["--worker", "external", "--history-jobs", str(2 * MANY_FINISHED)]
    with ours.system(*flags, devices="none") as (system, client):
        client.channel.close()
        system.stop()
        empty = measure(system, 0, None, None)
        bench.say(f"an empty cumulusd has {empty / 1024:.0f} KiB; filling: {some}")
        filled(system, FINISHED, WAITING)
        measure(system, WAITING, warm, cold)
        bench.say(f"filling: {MANY_WAITING:,} waiting jobs")
        filled(system, 0, MANY_WAITING)
        a_waiting.ours.append((measure(system, MANY_WAITING, None, None) - empty) / MANY_WAITING)
        bench.say(f"filling: {many}")
        filled(system, MANY_FINISHED, 0)
        a_finished.ours.append(
            max(0, measure(system, 0, warm_many, cold_many) - empty) / MANY_FINISHED)
        shutil.rmtree(system.data / "orchestrator")
        system.start()
    bench.report()


main()
