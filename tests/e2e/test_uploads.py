"""Packages ahead of their jobs: UploadPackage, MissingPackages, package_digest.

SPDX-License-Identifier: Apache-2.0
"""
import hashlib
import io
import random
import zipfile

import grpc
import pytest

from client import HELLO, Client, Story, package, submission, zip_of
from system import DEADLINE_S, pb

INVALID = grpc.StatusCode.INVALID_ARGUMENT
MIB = 1 << 20

MEASURES = """
    import os
    def main():
        return os.path.getsize("blob")
    """


def stored(**files):
    """A ZIP that is as large as its files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as z:
        for name, content in files.items():
            z.writestr(name.replace("_", "."), content)
    return out.getvalue()


def blob(size, seed):
    return random.Random(seed).randbytes(size)


def large(seed, size=9 * MIB):
    return stored(main_py=package_source(), blob=blob(size, seed))


def package_source():
    import textwrap
    return textwrap.dedent(MEASURES)


def digest_of(content):
    return "sha256:" + hashlib.sha256(content).hexdigest()


def chunks(content, digest=None, start=0, end=None, step=MIB, size=None):
    """The pieces of content[start:end]; at least one, if only an empty one."""
    end = len(content) if end is None else end
    for at in list(range(start, end, step)) or [start]:
        yield pb.PackageChunk(digest=digest or digest_of(content), size=size or len(content),
                              offset=at, data=content[at:min(at + step, end)])


def upload(client, pieces):
    return client.stub.UploadPackage(iter(pieces), timeout=DEADLINE_S)


def fails(client, pieces):
    with pytest.raises(grpc.RpcError) as raised:
        upload(client, pieces)
    return raised.value.code(), raised.value.details()


def missing(client, *digests):
    return list(client.stub.MissingPackages(pb.PackageDigests(digests=digests),
                                            timeout=DEADLINE_S).digests)


def by_digest(content, **fields):
    return pb.JobSubmission(package_digest=digest_of(content), gpu_memory=0.25, duration=60,
                            **fields)


def run(client, request):
    story = Story(client.stub.SubmitJob(request, timeout=DEADLINE_S))
    if story.events:
        client.know(story.job)
    return story


def test_a_large_package_is_uploaded_and_runs_by_its_digest(client):
    content = large(1)
    assert missing(client, digest_of(content)) == [digest_of(content)]
    info = upload(client, chunks(content))
    assert (info.digest, info.size) == (digest_of(content), len(content))
    assert missing(client, digest_of(content)) == []
    story = run(client, by_digest(content))
    assert story.value == 9 * MIB
    assert client.status(story.job).package_digest == digest_of(content)


def test_an_upload_that_breaks_off_goes_on_from_where_it_is(client):
    content = large(2, 5 * MIB)
    half = 3 * MIB + 17
    assert upload(client, chunks(content, end=half)).size == half
    assert missing(client, digest_of(content)) == [digest_of(content)]
    # Asking adds nothing.
    assert upload(client, chunks(content, end=0)).size == half
    assert upload(client, chunks(content, start=half)).size == len(content)
    assert run(client, by_digest(content)).value == 5 * MIB


def test_a_client_that_is_cut_off_finds_what_it_sent(client):
    content = large(3, 3 * MIB)
    sent = iter(chunks(content, end=2 * MIB))

    def pieces():
        yield from sent
        raise RuntimeError("the client dies here")

    with pytest.raises(grpc.RpcError):
        upload(client, pieces())
    there = upload(client, chunks(content, end=0)).size
    assert there % MIB == 0 and there <= 2 * MIB
    assert upload(client, chunks(content, start=there)).size == len(content)


def test_an_upload_goes_on_after_a_restart(new_system):
    system = new_system()
    before = Client(system)
    before.until_ready()
    content = large(4, 3 * MIB)
    assert upload(before, chunks(content, end=2 * MIB)).size == 2 * MIB
    before.close()
    system.kill()
    system.start()
    after = Client(system)
    after.until_ready()
    assert upload(after, chunks(content, end=0)).size == 2 * MIB
    assert upload(after, chunks(content, start=2 * MIB)).size == len(content)
    assert run(after, by_digest(content)).value == 3 * MIB
    after.close()


def test_a_piece_past_the_end_is_answered_with_what_is_there(client):
    content = large(5, 3 * MIB)
    first, *_, last = chunks(content)
    assert upload(client, [last]).size == 0
    assert upload(client, [first, last]).size == len(first.data)


def test_pieces_that_are_there_already_may_come_again(client):
    content = large(6, 2 * MIB)
    pieces = list(chunks(content))
    assert upload(client, [pieces[0], pieces[0], *pieces]).size == len(content)
    assert upload(client, pieces).size == len(content)


def test_two_uploads_of_one_package_at_once_are_one_package(client):
    content = large(7, 4 * MIB)
    calls = [client.stub.UploadPackage.future(chunks(content, step=100_000), timeout=DEADLINE_S)
             for _ in range(4)]
    assert {c.result().size for c in calls} == {len(content)}
    assert run(client, by_digest(content)).value == 4 * MIB


def test_later_pieces_need_not_repeat_digest_and_size(client):
    content = large(8, 2 * MIB)
    first, *rest = chunks(content)
    short = [pb.PackageChunk(offset=c.offset, data=c.data) for c in rest]
    assert upload(client, [first, *short]).size == len(content)


def test_other_bytes_than_the_digest_says_are_refused_and_forgotten(client):
    content = large(9, 2 * MIB)
    wrong = bytes(len(content))
    code, details = fails(client, chunks(wrong, digest=digest_of(content)))
    assert code == INVALID and "SHA-256" in details
    assert upload(client, chunks(content, end=0)).size == 0
    assert upload(client, chunks(content)).size == len(content)


@pytest.mark.parametrize("name, change, said", [
    ("no digest", {"digest": ""}, "digest"),
    ("half a digest", {"digest": "sha256:12"}, "digest"),
    ("no size", {"size": 0}, "size"),
    ("a negative size", {"size": -1}, "size"),
    ("more than 2 GiB", {"size": (2 << 30) + 1}, str(2 << 30)),
    ("a negative offset", {"offset": -1}, "offset"),
    ("an offset outside", {"offset": 1001}, "offset"),
    ("more than 1 MiB at once", {"size": 3 * MIB, "data": bytes(MIB + 1)}, str(MIB)),
    ("more than its size", {"size": 10, "data": bytes(11)}, "size")])
def test_a_bad_piece_is_invalid_and_says_why(client, name, change, said):
    fields = {"digest": digest_of(name.encode()), "size": 1000, "offset": 0, "data": b"x"}
    code, details = fails(client, [pb.PackageChunk(**{**fields, **change})])
    assert code == INVALID, details
    assert said in details


def test_a_stream_without_a_piece_is_invalid(client):
    assert fails(client, [])[0] == INVALID


def test_a_stream_is_of_one_package(client):
    a, b = large(10, 2 * MIB), large(11, 2 * MIB)
    code, details = fails(client, [next(chunks(a)), next(chunks(b))])
    assert code == INVALID and "digest" in details
    code, details = fails(client, [next(chunks(a)), pb.PackageChunk(size=5, data=b"x")])
    assert code == INVALID and "size" in details


@pytest.mark.parametrize("name, content, said", [
    ("text", b"def main(): pass" * 100, "ZIP"),
    ("no main.py", stored(other_py="x"), "main.py"),
    ("a path that leads out", zip_of({"main.py": HELLO, "../evil": "x"}), "evil"),
    ("half a ZIP", stored(main_py="x", blob=blob(5000, 12))[:4000], "ZIP")])
def test_what_is_no_package_never_becomes_known(client, name, content, said):
    code, details = fails(client, chunks(content))
    assert code == INVALID and said in details, details
    assert missing(client, digest_of(content)) == [digest_of(content)]
    story = run(client, by_digest(content))
    assert story.code == grpc.StatusCode.NOT_FOUND
    assert digest_of(content) in story.details


def test_a_package_that_came_with_a_job_is_known(client):
    content = package(HELLO)
    client.run(content)
    assert missing(client, digest_of(content)) == []
    assert upload(client, chunks(content, end=0)).size == len(content)
    assert run(client, by_digest(content)).value == {"answer": 42}


def test_missing_packages_are_told_in_their_order(client):
    client.run(HELLO)
    unknown = [digest_of(b"%d" % i) for i in range(5)]
    known = digest_of(package(HELLO))
    assert missing(client, unknown[3], known, unknown[0], unknown[0]) == \
        [unknown[3], unknown[0], unknown[0]]
    assert missing(client) == []


@pytest.mark.parametrize("digests, said", [
    (["nonsense"], "digest"), ([digest_of(b"x").upper()], "digest"),
    ([digest_of(b"x")] * 1001, "1000")])
def test_bad_questions_for_packages_are_invalid(client, digests, said):
    with pytest.raises(grpc.RpcError) as raised:
        missing(client, *digests)
    assert raised.value.code() == INVALID and said in raised.value.details()


@pytest.mark.parametrize("digest", ["nonsense", "sha256:", "sha256:" + "g" * 64])
def test_a_package_digest_that_is_none_is_invalid(client, digest):
    code, details = client.refused(pb.JobSubmission(package_digest=digest, gpu_memory=0.25,
                                                    duration=60))
    assert code == INVALID and "package_digest" in details


def test_an_unknown_package_is_not_found_whatever_else_there_is(client):
    code, details = client.refused(pb.JobSubmission(
        package_digest=digest_of(b"never sent"), gpu_memory=8, duration=60, no_wait=True))
    assert code == grpc.StatusCode.NOT_FOUND
    assert "package_digest" in details and "UploadPackage" in details


def test_a_limit_comes_before_the_package(client):
    code, details = client.refused(pb.JobSubmission(
        package_digest=digest_of(b"never sent"), gpu_memory=0.25, duration=0))
    assert code == INVALID and "duration" in details


def test_a_package_and_a_digest_exclude_each_other(client):
    request = submission(HELLO)
    request.package_digest = digest_of(request.code_package)
    code, details = client.refused(request)
    assert code == INVALID
    assert "code_package" in details and "package_digest" in details


def test_named_or_carried_it_is_the_same_submission(client):
    carried = submission(HELLO, idempotency_key="by name")
    first = run(client, carried)
    named = pb.JobSubmission()
    named.CopyFrom(carried)
    named.ClearField("code_package")
    named.package_digest = digest_of(carried.code_package)
    again = run(client, named)
    assert again.job == first.job and again.last.result == first.last.result


@pytest.mark.parametrize("size", [10, 5 * MIB], ids=["small", "large"])
def test_the_requirements_file_of_an_uploaded_package_is_checked(client, size):
    bad = stored(main_py=package_source(), blob=blob(size, 13),
                 requirements_txt="# what it needs\n-r other.txt\n")
    upload(client, chunks(bad))
    code, details = client.refused(by_digest(bad))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert "requirements.txt" in details and "-r other.txt" in details
    good = stored(main_py=package_source(), blob=blob(size, 14), requirements_txt="numpy\n")
    upload(client, chunks(good))
    assert run(client, by_digest(good)).value == size


def test_a_package_over_the_limit_of_a_message_says_what_to_do(client):
    code, details = client.refused(code=large(15, 4 * MIB + 1))
    assert code == INVALID
    assert "code_package" in details and "package_digest" in details


def test_a_large_package_survives_a_restart(new_system):
    system = new_system()
    before = Client(system)
    before.until_ready()
    content = large(16, 5 * MIB)
    upload(before, chunks(content))
    before.close()
    system.kill()
    system.start()
    after = Client(system)
    after.until_ready()
    assert missing(after, digest_of(content)) == []
    assert run(after, by_digest(content)).value == 5 * MIB
    after.close()
