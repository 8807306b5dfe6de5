"""What users' handlers did with records, judged: nothing lost, no order broken, no effect repeated."""

from __future__ import annotations

from collections import defaultdict
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from kafkaboot.client import TP

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Sequence

    from kafkaboot.consumer import Route
    from kafkaboot.message import RawRecord

BreachKind = Literal["lost", "out of order", "repeated"]
Outcome = Literal["at work", "returned", "done", "raised", "cut"]

current: ContextVar[Attempt | None] = ContextVar("kafkaboot_attempt", default=None)
"""The attempt that this code belongs to; tasks inherit it."""


class Breach(NamedTuple):
    """A promise broken."""

    kind: BreachKind
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"


@dataclass(slots=True, eq=False)
class Attempt:
    """One call of a handler.

    Attributes:
        records: What it was called for.
        stay: Which assignment of the partition.
        tasks: What it started and did not wait for yet.
        outcome: `returned` while tasks of it are at work.
        finished: Records that are done, of a call that raised.
        why: What it raised, or what its task did.
    """

    handler: str
    process: str
    records: Sequence[RawRecord]
    stay: int
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    outcome: Outcome = "at work"
    finished: int = 0
    why: str = ""

    def __str__(self) -> str:
        first = place_of(self.records[0])
        more = f" and {len(self.records) - 1} more" if len(self.records) > 1 else ""
        return f"{self.handler} with {first}{more}"


@dataclass
class Attempts:
    """Everything that handlers did in one run.

    Attributes:
        breaches: What was found, in order.
        effects: How often each was done.
        wanted: Effects that were begun, with who wanted them.
        changes: Grows with each happening.
    """

    breaches: list[Breach] = field(default_factory=list)
    effects: dict[tuple[str, object], int] = field(default_factory=lambda: defaultdict(int))
    wanted: dict[tuple[str, object], str] = field(default_factory=dict)
    changes: int = 0
    _of: dict[tuple[str, TP, int], list[Attempt]] = field(default_factory=lambda: defaultdict(list))
    _open: list[Attempt] = field(default_factory=list)
    _stays: dict[tuple[str, str, TP], int] = field(default_factory=dict)

    # --- what happens

    def stays(self, process: str, group: str, partitions: Iterable[TP], *, held: bool) -> None:
        """A process gets partitions, or has them no longer."""
        self.changes += 1
        for tp in partitions:
            if held:
                self._stays[process, group, tp] = self.changes
            else:
                self._stays.pop((process, group, tp), None)

    def began(self, process: str, group: str, route: Route, records: Sequence[RawRecord]) -> Attempt:
        """A handler is called."""
        self.changes += 1
        tp = TP(records[0].topic(), records[0].partition())
        attempt = Attempt(route.id, process, records, self._stays.get((process, group, tp), 0))
        if route.ordering != "unordered":
            keys = {record.key() for record in records}
            for other in self._open:
                if (
                    other.process == process
                    and other.handler == route.id
                    and other.stay == attempt.stay
                    and (other.records[0].topic(), other.records[0].partition()) == tp
                    and (route.ordering == "partition" or not keys.isdisjoint(r.key() for r in other.records))
                ):
                    what = f"{attempt} began while a task that {other} had started was still at work"
                    self.breaches.append(Breach("out of order", what))
        self._open.append(attempt)
        for record in records:
            self._of[route.id, tp, record.offset()].append(attempt)
        return attempt

    def over(self, attempt: Attempt, error: BaseException | None = None, finished: int = 0) -> None:
        """The call returned or raised."""
        self.changes += 1
        if error is None:
            attempt.outcome = "returned" if attempt.tasks else "done"
        else:
            attempt.outcome, attempt.why, attempt.finished = "raised", f"raised {_said(error)}", finished
        if attempt.outcome != "returned":
            self._open.remove(attempt)

    def task_over(self, attempt: Attempt, task: asyncio.Task[Any]) -> None:
        """A task that the handler had started has ended."""
        attempt.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if attempt.outcome != "returned":
            return
        self.changes += 1
        if error is not None:
            attempt.outcome = "cut"
            attempt.why = f"returned, and then a task that it had started raised {_said(error)}"
            self._open.remove(attempt)
        elif not attempt.tasks:
            attempt.outcome = "done"
            self._open.remove(attempt)

    def died(self, process: str) -> None:
        """A process is dead: what is at work in it is cut off."""
        for attempt in [attempt for attempt in self._open if attempt.process == process]:
            left = attempt.outcome == "returned"
            attempt.outcome = "cut"
            attempt.why = (
                "had returned, and a task that it had started was cut off when its process ended"
                if left
                else "was cut off with its process"
            )
            self._open.remove(attempt)
        for key in [key for key in self._stays if key[0] == process]:
            del self._stays[key]

    def wants(self, name: str, key: object, process: str) -> None:
        """An effect is about to be done."""
        self.changes += 1
        attempt = current.get()
        self.wanted[name, key] = str(attempt) if attempt is not None else process

    def did(self, name: str, key: object, process: str) -> None:
        """It is done."""
        self.effects[name, key] += 1
        if self.effects[name, key] > 1:
            who = current.get() or process
            self.breaches.append(Breach("repeated", f"{name} {key!r} was done a second time, by {who} in {process}"))

    # --- what is known

    @property
    def at_rest(self) -> bool:
        """Whether no handler and no task of one is at work."""
        return not self._open

    def done(self, handler: str, record: RawRecord) -> bool:
        """Whether a call of the handler has finished all its work on the record."""
        return any(self._finished(attempt, record) for attempt in self._all(handler, record))

    def unfinished(self, handler: str, record: RawRecord, *, committed: bool) -> Breach:
        """The breach that a record is which is not done at the end."""
        tried = self._all(handler, record)
        fate = "its offset is committed" if committed else "it is still being tried"
        last = f"its last call of {len(tried)} {tried[-1].why or 'is at work'}" if tried else "it was never called"
        return Breach("lost", f"{place_of(record)} was not handled by {handler}: {last}; {fate}")

    def undone(self) -> list[Breach]:
        """Effects that failed, and that nobody did afterwards."""
        return [
            Breach("lost", f"{name} {key!r} failed in {who}, was never done, and its record is settled")
            for (name, key), who in self.wanted.items()
            if not self.effects[name, key]
        ]

    def _all(self, handler: str, record: RawRecord) -> list[Attempt]:
        return self._of.get((handler, TP(record.topic(), record.partition()), record.offset()), [])

    @staticmethod
    def _finished(attempt: Attempt, record: RawRecord) -> bool:
        if attempt.outcome == "done":
            return True
        offsets = [one.offset() for one in attempt.records[: attempt.finished]]
        return attempt.outcome == "raised" and record.offset() in offsets


def place_of(record: RawRecord) -> str:
    """`topic[partition]@offset`, and the key."""
    key = record.key()
    named = f" (key {key.decode(errors='replace')!r})" if key is not None else ""
    return f"{record.topic()}[{record.partition()}]@{record.offset()}{named}"


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
