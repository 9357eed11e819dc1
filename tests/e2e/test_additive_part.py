"""The additive part: what is served works, what is not is refused by name.

SPDX-License-Identifier: Apache-2.0
"""
import hashlib

import grpc
import pytest

from client import HELLO, SLEEP, Story, package, submission
from system import DEADLINE_S, pb, until

ARGS = """
    import os, sys
    def main():
        return {"args": sys.argv[1:], "env": os.environ.get("COLOUR"), "cwd": os.getcwd(),
                "job": os.environ["JOB_ID"], "gpu": os.environ["GPU_DEVICE"],
                "partition": os.environ["CHRONOS_PARTITION_ID"],
                "home": os.environ["HOME"], "dir": os.environ["CUMULUS_JOB_DIR"]}
    """


def test_args_and_env_reach_the_job(client):
    story = client.run(ARGS, args=["a b", "", "--x"], env={"COLOUR": "grün"})
    value = story.value
    assert value["args"] == ["a b", "", "--x"]
    assert value["env"] == "grün"


def test_a_job_sees_where_and_what_it_is(client):
    story = client.run(ARGS, gpu=2)
    value = story.value
    assert value["job"] == story.job
    assert value["gpu"] == "0,1"
    assert value["partition"] == client.status(story.job).partition_id
    assert value["cwd"] == "/job/src"
    assert value["home"] == value["dir"] == "/job/work"


def test_limits_reach_the_job(client):
    story = client.run("""
        import os
        def main():
            try:
                block = bytearray(512 << 20)
                block[::4096] = b"x" * len(block[::4096])
            except MemoryError:
                os.kill(os.getpid(), 9)
        """, limits=pb.Limits(memory_bytes=128 << 20))
    assert story.last.state == pb.FAILED
    assert story.last.reason == pb.OUT_OF_MEMORY, story.text()
    assert story.last.message == "out of memory: limit 128 MiB"


def test_a_limit_of_processes_holds(client):
    story = client.run("""
        import os, time
        def main():
            made = 0
            try:
                while made < 100:
                    if os.fork() == 0:
                        time.sleep(60)
                        os._exit(0)
                    made += 1
            except OSError:
                pass
            return made
        """, limits=pb.Limits(pids=16))
    assert 0 < story.value < 16


def test_a_limit_of_disk_holds(client):
    """No file grows past it; what all of them take is looked at every second."""
    story = client.run("""
        import time
        def main():
            for i in range(600):
                with open(f"{i}", "wb") as f:
                    f.write(bytes(1 << 20))
                time.sleep(0.1)
        """, limits=pb.Limits(disk_bytes=4 << 20))
    assert story.last.state == pb.FAILED and story.last.reason == pb.DISK_LIMIT, story.text()


@pytest.mark.parametrize("fields, named", [
    ({"queue": "fast"}, "queue"), ({"image": "debian"}, "image")])
def test_a_field_that_is_not_served_is_unimplemented_by_name(client, fields, named):
    code, details = client.refused(**fields)
    assert code == grpc.StatusCode.UNIMPLEMENTED
    assert named in details


@pytest.mark.parametrize("rpc, request_", [
    ("PauseJob", pb.PauseJobRequest()), ("ResumeJob", pb.ResumeJobRequest()),
    ("ListCheckpoints", pb.ListCheckpointsRequest())])
def test_an_rpc_that_is_not_served_is_unimplemented_by_name(client, rpc, request_):
    with pytest.raises(grpc.RpcError) as raised:
        getattr(client.stub, rpc)(request_, timeout=DEADLINE_S)
    assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert rpc in raised.value.details()


def test_a_method_that_is_in_no_contract_is_unimplemented(client):
    call = client.channel.unary_unary("/cumulus.orchestrator.OrchestratorService/Nothing")
    with pytest.raises(grpc.RpcError) as raised:
        call(b"", timeout=DEADLINE_S)
    assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED


# ---- idempotency

