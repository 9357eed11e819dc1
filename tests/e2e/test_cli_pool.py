"""test_cli_pool.py - why a job waits, and what operators do with workers, by the command line.

SPDX-License-Identifier: Apache-2.0
"""
import re

import pytest

from cli import FAILED, NO_PLACE, NOT_FOUND, SLEEPER, UNKNOWN_JOB, USAGE, Cli
from system import until


@pytest.fixture
def one_gpu(new_system, tmp_path):
    system = new_system(devices="simulated:1")
    cli = Cli(system.address, tmp_path / "home", system)
    until(lambda: any(w["status"] == "ready" for w in cli.json("workers")), "a worker")
    return cli


def test_why_names_who_is_in_the_way_and_what_would_start(one_gpu, script):
    holder = one_gpu.submit("-g", "0.7", script(SLEEPER))
    one_gpu.until_state(holder, "RUNNING")
    waiting = one_gpu.submit("-g", "0.5", script(SLEEPER))
    worker = one_gpu.json("workers")[0]["id"]
    shown = one_gpu("why", waiting).stdout
    lines = shown.splitlines()
    assert lines[0].startswith(f"{waiting}  SCHEDULING  waiting for 0.5 GPU")
    assert re.search(r"^reason +WAITING_FOR_GPU$", shown, re.M)
    assert re.search(r"^queue +place 1 of 1$", shown, re.M)
    assert re.search(r"^starts +by \d{4}-\d\d-\d\d \d\d:\d\d:\d\d, in \d+m\d\ds$", shown, re.M)
    assert re.search(rf"^{holder}  0 on {worker}  0\.70 +RUNNING +by ", shown, re.M)
    assert re.search(r"^instead +0\.3 GPU would start now$", shown, re.M)
    told = one_gpu.json("why", waiting[:10])
    assert told["job_id"] == waiting and told["blockers"][0]["job_id"] == holder
    one_gpu("cancel", "--all")


def test_why_explains_jobs_that_run_or_have_ended(cli, script):
    running = cli.submit(script(SLEEPER))
    cli.until_state(running, "RUNNING")
    assert re.search(rf"^{running}  RUNNING", cli("why", running).stdout)
    failed = cli.submit(script("def main(): raise ValueError('so it is')\n"))
    cli.until_state(failed, "FAILED")
    shown = cli("why", failed).stdout
    assert re.search(rf"^{failed}  FAILED  ValueError: so it is; attempt 1 waited ", shown)
    assert "CODE_FAILED" in shown and re.search(r"^ended +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$", shown, re.M)
    assert UNKNOWN_JOB in cli("why", UNKNOWN_JOB, code=NOT_FOUND).stderr


def test_a_drained_worker_takes_nothing_until_it_is_let_again(one_gpu, script):
    worker = one_gpu.json("workers")[0]
    holder = one_gpu.submit("-g", "1", script(SLEEPER))
    job = one_gpu.submit("-g", "1", script("def main(): return 1\n", "other.py"))
    one_gpu.until_state(holder, "RUNNING")
    assert re.match(rf"{worker['id']}  .* draining: it takes no new jobs",
                    one_gpu("drain", worker["hostname"]).stdout)
    assert "draining" in one_gpu("submit", script(SLEEPER), code=NO_PLACE).stderr
    assert "draining" in one_gpu("workers").stdout
    assert re.search(rf"^warning +worker .* is draining\n +cumulus undrain {worker['id']} ",
                     one_gpu("doctor", code=FAILED).stdout, re.M)
    one_gpu("cancel", holder)
    one_gpu.until_state(holder, "CANCELLED")
    assert one_gpu.state(job) == "SCHEDULING" and "draining" in one_gpu("why", job).stdout
    assert one_gpu.json("undrain", worker["id"][:8])["status"] == "ready"
    one_gpu.until_state(job, "COMPLETED")


def test_only_a_worker_that_is_down_is_forgotten(cli):
    worker = cli.json("workers")[0]["id"]
    assert worker in cli("drain", "--forget", worker, code=USAGE).stderr
    assert cli.json("workers")[0]["status"] == "ready"
    assert "no worker" in cli("undrain", "w-aaaaaaa", code=NOT_FOUND).stderr


def test_ps_says_for_what_each_job_waits(one_gpu, script):
    one_gpu.until_state(one_gpu.submit("-g", "0.9", script(SLEEPER)), "RUNNING")
    amounts = ["0.5", "0.3", "0.7", "1"]
    jobs = {one_gpu.submit("-g", amount, script(SLEEPER)): amount for amount in amounts}
    rows = one_gpu("ps", "-q", "-f", "waiting", "-o", "id,reason").stdout.splitlines()
    assert len(rows) == len(jobs)
    for row in rows:
        job, said = row.split(None, 1)
        assert said.startswith(f"waiting for {jobs[job]} GPU: "), row
    one_gpu("cancel", "--all")
