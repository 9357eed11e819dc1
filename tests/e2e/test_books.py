"""Where Chronos' books and the orchestrator's differ: strangers' partitions are reported and
left alone, what is left of our own is released, and a job whose partition is taken away ends.

SPDX-License-Identifier: Apache-2.0
"""
import subprocess

import pytest

from cli import Cli
from client import SLEEP, Client
from system import BIN, pb, until


@pytest.fixture
def machine(new_system):
    """A client of a system with one device whose books can be reached from here."""
    client = Client(new_system(devices="simulated:1"))
    client.until_ready()
    yield client
    client.close()


def chronos(client, *words):
    done = subprocess.run([BIN / "chronos", *words, "--dir", client.system.data / "chronos"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def strangers(client, share):
    """Until the worker has said that strangers hold so much."""
    until(lambda: abs(client.devices()[0].foreign_amount - share) < 0.001, f"{share} is foreign")


def test_a_strangers_share_is_shown_and_no_job_is_put_on_it(machine, tmp_path):
    cli = Cli(machine.system.address, tmp_path / "home")
    made = chronos(machine, "create", "0", "0.6", "600", "--key", "of-a-stranger")
    assert "Created" in made
    strangers(machine, 0.6)
    device, = machine.devices()
    assert device.allocated_amount == 0 and not device.active_partitions
    assert "[xxxxxxxxxxxx--------] 0.00 of 1.00" in cli("workers").stdout
    assert "x: not ours" in cli("workers").stdout
    machine.begin(SLEEP, gpu=0.4)
    waits, _ = machine.begin(SLEEP, gpu=0.25, state=pb.SCHEDULING)
    assert machine.status(waits).reason == pb.WAITING_FOR_GPU
    why = machine.stub.ExplainJob(pb.ExplainJobRequest(job_id=waits))
    assert pb.FOREIGN_SHARE in [b.kind for b in why.blockers]
    chronos(machine, "release", "of-a-stranger")
    until(lambda: machine.status(waits).state == pb.RUNNING, "it starts on what is given back")
    strangers(machine, 0)


def test_a_partition_of_a_run_that_is_not_there_is_released_and_logged(machine):
    key = f"{machine.workers()[0].id}.j-aaaaaaaaaaaaaaaa.1"
    chronos(machine, "create", "0", "1", "600", "--key", key)
    until(lambda: "p-" not in chronos(machine, "list"), "it is released")
    assert "partition released: its run is gone" in machine.system.log_text()
    assert key in machine.system.log_text()
    machine.begin(SLEEP, gpu=1)


def test_a_job_whose_partition_is_released_by_another_ends_and_says_so(machine):
    job, _ = machine.begin(SLEEP, gpu=0.5)
    chronos(machine, "release", machine.status(job).partition_id)
    ended = machine.until_terminal(job)
    assert (ended.state, ended.reason) == (pb.FAILED, pb.PARTITION_FAILED)
    assert ended.message == "partition: it was released by somebody else"
    machine.until_free()
    again, _ = machine.begin(SLEEP, gpu=1)
    assert machine.status(again).state == pb.RUNNING