def test_the_same_key_and_submission_is_the_same_job_from_its_start(client):
    first = client.run(HELLO, idempotency_key="once-1")
    again = client.run(HELLO, idempotency_key="once-1")
    assert again.job == first.job
    assert again.transitions == first.transitions
    assert again.output() == first.output() and again.last.result == first.last.result
    assert again.code == grpc.StatusCode.OK


def test_the_same_key_with_another_submission_already_exists(client):
    request = submission(HELLO, idempotency_key="once-2")
    client.know(Story(client.stub.SubmitJob(request, timeout=DEADLINE_S)).job)
    request.duration += 1
    code, details = client.refused(request)
    assert code == grpc.StatusCode.ALREADY_EXISTS
    assert "idempotency_key" in details


def test_a_repeated_key_finds_its_job_while_it_runs(client):
    code = package(SLEEP)
    job, _ = client.begin(code, gpu=2, idempotency_key="once-3")
    repeat = client.submit(code, gpu=2, idempotency_key="once-3")
    assert next(iter(repeat)).job_id == job
    repeat.cancel()


def test_many_at_once_with_one_key_are_one_job(client):
    code = package(HELLO)
    calls = [client.submit(code, idempotency_key="once-4") for _ in range(20)]
    stories = [Story(c) for c in calls]
    client.know(stories[0].job)
    assert {s.job for s in stories} == {stories[0].job}
    assert all(s.last.state == pb.COMPLETED for s in stories)


def test_a_key_survives_a_restart_of_cumulusd(new_system):
    from client import Client
    system = new_system()
    before = Client(system)
    before.until_ready()
    code = package(HELLO)
    first = before.run(code, idempotency_key="for ever")
    before.channel.close()
    system.stop()
    system.start()
    after = Client(system)
    again = after.run(code, idempotency_key="for ever")
    assert again.job == first.job and again.last.result == first.last.result
    after.close()


# ---- waiting

def test_no_wait_is_unavailable_while_the_devices_are_taken(client):
    client.begin(SLEEP, gpu=2)
    story = Story(client.submit(HELLO, gpu=1, no_wait=True))
    assert story.code == grpc.StatusCode.UNAVAILABLE
    assert story.trailers["cumulus-reason"] == "no_wait"
    assert not story.events


def test_no_wait_runs_where_there_is_room(client):
    assert client.run(HELLO, no_wait=True).value == {"answer": 42}


def test_a_waiting_job_says_for_what_and_then_runs(client):
    blocker, _ = client.begin(SLEEP, gpu=2)
    job, stream = client.begin(HELLO, state=pb.SCHEDULING, gpu=2)
    until(lambda: client.status(job).reason == pb.WAITING_FOR_GPU, "it waits for a GPU")
    assert "GPU" in client.status(job).message
    client.cancel(blocker)
    assert Story(stream).last.state == pb.COMPLETED


# ---- WatchJob

CHATTY = """
    import sys, time
    def main():
        for i in range(6):
            print("line", i, flush=True)
            print("error", i, file=sys.stderr, flush=True)
            time.sleep(0.15)
        return "done"
    """


def tokens(events):
    """A story in pieces that do not depend on how output was cut: states, and single bytes."""
    found = []
    for e in events:
        if e.sequence:
            found.append((e.sequence, e.state, e.message, e.result, e.reason, e.attempt,
                          e.timestamp_ns))
        elif e.HasField("output"):
            found += [(e.output.stream, bytes([byte])) for byte in e.output.data]
    return found


def test_a_finished_job_is_told_again_from_every_point(client):
    live = client.run(CHATTY)
    assert live.last.state == pb.COMPLETED, live.text()
    # SubmitJob's message on output is its text; tokens() leaves it out.
    whole = tokens(live.events)
    late = client.watch(live.job)
    assert late.code == grpc.StatusCode.OK
    assert tokens(late.events) == whole
    sequence, offset = 0, 0
    for i, event in enumerate(late.events):
        sequence = event.sequence or sequence
        if event.HasField("output"):
            offset = event.output.next_offset
        rest = client.watch(live.job, sequence, offset)
        assert tokens(rest.events) == tokens(late.events[i + 1:]), f"after event {i}"


