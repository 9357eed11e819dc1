"""The five RPCs of the frozen part answer as protocol.md says.

SPDX-License-Identifier: Apache-2.0
"""
import json
import re
import time

import grpc
import pytest

from client import HELLO, SLEEP, TERMINAL, Client, Story, submission
from system import DEADLINE_S, pb, until

STORY = [pb.SCHEDULING, pb.CREATING_PARTITION, pb.RUNNING, pb.COMPLETED]


# ---- SubmitJob

def test_a_job_goes_from_scheduling_to_completed_with_output_and_result(client):
    story = client.run(HELLO)
    assert story.code == grpc.StatusCode.OK, story.text()
    assert story.transitions == STORY, story.text()
    assert story.output(pb.STDOUT) == b"hello\n"
    result = json.loads(story.last.result)
    assert result["status"] == "success"
    assert result["result"] == {"answer": 42}
    assert result["execution_time"] >= 0
    assert abs(result["timestamp"] - time.time()) < 3600
    assert isinstance(result["system_info"], dict)


def test_every_event_names_its_job_and_its_time(client):
    story = client.run(HELLO)
    assert re.fullmatch(r"j-[a-z2-7]{16}", story.job)
    for event in story.events:
        assert event.job_id == story.job
        assert abs(event.timestamp - time.time()) < 3600
        assert event.timestamp_ns // 10**9 == event.timestamp


def test_a_result_comes_only_with_completed(client):
    story = client.run(HELLO)
    assert [bool(e.result) for e in story.events] == [e.state == pb.COMPLETED for e in story.events]


def test_an_old_client_reads_output_in_the_message(client):
    story = client.run('def main():\n    print("caf\\u00e9 \\U0001f600")\n')
    said = "".join(e.message for e in story.events if e.HasField("output"))
    assert said == "café 😀\n"


def test_output_that_is_not_utf8_is_replaced_in_the_message_and_whole_in_output(client):
    story = client.run("import sys\ndef main():\n    sys.stdout.buffer.write(b'a\\xff\\xfeb\\n')\n")
    assert story.output(pb.STDOUT) == b"a\xff\xfeb\n"
    said = "".join(e.message for e in story.events if e.HasField("output"))
    assert said.startswith("a\ufffd") and said.endswith("b\n")


def test_stdout_and_stderr_are_told_apart(client):
    story = client.run("import sys\ndef main():\n    print('o')\n    print('e', file=sys.stderr)\n")
    assert story.output(pb.STDOUT) == b"o\n"
    assert story.output(pb.STDERR) == b"e\n"


def test_an_output_event_has_the_state_of_the_event_before_it(client):
    story = client.run(HELLO)
    state = None
    for event in story.events:
        if event.sequence:
            state = event.state
        assert event.state == state


def test_progress_is_told_while_the_job_runs(client):
    story = client.run("""
        import time
        import cumulus
        def main():
            cumulus.progress(0.5, "half way")
            time.sleep(1)
        """)
    told = [e for e in story.events if e.progress and e.state == pb.RUNNING]
    assert told, story.text()
    assert abs(told[0].progress - 0.5) < 1e-6
    assert "half way" in told[0].message
    assert all(e.sequence == 0 for e in told)


def test_a_failed_job_ends_with_failed_and_status_ok(client):
    story = client.run('def main():\n    raise ValueError("no such thing")\n')
    assert story.code == grpc.StatusCode.OK
    assert story.last.state == pb.FAILED
    assert story.last.message == "ValueError: no such thing"
    assert story.last.reason == pb.CODE_FAILED
    status = client.status(story.job)
    assert status.error.splitlines()[0] == "ValueError: no such thing"
    assert "Traceback" in status.error and "main.py" in status.error


def test_an_empty_list_of_requirements_works(client):
    assert client.run(HELLO, requirements=[]).value == {"answer": 42}


@pytest.mark.parametrize("line", ["numpy", "numpy>=1.20", "NumPy"])
def test_requirements_that_the_host_has_work(client, line):
    story = client.run("import numpy\ndef main():\n    return int(numpy.arange(4).sum())\n",
                       requirements=[line])
    assert story.value == 6


@pytest.mark.parametrize("line", ["", "--index-url=http://x", "a b", "./folder", "x" * 513,
                                  "git+https://example.org/x", "numpy\n--pre", "-r other.txt"])
def test_a_line_that_is_no_requirement_is_invalid(client, line):
    code, details = client.refused(requirements=[line])
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "requirements" in details


