"""Letters, and records of retry topics, that are written in the transaction of their handler.

They become visible together with the offset of the record that they are about. So a letter that is refused takes its
whole transaction with it; when everything is handled again, it is shorter.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from kafkaboot.consumer import Backoff
from kafkaboot.failure.letter_job import TOO_LARGE

if TYPE_CHECKING:
    from kafkaboot.consumer import Away, Failed
    from kafkaboot.errors import ClientError
    from kafkaboot.failure.dead_letter import DeadLetters
    from kafkaboot.failure.letter_job import LetterJob
    from kafkaboot.message import RawRecord

ROOM = 0.001
"""Seconds until a transaction that has enough is tried again."""
CUTS = 2
"""How often a letter can be shortened."""
BACKOFF = Backoff(1.0, 30.0)
"""Between two transactions with a letter that was refused."""


@dataclass(slots=True)
class _Refused:
    times: int = 0
    cuts: int = 0
    anywhere: bool = False


class EnclosedLetters:
    """The way of one group's letters into its transactions.

    Args:
        letters: Makes them, on its own thread.
        door: The way into the open transaction (`transaction.Door`).
    """

    def __init__(self, letters: DeadLetters, door: Any) -> None:
        self._letters, self._door = letters, door
        self._refused: dict[str, _Refused] = {}

    def away(self, failed: Failed, handler: str, group: str) -> Away:
        """See `DeadLetters.away`."""
        return self._letters.away(failed, handler, group, self)

    def send(self, *about: Any, **more: Any) -> None:
        """See `DeadLetters.send`."""
        self._letters.send(*about, enclosed=self, **more)

    def delay(self, job: LetterJob) -> float:
        """Seconds that a new letter waits: one that was refused must not bring one transaction down after the other."""
        refused = self._refused.get(job.where)
        return 0.0 if refused is None or refused.times <= CUTS else BACKOFF.delay(refused.times - CUTS)

    def write(self, job: LetterJob) -> None:
        """Put it into the transaction, and settle its record there; on the writer's thread."""
        refused = self._refused.get(job.where)
        while refused is not None and job.cuts < refused.cuts:
            job.shorten()
        if refused is not None and refused.anywhere:
            job.partition = -1
        record, door = job.failed.record, self._door
        with door.lock:
            if not job.wanted():
                self._letters.leave(job)
            elif not door.takes():
                self._letters.later(job, ROOM)
            else:
                stood: list[RawRecord] = []
                reported = partial(self._reported, job, stood)
                door.produce(job.topic, record.value(), record.key(), job.headers, job.partition, reported)
                door.on_commit(partial(self._committed, job, stood))
                job.settled()

    def _reported(self, job: LetterJob, stood: list[RawRecord], error: object | None, record: RawRecord) -> None:
        if error is None:
            stood.append(record)
            return
        found: ClientError = self._door.translate(error)
        if found.code.startswith("_PURGE"):
            return  # it fell with its transaction, which says nothing of it
        refused = self._refused.setdefault(job.where, _Refused())
        refused.times += 1
        if found.code in TOO_LARGE:
            refused.cuts = min(refused.cuts + 1, CUTS)
        refused.anywhere = refused.anywhere or found.code == "_UNKNOWN_PARTITION"
        if refused.times > CUTS:
            self._letters.refused(job, job.too_large(found) if found.code in TOO_LARGE else found)

    def _committed(self, job: LetterJob, stood: list[RawRecord]) -> None:
        self._refused.pop(job.where, None)
        self._letters.stands(job, stood[0] if stood else None)