def test_every_cut_of_sequence_and_offset_leaves_out_exactly_what_was_asked(client):
    live = client.run(CHATTY)
    late = client.watch(live.job)
    offsets = sorted({0} | {e.output.next_offset for e in late.events if e.HasField("output")})
    for after in range(late.last.sequence + 1):
        for offset in offsets:
            rest = client.watch(live.job, after, offset)
            expected = [e for e in late.events if (e.sequence and e.sequence > after) or
                        (e.HasField("output") and e.output.offset >= offset)]
            assert tokens(rest.events) == tokens(expected), (after, offset)


def test_a_client_that_goes_away_is_picked_up_at_every_event(client):
    for leave_after in range(1, 9):
        call = client.submit(CHATTY)
        seen = []
        for event in call:
            seen.append(event)
            client.know(event.job_id)
            if len(seen) == leave_after:
                break
        call.cancel()
        sequence = max(e.sequence for e in seen)
        offset = max([e.output.next_offset for e in seen if e.HasField("output")], default=0)
        rest = client.watch(seen[0].job_id, sequence, offset)
        assert rest.last.state == pb.COMPLETED, rest.text()
        whole = client.watch(seen[0].job_id)
        assert tokens(seen + rest.events) == tokens(whole.events), f"left after {leave_after}"


def test_watching_output_fills_output_only(client):
    job = client.run(CHATTY).job
    for event in client.watch(job).events:
        if event.HasField("output"):
            assert event.message == "" and event.sequence == 0


def test_sequences_count_from_one_without_a_gap(client):
    story = client.run(CHATTY)
    numbers = [e.sequence for e in story.state_events]
    assert numbers == list(range(1, len(numbers) + 1))


def test_offsets_grow_without_a_gap(client):
    outputs = [e.output for e in client.run(CHATTY).events if e.HasField("output")]
    assert all(a.next_offset == b.offset for a, b in zip(outputs, outputs[1:]))
    assert all(o.offset < o.next_offset for o in outputs)


def test_watching_a_cancelled_job_ends_with_status_cancelled_or_ok_after_its_event(client):
    job, _ = client.begin(SLEEP)
    client.cancel(job)
    client.until_terminal(job)
    story = client.watch(job)
    assert story.last.state == pb.CANCELLED
    assert story.code == grpc.StatusCode.CANCELLED


@pytest.mark.parametrize("fields", [{"after_sequence": -1}, {"output_offset": -1}])
def test_a_negative_cursor_is_invalid(client, fields):
    job = client.run(HELLO).job
    with pytest.raises(grpc.RpcError) as raised:
        list(client.stub.WatchJob(pb.WatchJobRequest(job_id=job, **fields), timeout=DEADLINE_S))
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_a_hundred_watchers_of_one_job_hear_the_same(client):
    job, _ = client.begin(CHATTY)
    calls = [client.stub.WatchJob(pb.WatchJobRequest(job_id=job), timeout=DEADLINE_S)
             for _ in range(100)]
    told = [tokens(Story(c).events) for c in calls]
    assert all(t == told[0] for t in told)


# ---- ListJobs

def test_jobs_are_listed_by_state_name_and_label(client):
    done = client.run(HELLO, name="list-a", labels={"k": "1"}).job
    failed = client.run("def main():\n    1/0\n", name="list-b", labels={"k": "1"}).job

    def ids(**fields):
        return {j.job_id for j in client.list_jobs(**fields).jobs}

    assert {done, failed} <= ids(name_prefix="list-")
    assert ids(name_prefix="list-a") == {done}
    assert ids(name_prefix="list-", states=[pb.FAILED]) == {failed}
    assert ids(name_prefix="list-", labels={"k": "1"}) == {done, failed}
    assert ids(name_prefix="list-", labels={"k": "2"}) == set()


