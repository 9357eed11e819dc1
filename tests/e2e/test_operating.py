"""Why a job waits, and what operators decide of workers.

SPDX-License-Identifier: Apache-2.0
"""
import os
import re
import signal
from pathlib import Path

import grpc
import pytest

from client import HELLO, SLEEP, Client, Story
from system import DEADLINE_S, pb, until


@pytest.fixture
def one_device(new_system):
    client = Client(new_system(devices="simulated:1"))
    client.until_ready()
    yield client
    client.channel.close()


def explain(client, job):
    return client.stub.ExplainJob(pb.ExplainJobRequest(job_id=job), timeout=DEADLINE_S)


def drain(client, worker, forget=False):
    return client.stub.DrainWorker(
        pb.DrainWorkerRequest(worker_id=worker, forget=forget), timeout=DEADLINE_S)


def resume(client, worker):
    return client.stub.ResumeWorker(pb.ResumeWorkerRequest(worker_id=worker), timeout=DEADLINE_S)


def code_of(call, *words):
    with pytest.raises(grpc.RpcError) as failed:
        call(*words)
    return failed.value.code()


# ---- ExplainJob

def test_a_waiting_job_is_explained_by_who_is_in_its_way_and_until_when(one_device):
    client = one_device
    holder, _ = client.begin(SLEEP, gpu=0.7, duration=300)
    waiting, _ = client.begin(HELLO, state=pb.SCHEDULING, gpu=0.5, duration=60)
    told = explain(client, waiting)
    assert (told.job_id, told.state) == (waiting, pb.SCHEDULING)
    assert told.reason == pb.WAITING_FOR_GPU
    assert told.message == "waiting for 0.5 GPU: the most that is free on one device is 0.3"
    assert (told.queue_position, told.waiting_jobs) == (1, 1)
    blocker, = told.blockers
    assert (blocker.kind, blocker.job_id) == (pb.HOLDS_SHARE, holder)
    assert (blocker.gpu_device, blocker.state) == (0, pb.RUNNING)
    assert blocker.gpu_memory == pytest.approx(0.7)
    started = client.status(holder).started_at
    assert started + 300 <= blocker.latest_end <= started + 320
    assert told.latest_start >= blocker.latest_end
    assert told.latest_end > told.latest_start + 60
    smaller, = told.alternatives
    assert smaller.change == "gpu_memory" and smaller.message == "0.3 GPU would start now"
    assert smaller.gpu_memory == pytest.approx(0.3)
    client.cancel(holder)
    assert client.until_terminal(waiting).completed_at <= told.latest_end


def test_a_job_behind_another_is_told_what_would_start_at_once(one_device):
    client = one_device
    client.begin(SLEEP, gpu=0.5, duration=300)
    first, _ = client.begin(HELLO, state=pb.SCHEDULING, gpu=1, duration=60)
    second, _ = client.begin(HELLO, state=pb.SCHEDULING, gpu=0.5, duration=3000)
    told = explain(client, second)
    assert told.queue_position == 2 and "kept for a job before it" in told.message
    assert told.blockers[0].kind == pb.COMES_BEFORE and told.blockers[0].job_id == first
    changes = {a.change: a for a in told.alternatives}
    assert 1 <= changes["duration"].duration < 300
    assert changes["priority"].priority == 1
    shorter, _ = client.begin(HELLO, state=pb.COMPLETED, gpu=0.5,
                              duration=changes["duration"].duration - 30)
    assert client.status(first).state == client.status(second).state == pb.SCHEDULING
    assert explain(client, shorter).state == pb.COMPLETED


def test_running_and_finished_jobs_are_explained_too(client):
    job, _ = client.begin(SLEEP, gpu=0.25, duration=300)
    told = explain(client, job)
    assert (told.state, told.queue_position, len(told.blockers)) == (pb.RUNNING, 0, 0)
    assert told.latest_end >= client.status(job).started_at + 300
    assert told.worker_id == client.workers()[0].id
    done = client.run("def main():\n    raise ValueError('no')")
    told = explain(client, done.job)
    assert (told.state, told.reason) == (pb.FAILED, pb.CODE_FAILED)
    assert told.message.startswith("FAILED: ValueError: no; attempt 1 waited ")


def test_how_long_a_job_of_a_lost_runner_ran_is_not_made_up(client):
    job, _ = client.begin(SLEEP, gpu=0.25)
    until(lambda: client.status(job).state == pb.RUNNING, "running")
    for pid in client.system.processes():
        if f"runs/{job}." in Path(f"/proc/{pid}/cmdline").read_bytes().decode():
            os.kill(pid, signal.SIGKILL)
    assert client.until_terminal(job).reason == pb.RUNNER_LOST
    assert re.fullmatch(r"FAILED: .*; attempt 1 waited [\d.]+ s", explain(client, job).message)


