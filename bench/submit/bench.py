"""bench.py - durable submissions a second, beside SQLite alone and Slurm, which is not durable.

SPDX-License-Identifier: Apache-2.0
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness import QUICK, Bench, Missing  # noqa: E402
import ours  # noqa: E402
import peers  # noqa: E402

AT_A_TIME = 64
SECONDS = 2 if QUICK else 5
PACKAGE = 4096
SLURM_JOBS = 200 if QUICK else 500


def our_rate(at_a_time):
    with ours.system("--max-waiting", "10000000", devices="simulated:1") as (system, client), \
            ours.package_file(ours.TRIVIAL, PACKAGE) as zip_file:
        ours.hold(client, 1)
        return ours.rate("submit", system.address, zip_file, 1, SECONDS, at_a_time)


def main():
    bench = Bench("submit", "submit, read the first event, cancel the call; no device is free")
    many = bench.row(f"submissions, {AT_A_TIME} at a time, packages of 4 KiB", "1/s", aim=10000)
    one = bench.row("submissions, one at a time, packages of 4 KiB", "1/s")
    with peers.slurm(cpus=2) as slurm:
        for _ in bench.rounds():
            many.ours.append(our_rate(AT_A_TIME))
            one.ours.append(our_rate(1))
            many.beside("SQLite, 64 rows of 4 KiB a commit", peers.sqlite_rate(64, SECONDS))
            many.beside("SQLite, 10 rows of 4 KiB a commit", peers.sqlite_rate(10, SECONDS))
            one.beside("SQLite, one row of 4 KiB a commit", peers.sqlite_rate(1, SECONDS))
            for row, clients in ((many, 4), (one, 1)):
                name = f"libslurm, {clients} client{'s' * (clients > 1)}, not durable"
                try:
                    row.beside(name, slurm.submission_rate(clients, SLURM_JOBS))
                except Missing as why:
                    row.missing[name] = str(why)
    bench.report()


main()