def test_pages_cover_every_job_once(client):
    made = {client.run(HELLO, name="page").job for _ in range(5)}
    seen, token = [], ""
    while True:
        page = client.list_jobs(name_prefix="page", page_size=2, page_token=token)
        assert len(page.jobs) <= 2
        seen += [j.job_id for j in page.jobs]
        token = page.next_page_token
        if not token:
            break
    assert sorted(seen) == sorted(made)


def test_a_page_token_of_nobody_is_invalid(client):
    with pytest.raises(grpc.RpcError) as raised:
        client.list_jobs(page_token="nonsense")
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "page_token" in raised.value.details()


# ---- GetJobResult

def test_the_result_is_kept_with_its_digest(client):
    story = client.run(HELLO)
    kept = client.stub.GetJobResult(pb.JobResultRequest(job_id=story.job), timeout=DEADLINE_S)
    assert kept.result == story.last.result
    assert kept.digest == "sha256:" + hashlib.sha256(kept.result).hexdigest()


def test_a_job_that_did_not_complete_has_no_result(client):
    job = client.run("def main():\n    1/0\n").job
    with pytest.raises(grpc.RpcError) as raised:
        client.stub.GetJobResult(pb.JobResultRequest(job_id=job), timeout=DEADLINE_S)
    assert raised.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert job in raised.value.details()


# ---- GetJobLogs

def test_logs_are_what_the_job_printed(client):
    story = client.run(CHATTY)
    logs = client.logs(story.job)
    for stream in (pb.STDOUT, pb.STDERR):
        said = b"".join(o.data for o in logs if o.stream == stream)
        assert said == story.output(stream)


def test_output_says_when_it_was_written(client):
    story = client.run("import time\ndef main():\n    print(time.time_ns(), flush=True)\n"
                       "    time.sleep(0.5)\n    print(time.time_ns())\n")
    told = [e.output for e in story.events if e.HasField("output")]
    logs = client.logs(story.job, streams=[pb.STDOUT])
    wrote = [(int(line), o.timestamp_ns) for o in told for line in o.data.split()]
    assert len(wrote) == 2 and all(0 <= read - at < 60e9 for at, read in wrote)
    # Asked for later, the times are the same ones.
    assert [(o.data, o.timestamp_ns) for o in logs] == [(o.data, o.timestamp_ns) for o in told]


def test_logs_of_one_stream_only(client):
    job = client.run(CHATTY).job
    logs = client.logs(job, streams=[pb.STDERR])
    assert {o.stream for o in logs} == {pb.STDERR}
    assert b"".join(o.data for o in logs) == b"".join(b"error %d\n" % i for i in range(6))


def test_the_last_lines_of_the_logs(client):
    job = client.run("def main():\n    for i in range(100): print(i)\n").job
    said = b"".join(o.data for o in client.logs(job, tail_lines=3, streams=[pb.STDOUT]))
    assert said == b"97\n98\n99\n"


def test_logs_go_on_from_an_offset(client):
    job = client.run(CHATTY).job
    logs = client.logs(job)
    rest = client.logs(job, offset=logs[0].next_offset)
    assert b"".join(o.data for o in rest) == b"".join(o.data for o in logs[1:])


def test_followed_logs_end_with_the_job(client):
    job, _ = client.begin(CHATTY)
    logs = client.logs(job, follow=True)
    assert b"".join(o.data for o in logs if o.stream == pb.STDOUT).endswith(b"line 5\n")
    assert client.status(job).state == pb.COMPLETED


# ---- names, labels, env