def test_too_many_requirements_are_invalid(client):
    code, details = client.refused(requirements=["numpy"] * 257)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "requirements" in details and "257" in details and "256" in details


# ---- amounts and durations

@pytest.mark.parametrize("amount", [0.1, 0.25, 0.5, 0.9, 1, 2])
def test_a_valid_amount_runs(client, amount):
    story = client.run(HELLO, gpu=amount)
    assert story.last.state == pb.COMPLETED, story.text()
    assert client.status(story.job).gpu_memory == pytest.approx(amount)


@pytest.mark.parametrize("amount", [0, -1, 0.05, 0.95, 0.1482, 0.333, 1.5, 2.3, 9,
                                    float("nan"), float("inf"), float("-inf")])
def test_an_invalid_amount_is_named(client, amount):
    code, details = client.refused(gpu=amount)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "gpu_memory" in details
    assert "0.1" in details and "8" in details  # what is allowed


def test_an_amount_within_a_ten_thousandth_of_a_hundredth_is_that_hundredth(client):
    story = client.run(HELLO, gpu=0.30005)
    assert client.status(story.job).gpu_memory == pytest.approx(0.3)


def test_an_amount_that_no_worker_has_is_unavailable(client):
    story = Story(client.submit(gpu=8))
    assert story.code == grpc.StatusCode.UNAVAILABLE
    assert story.trailers["cumulus-reason"] == "never_fits"
    assert "2" in story.details  # the largest there is
    assert not story.events


@pytest.mark.parametrize("duration", [0, -1, 86401, 2**31 - 1, -2**31])
def test_an_invalid_duration_is_named(client, duration):
    code, details = client.refused(duration=duration)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "duration" in details and str(duration) in details and "86400" in details.replace(",", "")


@pytest.mark.parametrize("duration", [1, 86400])
def test_the_bounds_of_duration_are_valid(client, duration):
    call = client.submit(duration=duration)
    first = next(iter(call))
    client.know(first.job_id)
    assert first.state == pb.SCHEDULING


# ---- GetJobStatus

def test_the_status_of_a_completed_job_is_full(client):
    began = int(time.time())
    story = client.run(HELLO, gpu=0.5, duration=30, name="full", labels={"team": "a"})
    s = client.status(story.job)
    assert s.job_id == story.job and s.state == pb.COMPLETED and s.error == ""
    assert s.worker_id.startswith("w-") and s.partition_id
    assert s.container_id == f"{story.job}.{s.attempt}"
    assert began - 1 <= s.created_at <= s.started_at <= s.completed_at <= time.time() + 1
    assert s.name == "full" and dict(s.labels) == {"team": "a"}
    assert s.gpu_memory == 0.5 and s.duration == 30
    assert s.WhichOneof("exit") == "exit_code" and s.exit_code == 0
    assert s.last_sequence == story.last.sequence
    assert len(s.gpu_devices) == 1
    assert s.package_digest.startswith("sha256:") and len(s.package_digest) == 71
    assert not s.cancel_requested


def test_times_that_are_not_yet_are_zero(client):
    job, _ = client.begin(SLEEP, gpu=2)
    running = client.status(job)
    assert running.created_at > 0 and running.started_at > 0 and running.completed_at == 0
    assert running.WhichOneof("exit") is None
    waiting = client.status(client.begin(HELLO, state=pb.SCHEDULING, gpu=2)[0])
    assert waiting.created_at > 0
    assert (waiting.started_at, waiting.completed_at) == (0, 0)


def test_each_partition_has_an_id_of_its_own(client):
    ids = [client.status(client.run(HELLO).job).partition_id for _ in range(3)]
    assert len(set(ids)) == 3


UNKNOWN = "j-aaaaaaaaaaaaaaaa"


@pytest.mark.parametrize("job", [UNKNOWN, "", "nonsense", "j-" + "a" * 300, "../../etc/passwd"])
@pytest.mark.parametrize("rpc, request_type", [
    ("GetJobStatus", "JobStatusRequest"), ("CancelJob", "JobCancelRequest"),
    ("WatchJob", "WatchJobRequest"), ("GetJobLogs", "JobLogsRequest")])
def test_an_unknown_job_is_not_found(client, rpc, request_type, job):
    with pytest.raises(grpc.RpcError) as raised:
        answer = getattr(client.stub, rpc)(getattr(pb, request_type)(job_id=job), timeout=DEADLINE_S)
        list(answer)
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND
    assert job[:32] in raised.value.details()


# ---- CancelJob