def test_a_long_message_in_any_script_is_cut_between_two_characters(client):
    for shift in range(3):
        job = client.run(f"def main():\n    raise ValueError('{'x' * shift}' + '\u20ac' * 400)\n").job
        told = explain(client, job).message
        assert told.startswith("FAILED: ValueError: ") and "\u20ac; attempt 1 waited" in told


def test_an_unknown_job_cannot_be_explained(client):
    assert code_of(explain, client, "j-aaaaaaaaaaaaaaaa") == grpc.StatusCode.NOT_FOUND
    assert code_of(explain, client, "nonsense") == grpc.StatusCode.NOT_FOUND


def test_status_and_list_say_for_what_a_job_waits_now(one_device):
    client = one_device
    holder, _ = client.begin(SLEEP, gpu=1, duration=300)
    half, _ = client.begin(SLEEP, state=pb.SCHEDULING, gpu=0.5, duration=300)
    waiting, _ = client.begin(HELLO, state=pb.SCHEDULING, gpu=0.8)
    assert client.status(waiting).message == "waiting for 0.8 GPU: nothing is free"
    client.cancel(holder)
    until(lambda: client.status(half).state == pb.RUNNING, "the next one runs")
    said = "waiting for 0.8 GPU: the most that is free on one device is 0.5"
    assert client.status(waiting).message == said
    listed, = client.list_jobs(states=[pb.SCHEDULING]).jobs
    assert (listed.message, listed.reason) == (said, pb.WAITING_FOR_GPU)
    drain(client, client.workers()[0].id)
    status = client.status(waiting)
    assert status.reason == pb.WAITING_FOR_WORKER
    assert status.message == "waiting for a worker: none is ready, one is draining"
    assert status.last_sequence == 1  # no event for it
    resume(client, client.workers()[0].id)


# ---- DrainWorker, ResumeWorker

def test_a_draining_worker_ends_what_it_runs_and_takes_nothing_new(one_device):
    client = one_device
    worker = client.workers()[0].id
    running, call = client.begin(SLEEP, gpu=0.25)
    assert drain(client, worker).status == "draining"
    assert drain(client, worker).id == worker  # once more is the same
    assert [w.id for w in client.workers("draining")] == [worker]
    assert not client.workers("ready")
    health = client.health()
    assert (health.status, health.available_workers) == ("unhealthy", 0)
    assert "drain" in health.message
    code, details = client.refused(gpu=0.25)
    assert code == grpc.StatusCode.UNAVAILABLE and "draining" in details
    assert client.status(running).state == pb.RUNNING
    client.cancel(running)
    assert Story(call).last.state == pb.CANCELLED
    assert resume(client, worker).status == "ready"
    assert client.run(gpu=0.25).last.state == pb.COMPLETED


def test_a_drain_holds_over_a_restart_and_waiting_jobs_start_when_it_is_over(one_device):
    client = one_device
    worker = client.workers()[0].id
    holder, _ = client.begin(SLEEP, gpu=1)
    waiting, _ = client.begin(HELLO, state=pb.SCHEDULING, gpu=1)
    drain(client, worker)
    client.cancel(holder)
    client.until_terminal(holder)
    client.system.kill()
    client.system.start()
    again = Client(client.system)
    until(lambda: again.workers("draining"), "the worker is back, and drains")
    assert again.status(waiting).state == pb.SCHEDULING
    resume(again, worker)
    assert again.until_terminal(waiting).state == pb.COMPLETED
    again.channel.close()


def test_only_a_worker_that_is_down_is_forgotten(client):
    worker = client.workers()[0].id
    assert code_of(drain, client, worker, True) == grpc.StatusCode.FAILED_PRECONDITION
    for call in (drain, resume):
        assert code_of(call, client, "w-aaaaaaaaaaaaaaaa") == grpc.StatusCode.NOT_FOUND
        assert code_of(call, client, "") == grpc.StatusCode.NOT_FOUND


def test_a_forgotten_worker_gives_its_jobs_up_and_stops_them_when_it_is_back(one_device):
    client = one_device
    worker = client.workers()[0].id
    job, call = client.begin(SLEEP, gpu=0.5, max_retries=3)
    client.system.signal_worker(signal.SIGSTOP)
    try:
        until(lambda: client.workers("down"), "the worker is down")
        assert client.status(job).state == pb.RUNNING
        drain(client, worker, forget=True)
        story = Story(call)
        assert (story.last.state, story.last.reason) == (pb.FAILED, pb.OUTCOME_UNKNOWN)
        assert "forgotten" in story.last.message
        assert not client.workers()
    finally:
        client.system.signal_worker(signal.SIGCONT)
    until(lambda: client.workers("ready"), "the worker is back")
    client.until_free()
    assert client.run(gpu=1).last.state == pb.COMPLETED
