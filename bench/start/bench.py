"""bench.py - from a submission to the first line of main(), beside other ways to start a program.

SPDX-License-Identifier: Apache-2.0
"""
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness import QUICK, Bench, Missing  # noqa: E402
import ours  # noqa: E402
import peers  # noqa: E402

STARTS = 20 if QUICK else 60
PEER_STARTS = 4 if QUICK else 10
REST_MS = 100
STEPS = ("queued", "environment", "partition", "container", "python", "run")


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def peer_p50(call):
    times = []
    for _ in range(PEER_STARTS):
        times.append(call())
        time.sleep(REST_MS / 1000)
    return statistics.median(times)


def note_steps(client, steps):
    """JobStatus.timing of the jobs of this round, a median each."""
    jobs = client.list_jobs(page_size=STARTS).jobs
    timings = [client.status(job.job_id).timing for job in jobs]
    for step in STEPS:
        steps[step].ours.append(statistics.median(getattr(t, step + "_ns") for t in timings) / 1e6)


def measure_peers(p50, calls):
    for name, call in calls.items():
        try:
            p50.beside(name, peer_p50(call))
        except Missing as why:
            p50.missing[name] = str(why)


def main():
    bench = Bench("start", f"one job at a time, {REST_MS} ms of rest between")
    p50 = bench.row("submit to the first line of main(), p50", "ms", 45, less_is_better=True)
    p99 = bench.row("submit to the first line of main(), p99", "ms", 100, less_is_better=True)
    steps = {s: bench.row(f"of it: JobStatus.timing.{s}_ns, p50", "ms") for s in STEPS}
    # Slurm is at its best for srun without `defer`, and tries batch jobs once a second anyway.
    with ours.system() as (system, client), ours.package_file(ours.STAMP) as zip_file, \
            peers.present(peers.docker()) as docker, peers.present(peers.crun()) as crun, \
            peers.slurm(2, "sched_interval=1,batch_sched_delay=0") as slurm:
        for _ in bench.rounds():
            times = ours.load("start", system.address, zip_file, 1, STARTS, REST_MS)["ms"]
            p50.ours.append(statistics.median(times))
            p99.ours.append(percentile(times, 0.99))
            note_steps(client, steps)
            measure_peers(p50, {
                "docker run, a static program, whole": docker.run_ms,
                "crun, a static program, whole": lambda: crun.run_ms("static"),
                "crun, python3 -I -S, whole": lambda: crun.run_ms("python"),
                "srun /bin/true, not contained, whole": slurm.srun_ms,
                "sbatch, not contained, to its first instruction": slurm.sbatch_ms})
    bench.report()


main()
