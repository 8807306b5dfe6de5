"""Retry topics: where a record waits for its next attempt while those behind it are handled.

A record that has used up the attempts in its lane goes from topic to topic, each with a longer delay, and then to the
dead letters. One consumer takes the records of all retry topics of a group; one that is not due waits in its lane.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple

from kafkaboot.consumer import Again, Away, Detour, Settled
from kafkaboot.consumer.batches import NotBegun
from kafkaboot.failure.letter_headers import digits, first_failure, origin_of
from kafkaboot.message.headers import KB_ATTEMPTS, KB_RETRY_DUE
from kafkaboot.topics import naming

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kafkaboot.consumer import BatchCall, Call, Failed
    from kafkaboot.failure.dead_letter import DeadLetters
    from kafkaboot.failure.enclosed_letters import EnclosedLetters
    from kafkaboot.failure.key_order import KeyOrder
    from kafkaboot.failure.recovery import Delays
    from kafkaboot.message import RawRecord


def not_due(after: float) -> Detour:
    """The record waits in its lane until it is due, in so many seconds."""
    return Detour(f"it is due in {after:.3f} s", lambda _: Again(after, counts=False))


def there_already() -> Detour:
    """The record went to the retry topic before a restart and waits there, or was handled before one that does."""
    return Detour("it waits in the retry topic already", lambda _: Settled("retried_later"))


SKEW = 3600.0
"""Seconds beyond the longest delay from which on a due time is no clock's difference: it is not believed, else what
anybody wrote there would keep a lane for ever."""


class Earlier(NamedTuple):
    """What happened to a record before it came to the retry topic.

    Attributes:
        attempts: Calls of the handler.
        since: When the first of them failed, in seconds since the epoch.
    """

    attempts: int
    since: float


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
        time_limit: Seconds after the first failure in which another attempt may begin.
    """

    def __init__(
        self,
        handler: str,
        group: str,
        sources: Sequence[str],
        delays: Sequence[float],
        writer: DeadLetters | EnclosedLetters,
        order: KeyOrder | None = None,
        time_limit: float | None = None,
    ) -> None:
        self._handler, self._group, self._writer = handler, group, writer
        self._delays, self._order, self._time_limit = tuple(delays), order, time_limit
        steps = self._delays[:1] if order is not None else self._delays
        self._names = {topic: [naming.retry(topic, group, delay) for delay in steps] for topic in sources}
        self._next = {place: step for names in self._names.values() for step, place in enumerate(names, start=1)}

    @property
    def topics(self) -> list[str]:
        """The names of all retry topics."""
        return list(self._next)

    def earlier(self, failed: Failed) -> Earlier:
        """What a record's headers say of the time before it came to the topic that it stands in."""
        origin = origin_of(failed.record, self._group)
        return Earlier(origin.attempts, first_failure(origin, failed))

    def away(self, failed: Failed) -> Away | None:
        """The way to the next retry topic; `None` behind the last one, and where it would come too late."""
        record = failed.record
        origin = origin_of(record, self._group)
        step = self._next.get(record.topic(), 0)
        names = self._names.get(origin.topic, ())
        if step >= len(names):
            return None
        due = time() + self._delays[step]
        if self._time_limit is not None and due > first_failure(origin, failed) + self._time_limit:
            return None
        return self._way(failed, names[step], origin.partition, due)

    def follows(self) -> Detour:
        """The record goes behind an earlier one of its key, due as soon as that one is resolved."""
        return Detour("an earlier record of its key waits for its retry", self._follow)

    def _follow(self, failed: Failed) -> Away:
        # Nothing has failed: where this was found out says nothing, and to write it down costs more than all the rest.
        failed.error.__traceback__ = None
        record = failed.record
        return self._way(failed, self._names[record.topic()][0], record.partition(), 0.0)

    def _way(self, failed: Failed, topic: str, partition: int, due: float) -> Away:
        send = partial(self._writer.send, failed, self._handler, self._group, topic, partition, due=due)
        in_turn = send if self._order is None else self._order.in_turn(failed, send)
        return Away(in_turn, "retried_later", f"the record waits for its next attempt in {topic}")


@dataclass(frozen=True, slots=True)
class BackoffThenDelays:
    """The delays between all attempts at a record that stays in one lane of the retry topic.

    Attributes:
        backoff: Between the attempts that every record gets at first.
        attempts: How many those are.
        delays: Between the attempts after those.
    """

    backoff: Delays
    attempts: int
    delays: Sequence[float]

    def delay(self, attempt: int) -> float:
        """Seconds after attempt number `attempt` (1 is the first) has failed."""
        late = attempt - self.attempts
        return self.backoff.delay(attempt) if late < 0 else self.delays[min(late, len(self.delays) - 1)]


def when_due(call: Call, longest: float, in_lane: Sequence[float] = ()) -> Call:
    """The handler's call for records of its retry topics.

    Args:
        call: The handler's call.
        longest: Seconds that a record waits in them at most.
        in_lane: Seconds that are waited for in the lane of the retry topic after its first attempt there, its second,
            and so on: so that a restart does not cut them short.
    """

    def when(raw: RawRecord, attempt: int = 1) -> Any:
        due, attempts = _said(raw, longest)
        wait = due + sum(in_lane[: attempt - 1]) - time()
        if wait > 0:
            raise not_due(wait)
        return call(raw, attempts + attempt)

    return when


def batch_when_due(call: BatchCall, longest: float) -> BatchCall:
    """The same for a batch handler: what is due of a batch is handled, the rest waits."""

    def when(raws: Sequence[RawRecord], attempt: int = 1) -> Any:
        now = time()
        for index, raw in enumerate(raws):
            wait = _said(raw, longest)[0] - now
            if wait > 0:
                raise NotBegun(index, not_due(wait))
        return call(raws, _said(raws[0], longest)[1] + attempt)

    return when


def _said(raw: RawRecord, longest: float) -> tuple[float, int]:
    """When a record of a retry topic is due, in seconds since the epoch, and its attempts before it came there.

    0 for what is missing or cannot be: then it is due.
    """
    found = {KB_RETRY_DUE: 0, KB_ATTEMPTS: 0}
    for name, value in raw.headers() or ():
        if name in found:
            found[name] = digits(value or b"") or 0
    due = found[KB_RETRY_DUE] / 1000
    return due if due <= time() + longest + SKEW else 0.0, found[KB_ATTEMPTS]


def guarded(call: Call, check: Callable[[RawRecord], None]) -> Call:
    """The handler's call behind a look at whether it may be called."""

    def checked(raw: RawRecord, attempt: int = 1) -> Any:
        check(raw)
        return call(raw, attempt)

    return checked
