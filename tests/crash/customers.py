"""customers.py - clients that submit, watch, disconnect, repeat and cancel through crashes.

Each customer plans a job from the seed alone, follows it to its end whatever dies meanwhile,
and keeps what it was told: the job that its key got, every event, every byte of output at
its offset, what CancelJob answered.  Acknowledgements that contradict each other are noticed
at once; the rest is compared afterwards (audit.py).

SPDX-License-Identifier: Apache-2.0
"""
import random
import threading
import time
from dataclasses import dataclass, field

import grpc

from client import TERMINAL, zip_of
from system import ROOT, pb, rpc

JOB_SOURCE = (ROOT / "tests" / "crash" / "job.py").read_text()
PATIENCE_S = 90  # for a job's end, with everything being killed around it
CHANNEL = [("grpc.use_local_subchannel_pool", 1)]  # each customer's connection is its own

# kind: (how often, what its end must be when nothing harms it)
KINDS = {
    "hello": (6, (pb.COMPLETED, pb.REASON_NONE)),
    "slow": (8, (pb.COMPLETED, pb.REASON_NONE)),
    "flood": (2, (pb.COMPLETED, pb.REASON_NONE)),
    "linger": (2, (pb.COMPLETED, pb.REASON_NONE)),
    "raise": (2, (pb.FAILED, pb.CODE_FAILED)),
    "exit": (1, (pb.FAILED, pb.EXITED)),
    "signal": (1, (pb.FAILED, pb.SIGNALED)),
    "overtime": (1, (pb.FAILED, pb.DURATION_EXCEEDED)),
    "patient": (3, (pb.CANCELLED, pb.CANCELLED_BY_USER)),
    "stubborn": (1, (pb.CANCELLED, pb.CANCELLED_BY_USER)),
}
SHAPE = {"flood": (2000, 120, 0), "hello": (3, 40, 0)}  # lines, width, pause in ms
ENDLESS = ("overtime", "patient", "stubborn")


@dataclass
class Plan:
    """One job, as the seed wants it."""
    number: int
    kind: str
    shape: tuple
    amount: float
    duration: int
    max_retries: int
    keyed: bool
    cancel_at: int  # a state, or -1: never
    breaks: list  # the watcher goes away after so many events, each time
    repeat: bool  # and comes back by submitting again
    own_package: bool
    name: str = ""

    @property
    def hundredths(self):
        return min(100, round(self.amount * 100))


def plan_of(seed, number):
    r = random.Random(f"{seed}/job/{number}")
    kind = r.choices(list(KINDS), [often for often, _ in KINDS.values()])[0]
    shape = SHAPE.get(kind) or (r.randint(5, 30), r.randint(10, 80), r.randint(10, 120))
    cancel_at = -1
    if kind in ("patient", "stubborn"):
        cancel_at = pb.RUNNING
        if kind == "patient":
            cancel_at = r.choice((pb.SCHEDULING, pb.CREATING_PARTITION, pb.RUNNING))
    elif r.random() < 0.05:
        cancel_at = r.choice((pb.SCHEDULING, pb.CREATING_PARTITION, pb.RUNNING))
    return Plan(
        number=number, kind=kind, shape=shape,
        amount=r.choice((0.1, 0.25, 0.25, 0.5, 0.5, 0.9, 1, 2)),
        duration=r.randint(1, 2) if kind == "overtime" else 60,
        max_retries=1 if kind in ("hello", "slow", "linger") and r.random() < 0.2 else 0,
        keyed=r.random() < 0.8,
        cancel_at=cancel_at,
        breaks=[r.randint(1, 8) for _ in range(r.randint(0, 3))],
        repeat=r.random() < 0.4,
        own_package=r.random() < 0.5,
        name=f"crash-{seed}-{number}")


