"""Rows of protocol.md that no other file names; README.md beside this has the whole list.

SPDX-License-Identifier: Apache-2.0
"""
import json
import random
import re

import grpc
import pytest

from client import HELLO, SLEEP, Client, Story, package, submission, zip_of
from system import DEADLINE_S, pb, until

EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.fixture
def ready(new_system):
    """A client of a system of its own."""
    clients = []

    def start(*flags, **more):
        client = Client(new_system(*flags, **more))
        clients.append(client)
        client.until_ready()
        return client

    yield start
    for client in clients:
        client.channel.close()


# ---- what each RPC answers

def test_too_many_waiting_jobs_are_resource_exhausted_naming_the_limit(ready):
    client = ready("--max-waiting", "2")
    client.begin(SLEEP, gpu=2)
    waiting = [client.begin(HELLO, state=pb.SCHEDULING, gpu=2)[0] for _ in range(2)]
    code, details = client.refused(gpu=2)
    assert code == EXHAUSTED and "2" in details and "waiting" in details
    assert client.cancel(waiting[0]).cancelled
    client.begin(HELLO, state=pb.SCHEDULING, gpu=2)


def test_a_repeated_key_finds_its_job_even_when_nothing_is_ready(new_system):
    system = new_system()
    before = Client(system)
    before.until_ready()
    code = package(HELLO)
    first = before.run(code, idempotency_key="k")
    before.channel.close()
    system.stop()
    system.flags += ["--worker", "external"]
    system.start()
    after = Client(system)
    again = after.run(code, idempotency_key="k")
    assert again.job == first.job and again.last.result == first.last.result
    code, details = after.refused(submission(HELLO, idempotency_key="k", gpu=0.5))
    assert code == grpc.StatusCode.ALREADY_EXISTS
    after.channel.close()


def test_an_accepted_job_waits_even_when_all_workers_vanish(new_system):
    system = new_system()
    before = Client(system)
    before.until_ready()
    before.begin(SLEEP, gpu=2)
    job, _ = before.begin(HELLO, state=pb.SCHEDULING, gpu=2)
    before.channel.close()
    system.stop()
    system.flags += ["--worker", "external"]
    system.start()
    after = Client(system)
    assert after.health().status == "unhealthy"
    assert after.status(job).state == pb.SCHEDULING
    after.know(job)
    assert after.cancel(job).cancelled
    after.channel.close()


@pytest.mark.parametrize("job", ["j-aaaaaaaaaaaaaaaa", "nonsense"])
def test_the_result_of_an_unknown_job_is_not_found(client, job):
    with pytest.raises(grpc.RpcError) as raised:
        client.stub.GetJobResult(pb.JobResultRequest(job_id=job), timeout=DEADLINE_S)
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND
    assert job in raised.value.details()


def test_a_job_that_still_runs_has_no_result(client):
    job, _ = client.begin(SLEEP)
    with pytest.raises(grpc.RpcError) as raised:
        client.stub.GetJobResult(pb.JobResultRequest(job_id=job), timeout=DEADLINE_S)
    assert raised.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert job in raised.value.details() and "RUNNING" in raised.value.details()


def test_the_orchestrators_own_fault_is_internal_with_a_reference(client):
    code = zip_of({"main.py": HELLO, "blob": random.Random(201).randbytes(300_000)})
    digest = client.status(client.run(code).job).package_digest
    named = pb.JobSubmission(package_digest=digest, gpu_memory=0.25, duration=60)
    # It is known, but its file is gone.
    folder = client.system.data / "orchestrator" / "packages"
    (folder / digest.removeprefix("sha256:")).unlink()
    status, details = client.refused(named)
    assert status == grpc.StatusCode.INTERNAL, details
    reference = re.search(r"e-[a-z2-7]{16}", details).group()
    assert "No such file" not in details and digest[7:] not in details
    log = (client.system.parent / "log").read_text().splitlines()
    assert [line for line in log if reference in line and "No such file" in line]
    # Sent again, it is there again.
    info = client.stub.UploadPackage(iter([pb.PackageChunk(
        digest=digest, size=len(code), data=code)]), timeout=DEADLINE_S)
    assert info.size == len(code)
    assert Story(client.stub.SubmitJob(named, timeout=DEADLINE_S)).value == {"answer": 42}


