"""What becomes of a record whose handler raised: again, later, dead, skipped, or the end. Off the success path."""

from __future__ import annotations

from dataclasses import dataclass
from time import time
from typing import TYPE_CHECKING, Literal, Protocol

from kafkaboot.consumer import Again, Halt, Settled
from kafkaboot.errors import DeadLetter, ProcessDiedError, Retry, Skip
from kafkaboot.failure.meaning import held_back, open_circuit

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.consumer import Away, Failed, Verdict
    from kafkaboot.failure.meaning import Meanings
    from kafkaboot.failure.retry_topics import Earlier

HALF_OPEN = 0.05
"""Seconds until a record is looked at again that failed for a circuit which is not closed: it says when to try."""


class Delays(Protocol):
    """How long a record waits in its lane."""

    def delay(self, attempt: int) -> float:
        """Seconds after attempt number `attempt` (1 is the first) has failed."""


class Elsewhere(Protocol):
    """Another topic that a failed record may go to."""

    def away(self, failed: Failed) -> Away | None:
        """The way there; `None` where there is none for this record."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """One handler's way with failures; it fulfils the engine's `Failing`.

    Attributes:
        meanings: Which exceptions are fatal.
        backoff: Delays between attempts in the lane.
        attempts: Calls for one record in its lane, the first included; with `earlier`, those before count.
        time_limit: Seconds after the first failure in which another attempt may begin.
        later: The retry topics, where the policy has some.
        earlier: What happened to a record before it came to the topic that it stands in, for retry topics.
        dead_letters: Where a record goes in the end.
        exhausted: What becomes of it then.
    """

    meanings: Meanings
    backoff: Delays
    attempts: int
    dead_letters: Elsewhere | None
    time_limit: float | None = None
    later: Elsewhere | None = None
    earlier: Callable[[Failed], Earlier] | None = None
    exhausted: Literal["dead-letter", "skip", "stop"] = "dead-letter"

    def judge(self, failed: Failed) -> Verdict:
        """See `Failing`."""
        error = failed.error
        if isinstance(error, Skip):
            return Settled("skipped")
        if isinstance(error, DeadLetter):
            return self._dead(failed)
        opened = open_circuit(error)
        if opened is not None:
            return Again(max(opened.after, HALF_OPEN), counts=False)
        if isinstance(error, ProcessDiedError) or self.meanings.fatal(error):
            return self._give_up(failed)
        if held_back(error):
            return Again(HALF_OPEN, counts=False)
        before, since = self.earlier(failed) if self.earlier is not None else (0, failed.since)
        attempt = before + failed.attempt
        delay = self.backoff.delay(attempt)
        if isinstance(error, Retry) and error.after is not None:
            delay = error.after
        if self.time_limit is not None and time() + delay > since + self.time_limit:
            return self._give_up(failed)
        if attempt < self.attempts:
            return Again(delay)
        later = self.later.away(failed) if self.later is not None else None
        return later or self._give_up(failed)

    def _give_up(self, failed: Failed) -> Verdict:
        if self.exhausted == "stop":
            return Halt()
        return Settled("skipped") if self.exhausted == "skip" else self._dead(failed)

    def _dead(self, failed: Failed) -> Verdict:
        way = self.dead_letters.away(failed) if self.dead_letters is not None else None
        return way or Halt()
