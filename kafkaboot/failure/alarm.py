"""What is said while dead letters cannot be written: once when it begins, once when it is over."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kafkaboot.errors import ClientError

log = logging.getLogger("kafkaboot.failure")

FATE = "the record is kept and its offset is not committed; the letter is tried again until it is written"


@dataclass(slots=True)
class _Trouble:
    since: float
    error: ClientError
    letters: set[object] = field(default_factory=set)
    written: int = 0


class Alarm:
    """Remembers which letters cannot be written, by topic. Any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._troubles: dict[str, _Trouble] = {}

    @property
    def failing(self) -> int:
        """Letters that wait after a failed write."""
        with self._lock:
            return sum(len(trouble.letters) for trouble in self._troubles.values())

    def failed(self, topic: str, letter: object, where: str, error: ClientError) -> None:
        """A write failed; the first of a topic is told."""
        with self._lock:
            trouble = self._troubles.get(topic)
            begins = trouble is None
            if trouble is None:
                trouble = self._troubles[topic] = _Trouble(monotonic(), error)
            trouble.error = error
            trouble.letters.add(letter)
        if begins:
            todo = error.todo or "see the broker's log"
            log.error(
                "dead letters cannot be written to %s: %s (%s); %s; to do: %s", topic, error.what, where, FATE, todo
            )

    def ended(self, topic: str, letter: object, *, written: bool) -> None:
        """A letter is written, or is not ours any more; the last one of a trouble is told."""
        with self._lock:
            trouble = self._troubles.get(topic)
            if trouble is None or letter not in trouble.letters:
                return
            trouble.letters.discard(letter)
            trouble.written += written
            over = not trouble.letters
            if over:
                del self._troubles[topic]
        if over:
            seconds = monotonic() - trouble.since
            if trouble.written:
                log.warning("dead letters can be written to %s again, after %.1f s: %d are", topic, seconds,
                            trouble.written)  # fmt: skip
            else:
                log.warning("nothing waits to be written to %s any more: its records went to other members", topic)

    def details(self) -> dict[str, dict[str, object]]:
        """By topic: how many letters wait, since how many seconds, and why."""
        now = monotonic()
        with self._lock:
            return {
                topic: {
                    "waiting": len(trouble.letters),
                    "since": round(now - trouble.since, 1),
                    "error": trouble.error.what,
                }
                for topic, trouble in self._troubles.items()
            }
