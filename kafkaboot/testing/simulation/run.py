"""One run of an application under one schedule of faults: the steps, the faults, and the story of both."""

from __future__ import annotations

import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from kafkaboot.client import TP
from kafkaboot.client.memory import MemoryKafka
from kafkaboot.testing.simulation.attempts import Attempts
from kafkaboot.testing.simulation.effects import EffectFailedError, running
from kafkaboot.testing.simulation.participant import CrashedError, Participant, ProcessClients
from kafkaboot.testing.simulation.schedule import POSSIBLE, Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kafkaboot.client import Committed
    from kafkaboot.client.memory.group import Group
    from kafkaboot.clock import ManualClock
    from kafkaboot.consumer import Route
    from kafkaboot.message import RawRecord
    from kafkaboot.testing.simulation.attempts import Attempt, Breach
    from kafkaboot.testing.simulation.blueprint import SimulatedApplication
    from kafkaboot.testing.simulation.schedule import Fault, Kind, Where
    from kafkaboot.testing.simulation.watch import Watch

ROUNDS = 5000
"""Rounds of all processes after which a run is over, whatever is left."""
TICK, LONGEST = 0.1, 20.0
"""Seconds of virtual time between two looks of an idle poller, twice as many with each idle round, up to the latter."""
PATIENCE = 3600.0
"""Virtual seconds after which a run is over."""


class Sent(NamedTuple):
    """A record of the input, encoded."""

    topic: str
    value: bytes | None
    key: bytes | None
    headers: Sequence[tuple[str, bytes | None]] | None


