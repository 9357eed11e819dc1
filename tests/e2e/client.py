"""client.py - what the tests say to cumulusd and hear from it, through grpcio.

SPDX-License-Identifier: Apache-2.0
"""
import io
import json
import textwrap
import zipfile

import grpc

from system import DEADLINE_S, channel_to, pb, rpc, until

TERMINAL = (pb.COMPLETED, pb.FAILED, pb.CANCELLED)

HELLO = """
    def main():
        print("hello")
        return {"answer": 42}
    """

SLEEP = """
    import time
    def main():
        print("started", flush=True)
        time.sleep(600)
    """


def zip_of(files):
    """A ZIP of {path: text or bytes}."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for path, content in files.items():
            entry = zipfile.ZipInfo(path)  # 1980: the same files are the same bytes
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            z.writestr(entry, textwrap.dedent(content) if isinstance(content, str) else content)
    return out.getvalue()


def package(code):
    """A ZIP from source text, {path: content}, or bytes that are taken as they are."""
    if isinstance(code, bytes):
        return code
    return zip_of({"main.py": code} if isinstance(code, str) else code)


def submission(code=HELLO, gpu=0.25, duration=60, requirements=(), **fields):
    return pb.JobSubmission(code_package=package(code), gpu_memory=gpu, duration=duration,
                            requirements=requirements, **fields)


class Story:
    """The events of one stream, and the status that it ended with."""

    def __init__(self, call):
        self.events = []
        try:
            for event in call:
                self.events.append(event)
        except grpc.RpcError:
            pass
        self.code = call.code()
        self.details = call.details() or ""
        self.trailers = dict(call.trailing_metadata() or ())

    @property
    def job(self):
        return self.events[0].job_id

    @property
    def last(self):
        assert self.events, f"no event at all: {self.code} {self.details}"
        return self.events[-1]

    @property
    def transitions(self):
        """States in order, repeats left out."""
        states = [e.state for e in self.events]
        return [s for i, s in enumerate(states) if i == 0 or states[i - 1] != s]

    @property
    def state_events(self):
        return [e for e in self.events if e.sequence]

    def output(self, *streams):
        wanted = streams or (pb.STDOUT, pb.STDERR)
        return b"".join(e.output.data for e in self.events
                        if e.HasField("output") and e.output.stream in wanted)

    @property
    def value(self):
        """What main() returned."""
        assert self.last.state == pb.COMPLETED, self.text()
        return json.loads(self.last.result)["result"]

    def text(self):
        lines = [f"{pb.JobState.Name(e.state)} #{e.sequence} {e.message!r}" for e in self.events]
        return "\n".join(lines + [f"{self.code} {self.details}"])


class Client:
    def __init__(self, system):
        self.system = system
        self.channel = channel_to(system)
        self.stub = rpc.OrchestratorServiceStub(self.channel)
        self.jobs = []

    def submit(self, code=HELLO, **fields):
        """Start SubmitJob; the stream is read by the caller."""
        return self.stub.SubmitJob(submission(code, **fields), timeout=DEADLINE_S)

    def begin(self, code=HELLO, state=pb.RUNNING, **fields):
        """Submit and read up to the state; returns (job id, stream)."""
        call = self.submit(code, **fields)
        seen = []
        try:
            for event in call:
                self.know(event.job_id)
                seen.append(pb.JobState.Name(event.state))
                if event.state == state:
                    return event.job_id, call
        except grpc.RpcError:
            pass  # call.details() says which
        raise AssertionError(f"never {pb.JobState.Name(state)}, only {seen}: {call.details()}")

    def run(self, code=HELLO, **fields):
        """Submit and follow to the end."""
        story = Story(self.submit(code, **fields))
        if story.events:
            self.know(story.job)
        return story

    def know(self, job):
        self.system.jobs.add(job)
        if job not in self.jobs:
            self.jobs.append(job)

    def refused(self, request=None, **fields):
        """Submit what must be refused; returns (code, details)."""
        story = Story(self.stub.SubmitJob(request or submission(**fields), timeout=DEADLINE_S))
        if story.events:
            self.know(story.job)
        assert not story.events, f"accepted:\n{story.text()}"
        return story.code, story.details

    def status(self, job):
        return self.stub.GetJobStatus(pb.JobStatusRequest(job_id=job), timeout=DEADLINE_S)

    def cancel(self, job):
        return self.stub.CancelJob(pb.JobCancelRequest(job_id=job), timeout=DEADLINE_S)

    def watch(self, job, after=0, offset=0):
        return Story(self.stub.WatchJob(pb.WatchJobRequest(
            job_id=job, after_sequence=after, output_offset=offset), timeout=DEADLINE_S))

    def logs(self, job, **fields):
        return list(self.stub.GetJobLogs(pb.JobLogsRequest(job_id=job, **fields),
                                         timeout=DEADLINE_S))

    def list_jobs(self, **fields):
        return self.stub.ListJobs(pb.ListJobsRequest(**fields), timeout=DEADLINE_S)

    def workers(self, status=""):
        return self.stub.ListWorkers(pb.ListWorkersRequest(status_filter=status),
                                     timeout=DEADLINE_S).workers

    def devices(self):
        return [d for w in self.workers() for d in w.gpu_devices]

    def health(self):
        return self.stub.HealthCheck(pb.HealthCheckRequest(), timeout=DEADLINE_S)

    def until_terminal(self, job):
        return until(lambda: (s := self.status(job)).state in TERMINAL and s,
                     f"{job} reaches an end")

    def until_ready(self):
        until(lambda: self.health().status == "healthy", "cumulusd is healthy")

    def until_free(self):
        """Every share is given back and every run folder is gone."""
        until(lambda: all(d.allocated_amount == 0 for d in self.devices()), "shares are free")
        until(lambda: not self.system.run_folders(), "run folders are gone")

    def close(self):
        """End what the test left running, so that the next one finds free devices."""
        try:
            for job in self.jobs:
                if self.status(job).state not in TERMINAL:
                    self.cancel(job)
            for job in self.jobs:
                self.until_terminal(job)
        finally:
            self.channel.close()
