"""bench.py - trivial contained Python jobs a second, end to end, beside Docker, crun and Slurm.

SPDX-License-Identifier: Apache-2.0
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness import QUICK, Bench, Missing  # noqa: E402
import ours  # noqa: E402
import peers  # noqa: E402

AT_A_TIME = (1, 2, 4, 8)
JOBS = 40 if QUICK else 150
DOCKER_JOBS = 6 if QUICK else 12
CRUN_JOBS = 40 if QUICK else 100
SLURM_JOBS = 40 if QUICK else 200
# A tenth each: ten at a time fit onto one simulated device.
GPU = 0.1


def measure(row, name, rate):
    try:
        row.beside(name, rate())
    except Missing as why:
        row.missing[name] = str(why)


def main():
    bench = Bench("jobs", "submit, run main() in a container, read COMPLETED")
    rows = {n: bench.row(f"jobs, {n} at a time", "1/s", aim=40 if n == AT_A_TIME[-1] else None)
            for n in AT_A_TIME}
    cpu = bench.row("CPU of the whole machine for a job, 8 at a time", "ms")
    with ours.system() as (system, _), ours.package_file(ours.TRIVIAL) as zip_file, \
            peers.present(peers.docker()) as docker, peers.present(peers.crun()) as crun, \
            peers.slurm(512) as slurm:
        for _ in bench.rounds():
            for n, row in rows.items():
                busy = ours.machine_cpu_seconds()
                row.ours.append(ours.rate("jobs", system.address, zip_file, GPU, JOBS, n))
                busy = ours.machine_cpu_seconds() - busy
                measure(row, "crun, a static program", lambda: crun.rate("static", CRUN_JOBS, n))
                measure(row, "crun, python3 -I -S", lambda: crun.rate("python", CRUN_JOBS, n))
                if n in (1, 4):
                    measure(row, "docker run, a static program",
                            lambda: docker.rate(DOCKER_JOBS, n))
            cpu.ours.append(busy / JOBS * 1000)
            measure(rows[AT_A_TIME[-1]], "Slurm, 512 slots, one array, not contained",
                    lambda: slurm.rate(SLURM_JOBS))
    bench.report()


main()