class Run:
    """The world of one run.

    Attributes:
        points: Where each step took place, for those who want to put a fault there.
        story: What happened, step by step.
    """

    def __init__(
        self,
        application: SimulatedApplication,
        records: Sequence[Sent],
        partitions: int,
        schedule: Schedule,
        seed: int,
        clock: ManualClock,
        watch: Watch,
    ) -> None:
        self.watch = watch
        self.application = application
        self.clock = clock
        self.kafka = _Told(self)
        self.attempts = Attempts()
        self.world: Mapping[type, object] = {}
        self.participants: list[Participant] = []
        self.points: list[Where] = []
        self.story: list[str] = []
        self._left: list[Fault] = list(schedule)
        self._began = clock.monotonic()
        self._now: Participant | None = None
        self._starts = 0
        self._seen = -1
        self._idle = 0
        self._seed = seed
        for topic in sorted(application.topics | {one.topic for one in records}):
            self.kafka.create(topic, partitions)
        for one in records:
            self.kafka.append(one.topic, one.value, one.key, one.headers)

    def go(self) -> Breach | None:
        """Run until all is handled and committed; answers the first breach."""
        random.seed(self._seed)
        running.observer = self
        try:
            self.world = self.application.world()
            self._start()
            for _ in range(ROUNDS):
                self._round()
                if self.attempts.breaches:
                    return self.attempts.breaches[0]
                if self._finished() or self.clock.monotonic() - self._began > PATIENCE:
                    break
            return self._verdict()
        finally:
            for participant in list(self.participants):
                participant.crash()
            running.observer = None
            self.application.memory.put_back()

    # --- what participants ask

    def clients(self) -> ProcessClients:
        """For a process that starts."""
        return ProcessClients(self)

    @contextmanager
    def inside(self, participant: Participant) -> Iterator[None]:
        """What happens in here happens in that process."""
        self.watch.turn()
        before, self._now = self._now, participant
        self.application.memory.enter(participant.state)
        try:
            yield
        finally:
            self._now = before
            if before is not None:
                self.application.memory.enter(before.state)

    def wait(self, waiting: Participant, seconds: float) -> None:
        """A poller waits; its process's event loop and the other processes go on."""
        self._point("waiting", waiting)
        if not any(one.loop.busy for one in self.participants):
            self._advance(seconds)
        for one in list(self.participants):
            if one.loop.busy and not one.gone:
                one.step() if one is not waiting else self._step_inside(one)
            if not one.busy and not one.gone:
                one.turn()

    def began(self, participant: Participant, group: str, route: Route, records: Sequence[RawRecord]) -> Attempt:
        """A handler is called."""
        made = self.attempts.began(participant.name, group, route, records)
        self._tell(f"{participant.name} calls {made}")
        return made

    def over(
        self, participant: Participant, attempt: Attempt, error: BaseException | None = None, finished: int = 0
    ) -> None:
        """It returned or raised."""
        self.attempts.over(attempt, error, finished)
        left = f", and {len(attempt.tasks)} task it started is still at work" if attempt.outcome == "returned" else ""
        self._tell(f"{participant.name}: {attempt} {attempt.why or 'returned'}{left}")

    def rebalanced(self, participant: Participant, group: str, kind: str, partitions: list[TP]) -> None:
        """A process got partitions, gave them back or lost them."""
        self.attempts.stays(participant.name, group, partitions, held=kind == "assigned")
        if partitions:
            named = ", ".join(f"{tp.topic}[{tp.partition}]" for tp in partitions)
            self._tell(f"{participant.name}: {kind} {named}")

    def crashed(self, participant: Participant) -> None:
        """A process has died of a fault; another one takes its place."""
        self._tell(f"{participant.name} CRASHES")
        if not self.participants:
            self._start()

    def effect(self, name: str, key: object, *, deduplicated: bool) -> None:
        """See `Observer`."""
        participant = self._now
        if participant is None or participant.gone or participant.dying:
            self.watch.ghost()
            raise CrashedError
        self.attempts.wants(name, key, participant.name)
        said = f"{participant.name}: {name} {key!r}"
        if self._point("effect", participant) == "fail":
            self._tell(f"{said} FAILS")
            raise EffectFailedError(f"{name} {key!r} failed, in the simulation")
        if deduplicated and self.attempts.effects[name, key]:
            self._tell(f"{said} was done before")
        else:
            self.attempts.did(name, key, participant.name)
            self._tell(f"{said} is done")
        if self._point("done", participant) == "unanswered":
            self._tell(f"{said}: NO ANSWER")
            raise EffectFailedError(f"{name} {key!r} was done and not answered, in the simulation")

    def pass_time(self, who: Sequence[Participant]) -> None:
        """Until the next timer, or an idle poller's next look."""
        self._advance(TICK, who)

    # --- inside

    def _round(self) -> None:
        busy = False
        for one in list(self.participants):
            if one.gone:
                continue
            self._point("between", one)
            if not one.gone:
                one.turn()
            if not one.gone and one.loop.busy:
                busy = True
                self._point("between", one)
                if not one.gone:
                    one.step()
        self._idle = 0 if busy else self._idle + 1
        if not busy:
            self._advance(min(LONGEST, TICK * 2**self._idle), self.participants)

    def _step_inside(self, one: Participant) -> None:
        """A turn of the loop while the process's own poller waits: its death unwinds the poller."""
        with self.inside(one):
            one.loop.step(1)
        if one.dying:
            raise CrashedError

    def _advance(self, seconds: float, who: Sequence[Participant] | None = None) -> None:
        now = self.clock.monotonic()
        timers = [one.loop.next_timer for one in (self.participants if who is None else who)]
        self.clock.now = min([now + seconds, *(timer for timer in timers if timer is not None)])

    def _point(self, where: Where, participant: Participant) -> Kind | None:
        """A step. Answers a fault that the caller must bring about; all others are brought about here."""
        if not participant.started or not self._moved(where):
            return None
        self.points.append(where)
        step = len(self.points)
        due = next((f for f in self._left if f.step <= step and f.kind in POSSIBLE[where]), None)
        if due is None:
            return None
        self._left.remove(due)
        if due.kind in {"fail", "unanswered"}:
            return due.kind
        self._bring_about(due.kind, where, participant)
        return None

    def _bring_about(self, kind: Kind, where: Where, participant: Participant) -> None:
        if kind == "crash":
            participant.dying = True
            if where == "between":
                participant.crash()
                self.crashed(participant)
                return
            raise CrashedError
        if kind == "commit":
            self._tell("the next commits FAIL")
            self.kafka.faults.fail_commits("_TIMED_OUT", 3)
        elif kind == "expire":
            self._tell(f"{participant.name}: its session EXPIRES, and another process takes over")
            participant.expire()
            self._start().turn()
        elif len(self.participants) > 1:
            self._tell(f"{participant.name} STOPS, as in a deployment")
            participant.stop()
        else:
            self._tell("another process JOINS")
            self._start().turn()

    def _moved(self, where: Where) -> bool:
        """An idle poll is no step: nothing has changed since the one before."""
        if where in {"effect", "done"} or any(one.loop.busy for one in self.participants):
            return True
        seen = self.attempts.changes + len(self.kafka.commits)
        moved, self._seen = seen != self._seen, seen
        return moved

    def _start(self) -> Participant:
        self._starts += 1
        made = Participant(self, f"process-{self._starts}")
        self.participants.append(made)
        self._tell(f"{made.name} starts")
        made.start()
        return made

    def _finished(self) -> bool:
        return self.attempts.at_rest and not any(True for _ in self._behind())

    def _behind(self) -> Iterator[TP]:
        for group, tps in self._claimed().items():
            for tp in tps:
                if (self.kafka.committed(group, tp).offset or 0) < self.kafka.log(tp).end:
                    yield tp

    def _claimed(self) -> dict[str, list[TP]]:
        found: dict[str, list[TP]] = {}
        for group, _ in self.participants[0].groups if self.participants else ():
            topics = [topic for topic in self.kafka.topics if group.dispatch.routes_of(topic)]
            found[group.name] = [TP(t, p) for t in topics for p in range(len(self.kafka.topics[t]))]
        return found

    def _verdict(self) -> Breach | None:
        for group, _ in self.participants[0].groups if self.participants else ():
            for tp in self._claimed()[group.name]:
                records: list[RawRecord] = list(self.kafka.log(tp).records)
                committed = self.kafka.committed(group.name, tp).offset or 0
                for route, indices in group.dispatch.split(tp.topic, records, range(len(records))):
                    for i in indices:
                        if not self.attempts.done(route.id, records[i]):
                            is_committed = records[i].offset() < committed
                            return self.attempts.unfinished(route.id, records[i], committed=is_committed)
        return next(iter(self.attempts.undone()), None)

    def _tell(self, what: str) -> None:
        self.story.append(f"step {len(self.points):3}  {self.clock.monotonic() - self._began:6.2f} s  {what}")

    def committed(self, group: str, offsets: Mapping[TP, Committed]) -> None:
        """A commit was written."""
        said = ", ".join(f"{tp.topic}[{tp.partition}] to {committed.offset}" for tp, committed in offsets.items())
        self._tell(f"group {group} commits {said}")


class _Told(MemoryKafka):
    def __init__(self, run: Run) -> None:
        super().__init__(run.clock)
        self._run = run

    def write_commit(self, group: Group, member: str, offsets: Mapping[TP, Committed]) -> None:
        super().write_commit(group, member, offsets)
        self._run.committed(group.name, offsets)