def test_a_running_job_is_cancelled(client):
    job, stream = client.begin(SLEEP)
    answer = client.cancel(job)
    assert answer.cancelled
    rest = Story(stream)
    assert rest.last.state == pb.CANCELLED
    assert rest.code == grpc.StatusCode.CANCELLED
    assert client.status(job).state == pb.CANCELLED
    assert client.status(job).reason == pb.CANCELLED_BY_USER


def test_a_waiting_job_is_cancelled_and_never_runs(client):
    client.begin(SLEEP, gpu=2)
    job, stream = client.begin(HELLO, state=pb.SCHEDULING, gpu=2)
    assert client.cancel(job).cancelled
    rest = Story(stream)
    assert rest.last.state == pb.CANCELLED and rest.code == grpc.StatusCode.CANCELLED
    assert pb.RUNNING not in rest.transitions
    assert client.status(job).started_at == 0


def test_cancelling_a_finished_job_says_which_state_it_is_in(client):
    job = client.run(HELLO).job
    answer = client.cancel(job)
    assert not answer.cancelled
    assert "COMPLETED" in answer.message.upper()
    assert answer.state == pb.COMPLETED
    assert client.status(job).state == pb.COMPLETED


def test_cancelling_twice_says_yes_twice_or_that_it_is_done(client):
    job, stream = client.begin(SLEEP)
    assert client.cancel(job).cancelled
    second = client.cancel(job)
    assert second.cancelled or second.state == pb.CANCELLED
    rest = Story(stream)
    assert [e.state for e in rest.events if e.state in TERMINAL] == [pb.CANCELLED]


def test_a_cancelled_job_that_ignores_sigterm_is_killed(client):
    job, stream = client.begin("""
        import signal, time
        def main():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print("deaf", flush=True)
            time.sleep(600)
        """)
    next(e for e in stream if e.HasField("output"))
    assert client.cancel(job).cancelled
    assert Story(stream).last.state == pb.CANCELLED
    client.until_free()


# ---- ListWorkers

def test_the_worker_and_its_devices_are_listed(client):
    (worker,) = client.workers()
    assert worker.id.startswith("w-") and worker.hostname and worker.status == "ready"
    assert len(worker.gpu_devices) == 2
    assert [d.index for d in worker.gpu_devices] == [0, 1]
    for device in worker.gpu_devices:
        assert device.kind == "simulated" and "simulated" in device.name.lower()
        assert device.total_capacity == 1.0 and device.memory_mb > 0 and device.uuid
        assert device.enforcement == "off: simulated"


def test_workers_are_filtered_by_status(client):
    assert len(client.workers("ready")) == 1
    assert len(client.workers("down")) == 0


def test_a_running_job_shows_as_a_partition_until_it_ends(client):
    job, _ = client.begin(SLEEP, gpu=0.5)
    shown = [(d, p) for d in client.devices() for p in d.active_partitions if p.job_id == job]
    ((device, partition),) = shown
    assert partition.amount == 0.5 and device.allocated_amount >= 0.5
    assert partition.partition_id == client.status(job).partition_id
    assert 0 < partition.created_at < partition.expires_at
    client.cancel(job)
    client.until_terminal(job)
    assert all(p.job_id != job for d in client.devices() for p in d.active_partitions)


# ---- HealthCheck

def test_health_counts_jobs_and_workers(client):
    before = client.health()
    assert before.status == "healthy" and before.version and before.available_workers == 1
    assert before.swarm_connected and before.engine == "local" and before.uptime_seconds >= 0
    client.begin(SLEEP, gpu=2)
    client.begin(HELLO, state=pb.SCHEDULING, gpu=2)
    until(lambda: client.health().waiting_jobs == before.waiting_jobs + 1, "one job waits")
    assert client.health().active_jobs >= before.active_jobs + 1


def test_without_a_worker_health_is_unhealthy_and_jobs_are_unavailable(new_system):
    alone = Client(new_system("--worker", "external"))
    assert alone.health().status == "unhealthy"
    story = Story(alone.stub.SubmitJob(submission(HELLO), timeout=DEADLINE_S))
    assert story.code == grpc.StatusCode.UNAVAILABLE
    assert story.trailers["cumulus-reason"] == "no_worker"
    alone.close()


def test_times_do_not_come_from_the_year_one(client):
    job, _ = client.begin(SLEEP, gpu=2)
    client.begin(HELLO, state=pb.SCHEDULING, gpu=2)
    for s in client.list_jobs().jobs:
        assert min(s.created_at, s.started_at, s.completed_at) >= 0
