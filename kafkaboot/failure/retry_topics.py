"""Retry topics: where a record waits for its next attempt while those behind it are handled.

A record that has used up the attempts in its lane goes from topic to topic, each with a longer delay, and then to the
dead letters. One consumer takes the records of all retry topics of a group; one that is not due waits in its lane.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from time import time
from typing import TYPE_CHECKING, Any

from kafkaboot.consumer import Again, Away, Settled
from kafkaboot.errors import Signal
from kafkaboot.failure.letter_headers import digits, origin_of
from kafkaboot.message.headers import KB_ATTEMPTS, KB_RETRY_DUE
from kafkaboot.topics import naming

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kafkaboot.consumer import BatchCall, Call, Failed, Verdict
    from kafkaboot.failure.dead_letter import DeadLetters
    from kafkaboot.failure.key_order import KeyOrder
    from kafkaboot.message import RawRecord


class DetourError(Signal):
    """Raised in place of a handler: it is not to be called for this record now."""

    def verdict(self, failed: Failed) -> Verdict:
        """What becomes of the record instead."""
        raise AssertionError(failed)  # pragma: no cover - each kind says its own


class NotDueError(DetourError):
    """The record waits until it is due."""

    def __init__(self, after: float) -> None:
        super().__init__(f"it is due in {after:.3f} s")
        self._after = after

    def verdict(self, failed: Failed) -> Verdict:  # noqa: ARG002 - the shape of `DetourError`
        """It stays in its lane."""
        return Again(self._after, counts=False)


class FollowsError(DetourError):
    """An earlier record of the same key waits in the retry topic; this one goes behind it."""

    def __init__(self, topics: RetryTopics) -> None:
        super().__init__("an earlier record of its key waits for its retry")
        self._topics = topics

    def verdict(self, failed: Failed) -> Verdict:
        """It goes the same way."""
        return self._topics.follow(failed)


class ThereAlreadyError(DetourError):
    """The record went to the retry topic before a restart, and waits there."""

    def __init__(self) -> None:
        super().__init__("it waits in the retry topic already")

    def verdict(self, failed: Failed) -> Verdict:  # noqa: ARG002 - the shape of `DetourError`
        """It is settled here."""
        return Settled("retried_later")


class RetryTopics:
    """One handler's retry topics.

    Args:
        handler: The handler's id.
        group: Its consumer group, not that of the retries.
        sources: The topics that it takes.
        delays: Seconds that a record waits in each retry topic, ascending.
        writer: Writes the records; each is tried until it is written.
        order: Where later records of a key follow the one that waits: then there is one retry topic, and the later
            delays are waited for in the key's lane there.
    """

    def __init__(
        self,
        handler: str,
        group: str,
        sources: Sequence[str],
        delays: Sequence[float],
        writer: DeadLetters,
        order: KeyOrder | None = None,
    ) -> None:
        self.delays = tuple(delays)
        self.order = order
        self._handler, self._group, self._writer = handler, group, writer
        steps = self.delays[:1] if order is not None else self.delays
        self._names = {topic: [naming.retry(topic, group, delay) for delay in steps] for topic in sources}
        self._next = {place: step for names in self._names.values() for step, place in enumerate(names, start=1)}

    @property
    def topics(self) -> list[str]:
        """The names of all retry topics."""
        return list(self._next)

    def away(self, failed: Failed) -> Away | None:
        """The way to the next retry topic; `None` behind the last one."""
        record = failed.record
        step = self._next.get(record.topic(), 0)
        source = origin_of(record, self._group).topic
        names = self._names.get(source, ())
        if step >= len(names):
            return None
        return self._way(failed, names[step], time() + self.delays[step])

    def follow(self, failed: Failed) -> Away:
        """Behind an earlier record of the same key, due as soon as that one is resolved."""
        return self._way(failed, self._names[failed.record.topic()][0], 0.0)

    def _way(self, failed: Failed, topic: str, due: float) -> Away:
        record = failed.record
        origin = origin_of(record, self._group)
        delivered = self.order.leaves(record) if self.order is not None else None
        send = partial(
            self._writer.send,
            failed,
            self._handler,
            self._group,
            topic,
            origin.partition,
            due=due,
            delivered=delivered,
        )
        return Away(send, "retried_later", f"the record waits for its next attempt in {topic}")


@dataclass(frozen=True, slots=True)
class Steps:
    """Fixed delays, one after the other; behind the last one it is the last one again."""

    delays: Sequence[float]

    def delay(self, attempt: int) -> float:
        """Seconds after attempt number `attempt` (1 is the first) has failed."""
        return self.delays[min(attempt, len(self.delays) - 1)]


def when_due(call: Call, delays: Sequence[float]) -> Call:
    """The handler's call for records of its retry topics.

    Args:
        call: The handler's call.
        delays: Between attempts in the lane of the retry topic itself; the first is waited for by the record's own
            due time.
    """

    def due(raw: RawRecord, attempt: int = 1) -> Any:
        headers = _headers(raw)
        wait = headers[KB_RETRY_DUE] / 1000 + sum(delays[1:attempt]) - time()
        if wait > 0:
            raise NotDueError(wait)
        return call(raw, headers[KB_ATTEMPTS] + attempt)

    return due


def batch_when_due(call: BatchCall) -> BatchCall:
    """The same for a batch handler: what is due of a batch is handled, the rest waits."""
    from kafkaboot.consumer.batches import NotBegun

    def due(raws: Sequence[RawRecord], attempt: int = 1) -> Any:
        now = time()
        for index, raw in enumerate(raws):
            wait = _headers(raw)[KB_RETRY_DUE] / 1000 - now
            if wait > 0:
                raise NotBegun(index, NotDueError(wait)) if index else NotDueError(wait)
        return call(raws, _headers(raws[0])[KB_ATTEMPTS] + attempt)

    return due


def _headers(raw: RawRecord) -> dict[str, int]:
    """The numbers of a record in a retry topic; 0 where one is missing or cannot be read: then it is due."""
    found = {KB_RETRY_DUE: 0, KB_ATTEMPTS: 0}
    for name, value in raw.headers() or ():
        if name in found:
            found[name] = digits(value or b"") or 0
    return found


def guarded(call: Call, check: Callable[[RawRecord], None]) -> Call:
    """The handler's call behind a look at whether it may be called."""

    def checked(raw: RawRecord, attempt: int = 1) -> Any:
        check(raw)
        return call(raw, attempt)

    return checked
