"""test_crash.py - kill -9 of every program while jobs run, and what must still be true.

One seed chooses every action and every job; when exactly things happen is up to the machine.
A failure prints the command that repeats the choice.  docs/reliability.md says which promise
is looked at where, and how to see each of these tests fail.

SPDX-License-Identifier: Apache-2.0
"""
import os
import random
import shutil
import signal
import time
import traceback
from pathlib import Path

import pytest

from audit import audit_leaks, audit_round
from customers import PATIENCE_S, Customer
from stage import FAULTS, Stage
from system import BIN, until

CUSTOMERS = 8
ROUND = 10  # cycles between two audits
TRIGGER_S = 3  # to wait for the moment of a kill; then it comes anyway
FOLDER = BIN.parent / "crash"

# What is killed, parents first, and how often.
KILLS = {
    ("cumulusd",): 7,
    ("worker",): 4,
    ("cumulusd", "worker"): 3,
    ("cumulusd", "keeper"): 1,
    ("keeper",): 1,
    ("keeper", "worker"): 2,
    ("one runner",): 5,
    ("fault",): 8,
    ("runner",): 1,
    ("worker", "runner"): 1,
    ("cumulusd", "keeper", "worker", "runner"): 3,
    ("terminate",): 2,
}
# When: what a customer has just been told, or what has just appeared in a run folder.
MOMENTS = ("accepted", "accepted", "CREATING_PARTITION", "RUNNING", "output", "cancelled",
           "COMPLETED", "FAILED", "CANCELLED", "/spec", "/lock", "/log", "/output", "/exit",
           "/result", "/gone", "any time")
DELAYS_MS = (0, 0, 0, 1, 2, 5, 10, 30, 100)


class Cycle:
    def __init__(self, seed, number):
        r = random.Random(f"{seed}/cycle/{number}")
        self.number = number
        self.kill = r.choices(list(KILLS), list(KILLS.values()))[0]
        self.moment = r.choice(MOMENTS)
        self.delay_s = (r.uniform(0, 1) if self.moment == "any time"
                        else r.choice(DELAYS_MS) / 1000)
        self.fault = r.choice(FAULTS)
        if self.fault == "output":  # it comes by more than once
            self.fault += f":{r.randint(1, 4)}"
        self.again_at_once = r.random() < 0.15  # the next kill does not wait for recovery
        self.victim = r.random()

    def __str__(self):
        what = "+".join(self.kill)
        if what == "fault":
            return f"{self.number}: the next runner dies at {self.fault}"
        return f"{self.number}: {what} at {self.moment} +{self.delay_s * 1000:.0f} ms"

    def run(self, stage):
        if self.kill == ("fault",):
            self._run_fault(stage)
            return
        # Looking for them takes longer than what is to be hit.
        found = sorted(stage.processes(*self.kill), key=lambda p: self.kill.index(p.role))
        job = self._wait(stage)
        if self.kill == ("one runner",):
            self._kill_one_runner(stage, job)
        elif self.kill == ("terminate",):
            stage.stop()
        else:
            stage.kill_roles(self.kill, found)
        if not self.again_at_once:
            stage.bring_back()
        elif stage.system.process is None:
            stage.restart()

    def _wait(self, stage):
        """Returns the job whose moment it is, if that is known."""
        job = None
        if self.moment.startswith("/"):
            wait_for_file(stage.system, self.moment[1:])
        elif self.moment != "any time":
            job = stage.wait_for_note(self.moment, TRIGGER_S)
        # The one sleep that is meant: a point in time that no event marks.
        time.sleep(self.delay_s)
        return job

    def _kill_one_runner(self, stage, job):
        runners = sorted(stage.processes("runner"), key=lambda p: p.run)
        own = [p for p in runners if job and p.run.startswith(job + ".")]
        if runners:
            stage.kill((own or runners)[int(self.victim * len(own or runners))])

    def _run_fault(self, stage):
        stage.lay_fault(self.fault)
        try:
            until(lambda: not (stage.folder / "fault").exists(), "a runner starts", TRIGGER_S)
        except AssertionError:
            stage.take_fault_back()


def wait_for_file(system, name):
    """Until a run folder gets this file, or ("gone") goes itself."""
    runs = system.data / "worker" / "runs"

    def now():
        if name == "gone":
            return {p.name for p in runs.glob("*")}
        return {p.parent.name for p in runs.glob(f"*/{name}")}

    end = time.monotonic() + TRIGGER_S
    before = now()
    while time.monotonic() < end:
        found = now()
        if before - found if name == "gone" else found - before:
            return
        if name != "gone":
            before &= found
        time.sleep(0.001)


def run_round(stage, seed, first, last):
    began = time.monotonic()
    stage.begin_round()
    customers = [Customer(stage, f"customer {n}") for n in range(CUSTOMERS)]
    for customer in customers:
        customer.start()
    try:
        for number in range(first, last + 1):
            if stage.accusations:
                break
            cycle = Cycle(seed, number)
            print(f"  {cycle}", flush=True)
            cycle.run(stage)
        stage.bring_back()
    except BaseException:
        stage.broken = True
        raise
    finally:
        stage.take_fault_back()
        stage.end_round()
        for customer in customers:
            customer.join(PATIENCE_S + 30)
    assert not any(c.is_alive() for c in customers), "a customer does not come home"
    audit_leaks(stage)
    jobs, faults = audit_round(stage)
    print(f"cycles {first} to {last}: {jobs} jobs, {faults} faults taken so far, "
          f"{time.monotonic() - began:.1f} s", flush=True)


def play(stage, seed, cycles):
    for first in range(1, cycles + 1, ROUND):
        run_round(stage, seed, first, min(first + ROUND - 1, cycles))
        if stage.accusations:
            return


@pytest.mark.skipif(os.geteuid() != 0, reason="jobs need root")
def test_every_promise_holds_while_everything_is_killed():
    seed = os.environ.get("SEED") or "1"
    cycles = int(os.environ.get("CYCLES") or "60")
    print(f"\nSEED={seed} CYCLES={cycles}", flush=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    # Whoever ends this test by a signal gets its machine back as it was.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stage = Stage(seed, FOLDER)
    try:
        until(stage.is_healthy, "the system is whole for the first time")
        play(stage, seed, cycles)
    except Exception as e:
        stage.accuse(f"{type(e).__name__}: {e}")
        traceback.print_exc()
    except BaseException:
        stage.broken = True  # ended from outside, and perhaps cumulusd with us
        raise
    finally:
        keep_log(stage)
        stage.close()
    assert not stage.accusations, (
        "\n" + "\n".join(stage.accusations) +
        f"\nreplay: make crash SEED={seed} CYCLES={cycles}; logs are in {FOLDER}")
    print(f"{stage.planned} jobs through {cycles} cycles; {len(stage.harmed)} runners killed; "
          f"{stage.sampler.samples} samples, at most {stage.sampler.fullest} hundredths of a "
          f"device in use")


def keep_log(stage):
    log = Path(stage.system.parent) / "log"
    if log.exists():
        shutil.copy(log, FOLDER / "cumulus.log")
