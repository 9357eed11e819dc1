"""old_store.py - makes the store of an older version, with what that version says of it.

Usage: python -B tests/e2e/old_store.py BUILD OUT.tar.xz

BUILD is the build folder of a checkout of that version, whose programs run jobs here until
there is one in every state; then all of it is killed.  OUT holds what is durable of its data
folder, write-ahead log and run folders included, and expected.json: every answer that
cumulusd gave before.  Root.

SPDX-License-Identifier: Apache-2.0
"""
import base64
import io
import json
import os
import signal
import sys
import tarfile
import zipfile
from pathlib import Path

import grpc
from google.protobuf.json_format import MessageToDict

from client import SLEEP, Client, Story, submission, zip_of
from system import System, pb, until

TALKS = """
    import sys
    import cumulus
    def main():
        print("to stdout", *sys.argv[1:], flush=True)
        print("to stderr", file=sys.stderr, flush=True)
        cumulus.progress(0.5, "half")
        return {"of": "an older version"}
    """
RAISES = "def main():\n    raise ValueError('as it should')\n"
LARGE = 300 << 10  # a package above 256 KiB is a file beside the database
# What the next start makes anew, and what only the machine of then can know.
LEFT_OUT = {"chronos", "lock", "keeper", "reserve", "worker.sock", "cumulus.db-shm", "root",
            "environments", "bundle", "scratch"}


def keyed():
    """The submission whose key has to find its job in every later version."""
    return submission(TALKS, gpu=0.25, name="first", labels={"team": "a", "kind": "old"},
                      idempotency_key="the key", priority=7, max_retries=2,
                      env={"WHO": "an older version"}, args=["one", "two"])


def large():
    """Of bytes that xz makes few of, and ZIP none."""
    out = io.BytesIO(zip_of({"main.py": TALKS}))
    with zipfile.ZipFile(out, "a", zipfile.ZIP_STORED) as z:
        z.writestr("zeros", bytes(LARGE))
    return out.getvalue()


class OldSystem(System):
    def __init__(self, build):
        self.binaries = Path(build).resolve() / "bin"
        super().__init__()


def finish(client):
    """Jobs that are over, one for each way."""
    done = {
        "completed": Story(client.stub.SubmitJob(keyed())).job,
        "failed": client.run(RAISES).job,
        "retried": client.run(RAISES, max_retries=1).job,
        "out of time": client.run(SLEEP, duration=1).job,
        "on both": client.run(TALKS, gpu=2).job,
        "large": client.run(large()).job,
    }
    running, _ = client.begin(SLEEP)
    client.cancel(running)
    done["cancelled"] = running
    held, _ = client.begin(SLEEP, gpu=2)
    waiting, _ = client.begin(SLEEP, state=pb.SCHEDULING, gpu=2)
    client.cancel(waiting)
    client.cancel(held)
    done["never started"] = waiting
    for job in done.values():
        client.until_terminal(job)
    client.until_free()
    return done


def leave(client, system):
    """Jobs that are not; the worker says nothing from then on."""
    live = {"running": client.begin(SLEEP, gpu=0.5, name="runs on")[0],
            "to be stopped": client.begin(SLEEP, gpu=0.5)[0]}
    system.signal_worker(signal.SIGSTOP)
    client.cancel(live["to be stopped"])
    live["creating"] = client.begin(SLEEP, gpu=1, state=pb.CREATING_PARTITION)[0]
    live["waiting"] = client.begin(SLEEP, gpu=2, state=pb.SCHEDULING, labels={"team": "a"},
                                   priority=-3)[0]
    until(lambda: client.status(live["waiting"]).state == pb.SCHEDULING, "it waits")
    return live


def drain(client):
    """Versions before it could be asked are not drained."""
    worker = client.workers()[0].id
    try:
        client.stub.DrainWorker(pb.DrainWorkerRequest(worker_id=worker))
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error
        return None
    return worker


def told_of(client, job):
    """All that can be asked of one job; what it waits for apart, which is told anew."""
    status = client.status(job)
    told = {"status": MessageToDict(status, preserving_proto_field_name=True)}
    if status.state in (pb.COMPLETED, pb.FAILED, pb.CANCELLED):
        story = client.watch(job)
        told["output"] = [MessageToDict(o, preserving_proto_field_name=True)
                          for o in client.logs(job)]
    else:
        call = client.stub.WatchJob(pb.WatchJobRequest(job_id=job), timeout=2)
        story = type("Story", (), {"state_events": []})
        try:
            for event in call:
                story.state_events += [event] if event.sequence else []
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error
    told["events"] = [MessageToDict(e, preserving_proto_field_name=True)
                      for e in story.state_events]
    if status.state == pb.COMPLETED:
        result = client.stub.GetJobResult(pb.JobResultRequest(job_id=job))
        told["result"] = MessageToDict(result, preserving_proto_field_name=True)
    return told


def pack(system, told, out):
    with tarfile.open(out, "w:xz", preset=9) as tar:
        data = json.dumps(told, indent=1, sort_keys=True).encode()
        entry = tarfile.TarInfo("expected.json")
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
        for path in sorted(system.data.rglob("*")):
            name = path.relative_to(system.data)
            if LEFT_OUT & set(name.parts) or name.parts[:2] == ("worker", "packages"):
                continue
            if not path.is_file():
                continue
            entry = tar.gettarinfo(path, name)
            entry.uid = entry.gid = entry.mtime = 0
            entry.uname = entry.gname = ""
            with open(path, "rb") as file:
                tar.addfile(entry, file)


def make(build, out):
    system = OldSystem(build)
    try:
        client = Client(system)
        client.until_ready()
        jobs = finish(client)
        client.channel.close()
        system.stop()  # so that half of it is in the database, half in its log
        system.start()
        client = Client(system)
        client.until_ready()
        jobs.update(leave(client, system))
        drained = drain(client)
        told = {"jobs": {name: told_of(client, job) for name, job in jobs.items()},
                "keyed": base64.b64encode(keyed().SerializeToString(deterministic=True)).decode(),
                "drained": drained}
        system.kill()
        pack(system, told, out)
    finally:
        system.remove()
    print(f"{out}: {os.path.getsize(out)} bytes, {len(told['jobs'])} jobs, drained: {drained}")


if __name__ == "__main__":
    make(*sys.argv[1:])
