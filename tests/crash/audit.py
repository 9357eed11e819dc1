"""audit.py - compares what jobs, customers, store, worker and Chronos say of a round.

Run while the system is whole and no job is left to end.

SPDX-License-Identifier: Apache-2.0
"""
import json
import random

import grpc

import job as job_code
from client import TERMINAL, Story
from customers import ENDLESS, KINDS, add_to, submission
from stage import GONE_S
from system import pb, rpc, until

NEXT = {  # what may follow a state; see the picture in docs
    pb.SCHEDULING: (pb.CREATING_PARTITION, pb.FAILED, pb.CANCELLED),
    pb.CREATING_PARTITION: (pb.RUNNING, pb.SCHEDULING, pb.FAILED, pb.CANCELLED),
    pb.RUNNING: (pb.COMPLETED, pb.FAILED, pb.CANCELLED, pb.SCHEDULING),
}
ATTEMPT_BYTES = 1 << 40


def audit_leaks(stage):
    """Promise 4: within 5 s of everything being back nothing of any job is left."""
    left = []

    def is_clean():
        left[:] = stage.left_now()
        return not left

    try:
        until(is_clean, "nothing is left", GONE_S)
    except AssertionError:
        for thing in left:
            stage.accuse(f"still there {GONE_S} s after the last job: {thing}")


def list_all(stub):
    jobs, token = {}, ""
    while True:
        answer = stub.ListJobs(pb.ListJobsRequest(page_size=500, page_token=token), timeout=30)
        for j in answer.jobs:
            jobs[j.job_id] = j
        token = answer.next_page_token
        if not token:
            return jobs


def audit_round(stage):
    taken = stage.taken_faults()
    _, address = stage.where()
    with grpc.insecure_channel(address) as channel:
        stub = rpc.OrchestratorServiceStub(channel)
        listed = list_all(stub)
        known = {}
        for told in stage.tolds:
            if told.job:
                known[told.job] = told
                Case(stage, stub, told, listed.get(told.job)).audit()
        audit_list(stage, listed, known)
    return len(stage.tolds), len(taken)


def audit_list(stage, listed, known):
    """One job for one key; none that nobody submitted; none that ran without being known."""
    by_name = {}
    for told in stage.tolds:
        stage.names |= {told.name, *told.lost}
    for job in listed.values():
        if job.name not in stage.names:
            stage.accuse(f"{job.job_id} ({job.name}) is in the list, and nobody submitted it")
        if job.name in by_name:
            stage.accuse(f"{job.name} became two jobs: {by_name[job.name]} and {job.job_id}")
        by_name[job.name] = job.job_id
        if job.state not in TERMINAL:
            stage.accuse(f"{job.job_id} is {pb.JobState.Name(job.state)} when all is quiet")
    for job in stage.ledger.jobs():
        if job not in listed:
            stage.accuse(f"{job} has run and is in no list")
    for told in known.values():
        if by_name.get(told.name) != told.job:
            stage.accuse(f"{told.name} is {told.job} to its customer and "
                         f"{by_name.get(told.name)} in the list")