@pytest.mark.parametrize("fields, named", [
    ({"name": "x" * 257}, "name"), ({"idempotency_key": "x" * 257}, "idempotency_key"),
    ({"labels": {"k": "v" * 257}}, "labels"), ({"labels": {"k" * 257: "v"}}, "labels"),
    ({"labels": {"": "v"}}, "labels"),
    ({"env": {"": "v"}}, "env"), ({"env": {"A=B": "v"}}, "env"), ({"env": {"1A": "v"}}, "env"),
    ({"env": {"A": "v" * 65537}}, "env"), ({"name": "a\0b"}, "name"), ({"args": ["a\0b"]}, "args"),
    ({"priority": 101}, "priority"), ({"max_retries": -1}, "max_retries"),
    ({"limits": pb.Limits(cpus=-1)}, "limits.cpus"),
    ({"limits": pb.Limits(memory_bytes=-1)}, "limits.memory_bytes"),
    ({"limits": pb.Limits(disk_bytes=5)}, "limits.disk_bytes"),
    ({"limits": pb.Limits(pids=-1)}, "limits.pids")])
def test_a_field_out_of_bounds_is_named(client, fields, named):
    code, details = client.refused(**fields)
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert named in details
    assert len(details) <= 1024


def test_a_variable_that_a_job_cannot_set_is_told(client):
    story = client.run("""
        import os
        def main():
            return [os.environ.get(n) for n in ("LD_PRELOAD", "JOB_ID", "MINE", "LANG")]
        """, env={"LD_PRELOAD": "/x.so", "JOB_ID": "j-1", "MINE": "1", "LANG": "C"})
    assert story.value == [None, story.job, "1", "C"]
    told = story.output(pb.SYSTEM).decode().splitlines()
    assert sorted(told) == [f"variable {name} is not set as asked: it is not the job's to set"
                            for name in ("JOB_ID", "LD_PRELOAD")]


@pytest.mark.parametrize("name, request_, value", [
    ("WatchJob", pb.WatchJobRequest(after_sequence=-1), "after_sequence -1"),
    ("WatchJob", pb.WatchJobRequest(output_offset=-2), "output_offset -2"),
    ("GetJobLogs", pb.JobLogsRequest(offset=-3), "offset -3"),
    ("GetJobLogs", pb.JobLogsRequest(tail_lines=-4), "tail_lines -4"),
    ("ListWorkers", pb.ListWorkersRequest(status_filter="up"), 'status_filter "up"')])
def test_a_question_out_of_bounds_is_told_with_field_value_and_job(client, name, request_, value):
    if name != "ListWorkers":
        request_.job_id = client.run().job
    with pytest.raises(grpc.RpcError) as raised:
        list(getattr(client.stub, name)(request_, timeout=DEADLINE_S))
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert raised.value.details().startswith(value)
    if name == "WatchJob":
        assert request_.job_id in raised.value.details()


def test_text_that_is_not_utf8_is_refused(client):
    raw = submission(HELLO).SerializeToString() + b"\x82\x01\x02\xff\xfe"  # name = ff fe
    call = client.channel.unary_stream("/cumulus.orchestrator.OrchestratorService/SubmitJob")
    with pytest.raises(grpc.RpcError) as raised:
        list(call(raw, timeout=DEADLINE_S))
    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_bytes_that_are_no_message_are_refused(client):
    call = client.channel.unary_stream("/cumulus.orchestrator.OrchestratorService/SubmitJob")
    with pytest.raises(grpc.RpcError) as raised:
        list(call(b"\xff" * 100, timeout=DEADLINE_S))
    assert raised.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL)


def test_output_bytes_are_those_that_the_job_wrote(client):
    job, call = client.begin("""
        import sys, time
        def main():
            sys.stdout.write("x" * 70001)
            sys.stderr.write("y" * 9)
            sys.stderr.flush()
            sys.stdout.flush()
            time.sleep(600)
        """)
    until(lambda: client.status(job).output_bytes == 70010, "what it wrote is counted")
    client.cancel(job)
    assert client.until_terminal(job).output_bytes == 70010
    assert client.list_jobs(page_size=1).jobs[0].output_bytes == 70010
