"""Data folders that older versions left, opened by today's: docs/operate.md, "Upgrade".

stores/vN.tar.xz is what a system whose schema was version N left when it was killed: jobs in
every state, and what its cumulusd had said of each (old_store.py).

SPDX-License-Identifier: Apache-2.0
"""
import base64
import json
import os
import pwd
import re
import subprocess
import tarfile
from pathlib import Path

import grpc
import pytest

from client import Client, Story
from old_store import told_of
from system import BIN, DEADLINE_S, System, pb, until

STORES = sorted(Path(__file__).parent.glob("stores/v*.tar.xz"))
FALLBACK_ID = 61183  # where there is no user of that name: docs/operate.md


def cumulus_ids():
    try:
        user = pwd.getpwnam("cumulus")
    except KeyError:
        return FALLBACK_ID, FALLBACK_ID
    return user.pw_uid, user.pw_gid


class Upgraded(System):
    """A system on the data folder that an older one left; without its worker at first."""

    def __init__(self, store):
        self.store = store
        super().__init__("--worker", "external")

    def start(self):
        if not self.data.exists():
            self.unpack()
        super().start()

    def unpack(self):
        uid, gid = cumulus_ids()
        with tarfile.open(self.store) as tar:
            self.told = json.load(tar.extractfile("expected.json"))
            tar.extractall(self.data)
        self.data.chmod(0o711)
        for folder, _, files in os.walk(self.data / "orchestrator"):
            for path in [folder, *(os.path.join(folder, f) for f in files)]:
                os.chown(path, uid, gid)

    def start_with_worker(self):
        self.stop()
        self.flags = [f for f in self.flags if f not in ("--worker", "external")]
        self.start()


@pytest.fixture(params=STORES, ids=lambda path: path.name.split(".")[0])
def upgraded(new_system, request):
    return new_system(kind=Upgraded, store=request.param)


def lasting(then):
    """What no later version may tell otherwise."""
    status = then["status"]
    if status.get("state", "SCHEDULING") == "SCHEDULING":  # for what it waits is told anew
        status.pop("reason", None)
        status.pop("message", None)
    if "completed_at" not in status:  # before version 5: the file's size
        status.pop("output_bytes", None)
    return then


def lost(then, now, where):
    """Where `now` says less than `then`, or something else; more it may say."""
    if isinstance(then, dict):
        return [at for key in then for at in lost(
            then[key], now.get(key) if isinstance(now, dict) else None, f"{where}.{key}")]
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        return [at for i, (a, b) in enumerate(zip(then, now)) for at in lost(a, b, f"{where}[{i}]")]
    return [] if then == now else [f"{where}: {then!r} is {now!r}"]


def test_every_schema_that_there_was_has_its_store():
    """Who adds a step to the schema makes one with the programs of before, by old_store.py."""
    schema = Path(BIN.parents[1] / "orchestrator/store/schema.c").read_text()
    versions = re.findall(r"^static const char version_(\d+)\[\]", schema, re.M)
    assert {f"v{v}.tar.xz" for v in versions[:-1]} <= {store.name for store in STORES}


def test_every_job_is_as_the_older_version_told_it(upgraded):
    client = Client(upgraded)
    then = upgraded.told["jobs"]
    assert {j.job_id for j in client.list_jobs(page_size=100).jobs} >= {
        t["status"]["job_id"] for t in then.values()}
    for name, told in then.items():
        now = told_of(client, told["status"]["job_id"])
        assert not lost(lasting(told), now, name)
    client.channel.close()


def test_an_older_key_finds_its_job(upgraded):
    client = Client(upgraded)
    first = upgraded.told["jobs"]["completed"]["status"]["job_id"]
    request = pb.JobSubmission.FromString(base64.b64decode(upgraded.told["keyed"]))
    story = Story(client.stub.SubmitJob(request, timeout=DEADLINE_S))
    assert story.job == first and story.last.state == pb.COMPLETED
    request.duration += 1
    code, _ = client.refused(request)
    assert code == grpc.StatusCode.ALREADY_EXISTS
    client.channel.close()


def test_what_was_under_way_goes_on_or_ends_as_after_any_reboot(upgraded):
    """Its runners are gone; the worker reads the run folders that they left."""
    upgraded.start_with_worker()
    client = Client(upgraded)
    jobs = {name: told["status"]["job_id"] for name, told in upgraded.told["jobs"].items()}
    for job in jobs.values():
        client.know(job)
    lost = client.until_terminal(jobs["running"])
    assert (lost.state, lost.reason) == (pb.FAILED, pb.RUNNER_LOST)
    assert client.watch(jobs["running"]).output(pb.STDOUT) == b"started\n"
    assert client.until_terminal(jobs["to be stopped"]).state == pb.CANCELLED
    until(lambda: client.status(jobs["creating"]).state == pb.RUNNING, "it is started")
    assert client.status(jobs["creating"]).attempt == 1
    worker, = client.workers()
    if upgraded.told["drained"]:
        assert worker.status == "draining" and worker.id == upgraded.told["drained"]
        client.stub.ResumeWorker(pb.ResumeWorkerRequest(worker_id=worker.id))
    client.cancel(jobs["creating"])
    until(lambda: client.status(jobs["waiting"]).state == pb.RUNNING, "it starts")
    client.close()


@pytest.mark.parametrize("store", STORES[-1:], ids=lambda path: path.name.split(".")[0])
def test_a_newer_store_is_refused_and_stays_as_it_is(new_system, store):
    system = new_system(kind=Upgraded, store=store)
    system.stop()
    file = system.data / "orchestrator" / "cumulus.db"
    subprocess.run(["sqlite3", file, "PRAGMA user_version = 1000"], check=True)
    before = file.read_bytes()
    done = subprocess.run([BIN / "cumulusd", "--listen", "127.0.0.1:0", "--http", "off",
                           "--data", system.data, "--worker", "external"],
                          capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 1
    assert "made by a newer Cumulus: its schema is version 1000, this program knows up to" \
        in done.stderr
    assert file.read_bytes() == before