class Case:
    """One acknowledged job."""

    def __init__(self, stage, stub, told, listed):
        self.stage = stage
        self.stub = stub
        self.told = told
        self.plan = told.plan
        self.job = told.job
        self.listed = listed

    def wrong(self, text):
        self.stage.accuse(f"{self.job} ({self.plan.kind}, {self.plan.name}): {text}")

    def audit(self):
        if self.listed is None:
            self.wrong("was acknowledged, and is not in the list")
            return
        try:
            status = self.stub.GetJobStatus(pb.JobStatusRequest(job_id=self.job), timeout=30)
        except grpc.RpcError as e:
            self.wrong(f"was acknowledged, and GetJobStatus says {e.code().name}")
            return
        full = self._watch(0, 0)
        if full is None:
            return
        events = [e for e in full if e[0] == "event"]
        self._audit_events(events, status)
        self._audit_output(full, events)
        self._audit_told(full, events)
        self._audit_resumed(full)
        self._audit_starts(status)
        self._audit_end(events, status)
        self._audit_key()

    # ---- the story, read again from its start

    def _watch(self, after, offset):
        story = Story(self.stub.WatchJob(pb.WatchJobRequest(
            job_id=self.job, after_sequence=after, output_offset=offset), timeout=30))
        wanted = (grpc.StatusCode.CANCELLED if self.told.state == pb.CANCELLED
                  else grpc.StatusCode.OK)
        if story.code != wanted:
            self.wrong(f"WatchJob({after}, {offset}) ends with {story.code}: {story.details}")
            return None
        merged = []
        for event in story.events:
            add_to(merged, event)
        return merged

    def _audit_events(self, events, status):
        numbers = [e[1] for e in events]
        if numbers != list(range(1, len(events) + 1)):
            self.wrong(f"sequence numbers are {numbers}")
        states = [e[2] for e in events]
        if not states or states[0] != pb.SCHEDULING:
            self.wrong(f"states are {states}")
            return
        for one, other in zip(states, states[1:]):
            if other != one and other not in NEXT.get(one, ()):
                self.wrong(f"{pb.JobState.Name(one)} became {pb.JobState.Name(other)}: {states}")
        if [s in TERMINAL for s in states].count(True) != 1 or states[-1] not in TERMINAL:
            self.wrong(f"not exactly one terminal state, at the end: {states}")
        if status.state != states[-1] or self.listed.state != states[-1]:
            self.wrong(f"events end in {states[-1]}, GetJobStatus says {status.state}, "
                       f"ListJobs {self.listed.state}")
        if status.last_sequence != len(events):
            self.wrong(f"last_sequence is {status.last_sequence} of {len(events)} events")

    def _audit_output(self, full, events):
        """No gap, no repeat, and byte for byte what the code printed."""
        attempts = {}
        at = 0
        for kind, stream, begin, end, data in (e for e in full if e[0] == "output"):
            attempt = begin // ATTEMPT_BYTES
            if attempt * ATTEMPT_BYTES > at:
                at = attempt * ATTEMPT_BYTES
            if begin != at:
                self.wrong(f"output goes on at {begin}, where {at} was next")
            at = end
            if stream == pb.STDOUT:
                attempts[attempt] = attempts.get(attempt, b"") + data
        lines, width, _ = self.plan.shape
        whole = b"".join(job_code.story(self.plan.name, lines, width))
        for attempt, data in attempts.items():
            if not whole.startswith(data):
                self.wrong(f"attempt {attempt} printed {data[-200:]!r}, which is not its text")
        if self._has_printed_all(events) and whole not in attempts.values():
            short = max((len(d) for d in attempts.values()), default=0)
            self.wrong(f"printed {len(whole)} bytes, of which {short} are kept")

    def _has_printed_all(self, events):
        """Its own word: *end* comes after the last byte.  A killed runner takes with it what
        still lay in its pipes."""
        if events[-1][2] == pb.COMPLETED:
            return True
        return bool(self.stage.ledger.ends(self.job)) and not self._harms()

    def _audit_told(self, full, events):
        """What customers saw, over all their breaks, is the story itself."""
        if self.told.state in TERMINAL and self.told.story != full:
            self.wrong(f"its customer was told another story:\n    {brief(self.told.story)}\n"
                       f"    and now it is:\n    {brief(full)}")

    def _audit_resumed(self, full):
        """From any point on, the rest and nothing else."""
        r = random.Random(f"{self.stage.seed}/resume/{self.plan.number}")
        at = r.randrange(len(full) + 1)
        sequence = max((e[1] for e in full[:at] if e[0] == "event"), default=0)
        offset = max((e[3] for e in full[:at] if e[0] == "output"), default=0)
        rest = self._watch(sequence, offset)
        if rest is not None and rest != full[at:]:
            self.wrong(f"from ({sequence}, {offset}) on the story is\n    {brief(rest)}\n"
                       f"    and not\n    {brief(full[at:])}")

    def _audit_key(self):
        """The same submission again: the same job, though all is over."""
        if not self.plan.keyed:
            return
        call = self.stub.SubmitJob(submission(self.stage, self.plan, self.plan.name),
                                   timeout=30)
        try:
            got = next(call).job_id
            call.cancel()
        except grpc.RpcError as e:
            got = f"{e.code().name} {e.details()}"
        if got != self.job:
            self.wrong(f"its key now gives {got}")

    # ---- the jobs' own word

    def _harms(self):
        """How its runners were killed, by attempt."""
        return {int(run.split(".")[1]): how for run, how in self.stage.harmed.items()
                if run.split(".")[0] == self.job}

    def _audit_starts(self, status):
        """Promise 2, by the word of the code itself."""
        starts = self.stage.ledger.starts(self.job)
        allowed = 1 + self.plan.max_retries
        if len(starts) > allowed:
            self.wrong(f"its code began {len(starts)} times, {allowed} are allowed")
        if len(starts) > status.attempt:
            self.wrong(f"its code began {len(starts)} times in {status.attempt} attempts")
        if not starts and self.told.state == pb.COMPLETED:
            self.wrong("is COMPLETED, and its code has never begun")

    def _audit_end(self, events, status):
        state, reason = events[-1][2], events[-1][3]
        name = f"{pb.JobState.Name(state)} {pb.Reason.Name(reason)} {events[-1][5]!r}"
        cancelled = self.told.cancelled
        if cancelled and state != pb.CANCELLED:
            self.wrong(f"CancelJob answered true, and it ended {name}")
        if cancelled is False and self.told.cancel_state != state:
            self.wrong(f"CancelJob answered that it is {self.told.cancel_state}, and it ended "
                       f"{name}")
        if state == pb.CANCELLED:
            if self.plan.cancel_at < 0:
                self.wrong(f"ended {name}, and nobody asked for it")
        elif (state, reason) != KINDS[self.plan.kind][1] and not self._may_be_lost(
                state, reason):
            self.wrong(f"ended {name}; harm done to it: {self._harms() or 'none'}; its code "
                       f"said {self.stage.ledger.lines[self.job]}")
        if state == pb.COMPLETED:
            self._audit_result(events[-1][6])

    def _may_be_lost(self, state, reason):
        """A runner that was killed takes its job along, or at least the exception that it
        had heard of; nothing else does."""
        lost = (pb.RUNNER_LOST, pb.EXITED) if self.plan.kind == "raise" else (pb.RUNNER_LOST,)
        return bool(self._harms()) and state == pb.FAILED and reason in lost

    def _audit_result(self, told):
        if self.plan.kind in ENDLESS:
            self.wrong("is COMPLETED, and its code never returns")
        if not self.stage.ledger.ends(self.job):
            self.wrong("is COMPLETED, and its code has never come to its end")
        kept = self.stub.GetJobResult(pb.JobResultRequest(job_id=self.job), timeout=30).result
        if kept != told:
            self.wrong(f"result was told as {told!r} and is kept as {kept!r}")
        elif json.loads(kept)["result"] != self.plan.name:
            self.wrong(f"result is {kept!r}")


def brief(story):
    """A story in one line."""
    words = []
    for e in story:
        if e[0] == "event":
            words.append(f"#{e[1]} {pb.JobState.Name(e[2])}"
                         f"{' ' + pb.Reason.Name(e[3]) if e[3] else ''}/{e[4]}")
        else:
            words.append(f"{pb.OutputStream.Name(e[1])}[{e[2]}..{e[3]})={len(e[4])}B")
    return " ".join(words)