@dataclass
class Told:
    """What a customer was told about its job."""
    plan: Plan
    job: str = ""  # once acknowledged
    name: str = ""  # of the submission that was acknowledged
    lost: list = field(default_factory=list)  # submissions without a key whose fate is unknown
    story: list = field(default_factory=list)  # merged, see add_to()
    sequence: int = 0
    offset: int = 0
    state: int = -1
    cancelled: object = None  # what CancelJob answered
    cancel_state: int = -1
    resumed: int = 0


def add_to(story, event):
    """Events and output in their order; output of one stream that lies side by side is one."""
    if event.HasField("output"):
        o = event.output
        last = story[-1] if story else None
        if last and last[0] == "output" and last[1] == o.stream and last[3] == o.offset:
            story[-1] = ("output", o.stream, last[2], o.next_offset, last[4] + o.data)
        else:
            story.append(("output", o.stream, o.offset, o.next_offset, o.data))
    elif event.sequence:
        story.append(("event", event.sequence, event.state, event.reason, event.attempt,
                      event.message, event.result))


def submission(stage, plan, name):
    """The same bytes each time."""
    files = {"main.py": JOB_SOURCE}
    if plan.own_package:
        files["note.txt"] = plan.name
    lines, width, pause = plan.shape
    return pb.JobSubmission(
        code_package=zip_of(files), gpu_memory=plan.amount, duration=plan.duration,
        name=name, max_retries=plan.max_retries,
        idempotency_key=plan.name if plan.keyed else "",
        args=[plan.kind, plan.name, str(lines), str(width), str(pause)],
        env={"CRASH_WITNESS": str(stage.ledger.fifo), "CRASH_TOKEN": stage.token,
             "CRASH_HUNDREDTHS": str(plan.hundredths)})


class Connection:
    """A customer's own channel to the cumulusd of the moment."""

    def __init__(self, stage):
        self.stage = stage
        self.life = 0
        self.channel = None

    def stub(self):
        life, address = self.stage.where()
        if life != self.life or not self.channel:
            self.drop()
            self.life = life
            self.channel = grpc.insecure_channel(address, options=CHANNEL)
        return rpc.OrchestratorServiceStub(self.channel)

    def drop(self):
        if self.channel:
            self.channel.close()
        self.channel = None


class Customer(threading.Thread):
    """Takes one plan after the other until the stage has no more."""

    def __init__(self, stage, name):
        super().__init__(name=name)
        self.stage = stage
        self.connection = Connection(stage)

    def run(self):
        try:
            while (plan := self.stage.next_plan()) is not None:
                Errand(self.stage, self.connection, plan).run()
        except Exception as e:  # noqa: BLE001 - a thread's end must not pass unseen
            self.stage.accuse(f"{self.name} stumbled: {type(e).__name__}: {e}")
        finally:
            self.connection.drop()


