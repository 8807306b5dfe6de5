"""A letter on its way, and how it is made to fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kafkaboot.errors import ClientError
from kafkaboot.failure.alarm import FATE
from kafkaboot.failure.letter_headers import TRACEBACKS, with_short_messages, without
from kafkaboot.message import place

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.consumer import Failed
    from kafkaboot.failure.enclosed_letters import EnclosedLetters
    from kafkaboot.message import Headers, RawRecord

SHORT_MESSAGE = 200
"""Bytes that are left of an exception's message where the whole does not fit."""
TOO_LARGE = frozenset({"MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE", "INVALID_MSG_SIZE"})
"""Kafka's and librdkafka's names for a record that does not fit."""


@dataclass(slots=True, eq=False)
class LetterJob:
    """What is to be written, and how far it has come.

    Attributes:
        failed: The record and what was raised.
        handler: The handler's id.
        group: Its consumer group.
        topic: Where the letter goes.
        partition: Its partition there; -1: chosen by the key.
        settled: Called when the letter is acknowledged.
        wanted: Whether it is still ours to write.
        due: When the record is to be tried again, in seconds since the epoch: then it is no letter.
        delivered: Called before `settled`, with what was written.
        enclosed: Writes it in a transaction, together with the offset of its record; `None`: it is written by itself.
        headers: The letter's, once made.
        failures: Writes that failed.
        alone: Whether it goes in a batch of its own.
        cuts: What was left out: 1 the traceback, 2 most of the message too.
        sent: When it was handed over last, on the monotonic clock.
    """

    failed: Failed
    handler: str
    group: str
    topic: str
    partition: int
    settled: Callable[[], None]
    wanted: Callable[[], bool]
    due: float | None = None
    delivered: Callable[[RawRecord], None] | None = None
    enclosed: EnclosedLetters | None = None
    headers: Headers | None = None
    failures: int = 0
    alone: bool = False
    cuts: int = 0
    sent: float = 0.0

    @property
    def where(self) -> str:
        """The failed record's place."""
        record = self.failed.record
        return place(record.topic(), record.partition(), record.offset())

    def shorten(self) -> bool:
        """Leave out the traceback, then most of the message; answers whether there was anything to leave out."""
        self.cuts += 1
        if self.cuts == 1:
            self.headers = without(self.headers or [], TRACEBACKS)
        elif self.cuts == 2:
            self.headers = with_short_messages(self.headers or [], SHORT_MESSAGE)
        return self.cuts <= 2

    def too_large(self, error: ClientError) -> ClientError:
        """What to say of a record that does not fit with everything left out that may be."""
        record = self.failed.record
        size = len(record.value() or b"") + len(record.key() or b"")
        return ClientError(
            f"the record itself is too large: {size} bytes of key and value ({error.what})",
            code=error.code,
            where=self.where,
            fate=FATE,
            todo=f"raise max.message.bytes of the topic {self.topic}; the letter is then written by itself",
        )
