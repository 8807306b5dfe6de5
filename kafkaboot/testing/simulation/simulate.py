"""`simulate`: an application's handlers under every fault in turn, then under several, and the first that breaks them.

Everything is decided by the arguments: the same call finds the same. Nothing waits in real time.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kafkaboot.client.memory import MemoryClients, MemoryKafka
from kafkaboot.clock import ManualClock
from kafkaboot.consumer import invoke, loop_crew
from kafkaboot.failure import forget
from kafkaboot.producer import Producer
from kafkaboot.testing.simulation.attempts import Breach
from kafkaboot.testing.simulation.blueprint import SimulatedApplication
from kafkaboot.testing.simulation.effects import running
from kafkaboot.testing.simulation.run import Run, Sent
from kafkaboot.testing.simulation.schedule import POSSIBLE, Fault, Schedule
from kafkaboot.testing.simulation.watch import THREAD, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from kafkaboot.testing.simulation.schedule import Kind, Where

KINDS: tuple[Kind, ...] = ("crash", "rebalance", "expire", "commit", "fail", "unanswered")
AT_ONCE = 3
"""Faults of a random schedule, at most."""


@dataclass(slots=True)
class Simulation:
    """What a simulation found.

    Attributes:
        breach: The promise that was broken, or `None`.
        schedule: The shortest schedule that breaks it; give its text to `replay=` to see the same run again.
        story: That run, step by step.
        runs: How many schedules were run.
        steps: How many steps the run without faults has.
        faults: How many runs had a fault of each kind.
    """

    breach: Breach | None = None
    schedule: Schedule = field(default_factory=Schedule)
    story: Sequence[str] = ()
    runs: int = 0
    steps: int = 0
    faults: dict[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return self.breach is None

    def __str__(self) -> str:
        counted = ", ".join(f"{kind} {count}" for kind, count in self.faults.items()) or "no faults"
        ran = f"{self.runs} schedules of a run of {self.steps} steps ({counted})"
        if self.breach is None:
            return f"kept: nothing lost, out of order or repeated in {ran}"
        cause = f"by the schedule {str(self.schedule)!r}" if self.schedule else "without any fault"
        return "\n".join([
            str(self.breach),
            f"  {cause}; found after {ran}",
            *(f"  {line}" for line in self.story),
            f"  to see it again: simulate(..., replay={str(self.schedule)!r})",
        ])  # fmt: skip


def simulate(
    app: str | None,
    records: Mapping[str, Iterable[Any]],
    *,
    components: Mapping[type[Any], Callable[[], object]] | None = None,
    expects: Mapping[str, Callable[[Any], tuple[str, object]]] | None = None,
    partitions: int = 2,
    seed: int = 0,
    schedules: int = 200,
    overrides: Mapping[str, object] | None = None,
    directory: str | Path | None = None,
    replay: str | None = None,
) -> Simulation:
    """Run an application's handlers under faults, on a Kafka in memory and in virtual time.

    One run without faults comes first; then one for each fault at each step: a process crashes, another one joins or
    leaves, a session expires, commits fail, an `effect` fails or is done without an answer; then random schedules of
    two or three faults. A breach is made small before it is reported. What is found:

    * `lost`: a record is not handled at the end; its handler's call is over when it has returned and the tasks that
      it started have ended. So is an effect that failed and that nobody did afterwards, and one that `expects` asks.
    * `out of order`: a handler began with a record while a task that it had started for one before it was at work.
    * `repeated`: an `effect` was done twice for one key.

    Each process has components of its own, and the modules' own data as they were imported. What classes and caches of
    functions remember (`Shop.seen = set()`, `lru_cache`) is not told apart: all processes share it, and it outlives
    them, so that a memory which a real crash would wipe is not found. Keep such data on the instance.

    `def` handlers run on the event loop, and so does what is given to threads. Sleeping takes virtual time. No socket
    is ever ready: what talks to the world outside is given as a double. A task that is to outlive handlers is started
    in an `@on_start` method, or with a context of its own.

    Args:
        app: A package, a folder or a YAML file, as for `kafkaboot run`; `None`: what the configuration names.
        records: What stands in the topics, each a payload or a pair of key and payload.
        components: Makes the doubles of the world outside, by the type that they are injected for; one is made for
            each run, and it outlives the processes. It calls `effect` where the real one would write.
        expects: By topic, the effect that each payload must have had at the end, as name and key.
        partitions: Of each topic.
        seed: For the random schedules, and for the handlers' `random`.
        schedules: How many random ones.
        overrides: Values by key, above every other source.
        directory: Where configuration and packages are looked for; the working directory by default.
        replay: A schedule that was reported: only that one is run, and its story told whatever it does.

    Raises:
        KafkabootError: The application cannot be wired.
        ValueError: `replay` is no schedule.
        RuntimeError: An event loop is running: a test that simulates is a plain `def`.
        StuckHandlerError: Code of the application does not come back: a loop that catches `BaseException` swallows the
            death of its process. It names the line; the thread that it runs on is left behind.
    """
    _refuse_event_loop()
    records = {topic: list(payloads) for topic, payloads in records.items()}
    said = [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in (overrides or {}).items()
    ]
    clock, watch = ManualClock(), Watch()
    search = _Search(
        SimulatedApplication(app, components or {}, said, directory), _sent(records), _due(records, expects or {}),
        partitions, seed, clock, watch,
    )  # fmt: skip
    drawn = random.getstate()
    memory = search.application.memory
    chosen = None if replay is None else Schedule.read(replay)
    with _virtual_time(clock, memory.names):
        try:
            return watch.run(lambda: search.search(schedules) if chosen is None else search.told(chosen), memory.names)
        finally:
            running.observer = None
            forget()
            memory.put_back()
            random.setstate(drawn)


@dataclass(slots=True)
class _Search:
    application: SimulatedApplication
    sent: Sequence[Sent]
    due: Sequence[tuple[str, tuple[str, object]]]
    partitions: int
    seed: int
    clock: ManualClock
    watch: Watch
    found: Simulation = field(default_factory=Simulation)

    def search(self, schedules: int) -> Simulation:
        """No fault, each fault alone, then several."""
        plain, breach = self._run(Schedule())
        self.found.steps = len(plain.points)
        if breach is not None:
            return self._tell(Schedule(), breach, plain)
        for schedule in (*_alone(plain.points), *self._together(schedules, len(plain.points))):
            run, breach = self._run(schedule)
            if breach is not None:
                return self._tell(*self._shrunk(schedule, breach, run))
        return self.found

    def told(self, schedule: Schedule) -> Simulation:
        """One schedule, with its story."""
        run, breach = self._run(schedule)
        self.found.steps = len(run.points)
        self.found.schedule, self.found.story, self.found.breach = schedule, run.story, breach
        return self.found

    def _together(self, schedules: int, steps: int) -> Iterator[Schedule]:
        draw = random.Random(self.seed)
        for _ in range(schedules):
            count = draw.randint(2, AT_ONCE)
            yield Schedule.of(*(Fault(draw.randint(1, steps + steps // 2), draw.choice(KINDS)) for _ in range(count)))

    def _run(self, schedule: Schedule) -> tuple[Run, Breach | None]:
        run = Run(self.application, self.sent, self.partitions, schedule, self.seed, self.clock, self.watch)
        self.found.runs += 1
        for kind in sorted({fault.kind for fault in schedule}):
            self.found.faults[kind] = self.found.faults.get(kind, 0) + 1
        breach = run.go()
        if breach is None:
            for topic, (name, key) in self.due:
                if not run.attempts.effects.get((name, key)):
                    breach = Breach(
                        "lost", f"{name} {key!r} was never done, which a record of {topic} is to bring about"
                    )
                    break
        return run, breach

    def _shrunk(self, schedule: Schedule, breach: Breach, run: Run) -> tuple[Schedule, Breach, Run]:
        """Fewer faults, then earlier ones, as long as a promise of the same kind is broken."""
        shorter = True
        while shorter:
            shorter = False
            for tried in _shorter(schedule):
                again, other = self._run(tried)
                if other is not None and other.kind == breach.kind:
                    schedule, breach, run, shorter = tried, other, again, True
                    break
        return schedule, breach, run

    def _tell(self, schedule: Schedule, breach: Breach, run: Run) -> Simulation:
        self.found.schedule, self.found.breach, self.found.story = schedule, breach, run.story
        return self.found


def _alone(points: Sequence[Where]) -> Iterator[Schedule]:
    for step, where in enumerate(points, 1):
        for kind in POSSIBLE[where]:
            yield Schedule.of(Fault(step, kind))


def _shorter(schedule: Schedule) -> Iterator[Schedule]:
    """One fault less; then each fault at half of its step, and one step earlier."""
    for i in range(len(schedule)):
        yield Schedule.of(*schedule[:i], *schedule[i + 1 :])
    for i, fault in enumerate(schedule):
        for step in sorted({fault.step // 2, fault.step - 1} - {0}):
            yield Schedule.of(*schedule[:i], fault._replace(step=step), *schedule[i + 1 :])


def _sent(records: Mapping[str, Iterable[Any]]) -> list[Sent]:
    """The records as a producer would write them."""
    kafka = MemoryKafka()
    producer = Producer(MemoryClients(kafka).producer({}), source="/simulation")
    sent = []
    for topic, payloads in records.items():
        kafka.create(topic)
        for given in payloads:
            key, payload = given if isinstance(given, tuple) else (None, given)
            producer.send(topic, payload, key=key)
        sent += [Sent(topic, one.value(), one.key(), one.headers()) for one in kafka.records(topic)]
    return sent


def _due(
    records: Mapping[str, Iterable[Any]], expects: Mapping[str, Callable[[Any], tuple[str, object]]]
) -> list[tuple[str, tuple[str, object]]]:
    return [
        (topic, wanted(given[1] if isinstance(given, tuple) else given))
        for topic, wanted in expects.items()
        for given in records[topic]
    ]


def _refuse_event_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("simulate() has event loops of its own: call it from a plain `def` test, not an `async def`")


@contextmanager
def _virtual_time(clock: ManualClock, modules: Iterable[str]) -> Iterator[None]:
    """The engine's time and everybody's sleep follow the clock; what fails is told by the story, not by the log."""
    real = time.sleep

    def sleep(seconds: float) -> None:
        clock.advance(seconds) if threading.current_thread().name == THREAD else real(seconds)

    places: list[tuple[Any, str]] = [(time, "sleep")]
    places += [(sys.modules[m], name) for m in modules for name, value in vars(sys.modules[m]).items() if value is real]
    engine = [(loop_crew, "monotonic"), (invoke, "monotonic")]
    before = [(owner, name, getattr(owner, name)) for owner, name in [*places, *engine]]
    quiet = logging.root.manager.disable
    try:
        for owner, name in places:
            setattr(owner, name, sleep)
        for owner, name in engine:
            setattr(owner, name, clock.monotonic)
        logging.disable(logging.CRITICAL)
        yield
    finally:
        logging.disable(quiet)
        for owner, name, value in before:
            setattr(owner, name, value)