class Errand:
    """One plan, carried out."""

    def __init__(self, stage, connection, plan):
        self.stage = stage
        self.connection = connection
        self.plan = plan
        self.told = Told(plan, name=plan.name)
        self.breaks = list(plan.breaks)
        self.end = time.monotonic() + PATIENCE_S
        self.tries = 0

    def run(self):
        self.stage.keep(self.told)
        while self.told.state not in TERMINAL:
            if time.monotonic() > self.end:
                self.stage.accuse(f"{self.told.job or 'never accepted'} ({self.plan.name}, "
                                 f"{self.plan.kind}): no end after {PATIENCE_S} s, state "
                                 f"{self.told.state}")
                return
            if not self._follow():
                self.stage.wait_a_moment(self.connection.life)
            if self.stage.broken:
                return  # nothing more is to be learnt
        self.stage.note("ended", self.told.job)

    # ---- one stream

    def _submission(self):
        p = self.plan
        if not p.keyed and self.tries:
            self.told.lost.append(self.told.name)
            self.told.name = f"{p.name}.{self.tries}"
        self.tries += 1
        return submission(self.stage, p, self.told.name)

    def _open(self):
        stub = self.connection.stub()
        again = self.plan.keyed and self.plan.repeat and self.told.resumed % 2 == 0
        if not self.told.job or again:
            return stub.SubmitJob(self._submission(), timeout=PATIENCE_S), True
        return stub.WatchJob(pb.WatchJobRequest(
            job_id=self.told.job, after_sequence=self.told.sequence,
            output_offset=self.told.offset), timeout=PATIENCE_S), False

    def _follow(self):
        """Read one stream to its end or to the next break; False: nothing came of it."""
        call, whole = self._open()
        resumed = bool(self.told.job)
        told = [] if whole else self.told.story  # a whole story is told from its start
        left = self.breaks.pop(0) if self.breaks else -1
        got = False
        try:
            for event in call:
                if not got and resumed:
                    self.told.resumed += 1
                got = True
                self._take(event, told)
                left -= 1
                if left == 0 and event.state not in TERMINAL:
                    self._go_away(call)
                    return True
            if self.told.state not in TERMINAL:
                self.stage.accuse(f"{self.told.job}: its stream ended with OK, but no end")
        except grpc.RpcError:
            self._judge(call, got)
        return got

    def _go_away(self, call):
        """In both ways that there are: politely, and with the whole connection."""
        if self.plan.number % 2:
            call.cancel()
        else:
            self.connection.drop()

    def _judge(self, call, got):
        """Is this how a stream may end?"""
        code, text = call.code(), call.details() or ""
        if code == grpc.StatusCode.UNAVAILABLE:
            return
        if code == grpc.StatusCode.CANCELLED and self.told.state == pb.CANCELLED:
            return
        self.stage.accuse(f"{self.told.job or self.plan.name}: stream ended with {code.name}: "
                         f"{text} (state {self.told.state}, {'after' if got else 'no'} events)")

    def _take(self, event, story):
        t = self.told
        if t.job and event.job_id != t.job:
            self.stage.accuse(f"key {self.plan.name} was {t.job} and now is {event.job_id}")
        if not t.job:
            t.job = event.job_id
            self.stage.system.jobs.add(t.job)
            self.stage.note("accepted", t.job)
        add_to(story, event)
        if story is not t.story and self._catches_up(story):
            t.story[:] = story
            story = t.story
        if event.HasField("output"):
            t.offset = max(t.offset, event.output.next_offset)
            self.stage.note("output", t.job)
        elif event.sequence > t.sequence:
            t.sequence = event.sequence
            t.state = event.state
            self.stage.note(pb.JobState.Name(event.state), t.job)
            if event.state in TERMINAL:
                self.stage.check_gone(t.job)
        if self.plan.cancel_at == event.state and t.cancelled is None:
            self._cancel()

    def _catches_up(self, story):
        """Has the repeated story come as far as what was known?"""
        at = max((e[1] for e in story if e[0] == "event"), default=0)
        to = max((e[3] for e in story if e[0] == "output"), default=0)
        return at >= self.told.sequence and to >= self.told.offset

    def _cancel(self):
        """Until it is answered; a job that is over answers too.  Its stream goes on."""
        asking = Connection(self.stage)
        try:
            while self.told.cancelled is None and time.monotonic() < self.end:
                if self.stage.broken or not self._ask_to_cancel(asking):
                    return
        finally:
            asking.drop()

    def _ask_to_cancel(self, asking):
        """False: it is no use to ask again."""
        try:
            answer = asking.stub().CancelJob(
                pb.JobCancelRequest(job_id=self.told.job), timeout=PATIENCE_S)
        except grpc.RpcError as e:
            if e.code() == grpc.StatusCode.UNAVAILABLE:
                self.stage.wait_a_moment(asking.life)
                return True
            self.stage.accuse(f"CancelJob({self.told.job}): {e.code().name} {e.details()}")
            return False
        self.told.cancelled = answer.cancelled
        self.told.cancel_state = answer.state
        self.stage.note("cancelled", self.told.job)
        return True