def test_output_that_cannot_be_opened_fails_only_who_asks_for_it(ready):
    client = ready()
    broken, fine = client.run(), client.run()
    client.system.stop()
    file = client.system.data / "orchestrator" / "output" / f"{broken.job}.1"
    file.unlink()
    file.symlink_to("/etc/passwd")
    client.system.start()
    after = Client(client.system)
    for ask in (lambda: after.logs(broken.job), lambda: after.logs(broken.job)):
        with pytest.raises(grpc.RpcError) as failed:
            ask()
        assert failed.value.code() == grpc.StatusCode.INTERNAL
        assert "passwd" not in failed.value.details() and "its log" in failed.value.details()
    assert after.watch(broken.job).code == grpc.StatusCode.INTERNAL
    assert b"hello" in b"".join(piece.data for piece in after.logs(fine.job))
    assert after.status(broken.job).state == pb.COMPLETED
    after.channel.close()


# ---- limits and texts

def test_a_result_of_three_mib_is_whole_for_an_old_client(client):
    story = client.run("def main():\n    return 'x' * (3 << 20)\n")
    assert len(story.value) == 3 << 20


def test_output_past_the_limit_is_counted_and_one_line_says_so(ready):
    client = ready("--max-output", "64K")
    story = client.run("def main():\n    for i in range(4096): print('x' * 99)\n")
    assert story.last.state == pb.COMPLETED, story.text()
    assert 0 < len(story.output()) <= 64 << 10
    said = story.output(pb.SYSTEM).decode()
    assert said.count("\n") == 1 and "65536 bytes" in said and "not kept" in said, said
    client.close()


def test_a_long_traceback_is_cut_to_64_kib(client):
    story = client.run("def main():\n    raise ValueError('x' * 200000)\n")
    status = client.status(story.job)
    assert story.last.message.startswith("ValueError: x") and "\n" not in story.last.message
    assert len(story.last.message.encode()) <= 1024
    assert len(status.error.encode()) <= 64 << 10
    assert status.error.startswith(story.last.message[:60])


def test_a_value_in_an_error_is_cut(client):
    _, details = client.refused(requirements=["=" * 500])
    assert "=" * 65 not in details and "=" * 30 in details


def test_a_job_that_fills_its_disk_is_ended_and_told_the_limit(ready):
    client = ready("--job-disk", "16M")
    story = client.run("""
        import time
        def main():
            for n in range(4):
                with open(f"/job/work/{n}", "wb") as f:
                    f.write(b"x" * (8 << 20))
            time.sleep(60)
        """)
    assert story.last.state == pb.FAILED and story.last.reason == pb.DISK_LIMIT, story.text()
    assert "16 MiB" in story.last.message
    client.close()


# ---- retries

def test_a_job_that_opted_in_is_retried_with_the_attempts_number(client):
    story = client.run("def main():\n    raise ValueError('again')\n", max_retries=2)
    assert story.last.state == pb.FAILED
    states = [e.state for e in story.state_events]
    assert states.count(pb.RUNNING) == 3
    back = [e for e in story.state_events[1:] if e.state == pb.SCHEDULING and "attempt" in e.message]
    assert len(back) >= 2, story.text()
    assert client.status(story.job).attempt == 3


def test_a_job_that_did_not_opt_in_is_not_retried(client):
    story = client.run("def main():\n    raise ValueError('once')\n")
    assert [e.state for e in story.state_events].count(pb.RUNNING) == 1


# ---- what a job sees

def test_a_job_sees_its_folders_as_they_are_described(client):
    story = client.run({"main.py": """
        import hashlib, os, sys
        def empty(path):
            return not os.path.exists(path) or not os.listdir(path)
        def main():
            open("here", "w").close()
            open(os.environ["CUMULUS_JOB_DIR"] + "/there", "w").close()
            with open("/proc/mounts") as f:
                kinds = {l.split()[1]: l.split()[2] for l in f}
            with open("/job/code.zip", "rb") as f:
                code = hashlib.sha256(f.read()).hexdigest()
            import beside, cumulus
            return {"code": code, "cwd": os.getcwd(), "file": os.path.exists("/job/src/here"),
                    "root": empty("/root"), "home": empty("/home"), "tmp": kinds.get("/tmp"),
                    "uuid": os.environ["GPU_UUID"], "beside": beside.x,
                    "dir": cumulus.job_dir(), "pause": cumulus.should_pause()}
        """, "beside.py": "x = 5\n"})
    value = story.value
    assert "sha256:" + value["code"] == client.status(story.job).package_digest
    assert value["cwd"] == "/job/src" and value["file"]
    assert value["root"] and value["home"] and value["tmp"] == "tmpfs"
    assert value["uuid"] in [d.uuid for d in client.devices()]
    assert value["beside"] == 5 and value["dir"] == "/job/work" and value["pause"] is False


def test_what_main_returns_is_wrapped_as_described(client):
    result = json.loads(client.run(HELLO).last.result)
    assert set(result) == {"status", "result", "execution_time", "timestamp", "system_info"}


# ---- ZIPs

def swap(raw, old, new, count=-1):
    assert len(old) == len(new) and old in raw
    return raw.replace(old, new, count)


def test_a_zip_in_a_zip_is_a_file_like_any_other(client):
    inner = zip_of({"../evil": "x"})
    story = client.run({"main.py": "def main():\n    return sorted(__import__('os').listdir())\n",
                        "inner.zip": inner})
    assert "inner.zip" in story.value and "evil" not in story.value


@pytest.mark.parametrize("name, make, said", [
    ("overlapping entries", lambda: overlapping(), ""),
    ("a name that is not UTF-8", lambda: swap(zip_of({"main.py": HELLO, "abcd": "x"}), b"abcd",
                                              b"a\xff\xfed"), "UTF-8"),
    ("a NUL in a name", lambda: swap(zip_of({"main.py": HELLO, "abcd": "x"}), b"abcd", b"a\0cd"),
     ""),
    ("two names for one entry", lambda: swap(zip_of({"main.py": HELLO, "abcd": "x"}), b"abcd",
                                             b"efgh", 1), "ZIP"),
    ("a second end", lambda: zip_of({"main.py": HELLO}) +
     b"PK\5\6" + bytes(18), ""),
    ("bytes after the end", lambda: zip_of({"main.py": HELLO}) + b"more", "ZIP")])
def test_a_zip_that_can_be_read_in_two_ways_is_invalid(client, name, make, said):
    code, details = client.refused(code=make())
    assert code == grpc.StatusCode.INVALID_ARGUMENT, details
    assert "code_package" in details and said in details


def overlapping():
    raw = bytearray(zip_of({"main.py": HELLO, "copy.py": HELLO}))
    second = raw.index(b"PK\1\2", raw.index(b"PK\1\2") + 4)
    raw[second + 42:second + 46] = bytes(4)
    return bytes(raw)


def test_a_zip_with_names_of_many_scripts_runs(client):
    story = client.run({"main.py": """
        import os
        def main():
            return sorted(os.listdir("data"))
        """, "data/żółw": "1", "data/日本": "2", "data/😀": "3"})
    assert story.value == sorted(["żółw", "日本", "😀"])


@pytest.mark.parametrize("at", [22, 24], ids=["larger than it says", "smaller than it says"])
def test_a_size_that_is_a_lie_is_found_at_extraction_or_before(client, at):
    import struct
    raw = bytearray(zip_of({"main.py": "def main():\n    return 1\n", "data": b"x" * 1000}))
    size = 10 if at == 22 else 5000
    first = raw.index(b"PK\3\4", 4)
    directory = raw.index(b"PK\1\2", raw.index(b"PK\1\2") + 4)
    struct.pack_into("<I", raw, first + 22, size)
    struct.pack_into("<I", raw, directory + 24, size)
    story = Story(client.stub.SubmitJob(submission(bytes(raw)), timeout=DEADLINE_S))
    if story.events:
        client.know(story.job)
        assert story.last.state == pb.FAILED and story.last.reason == pb.CONTAINER_FAILED
        assert "data" in story.last.message
    else:
        assert story.code == grpc.StatusCode.INVALID_ARGUMENT
    until(lambda: client.health().status == "healthy", "nothing is harmed")
