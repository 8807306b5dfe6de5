"""A dead letter as it is read again: ours, Spring's, and what others leave behind."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from kafkaboot.failure.fingerprints import shape_fingerprint
from kafkaboot.failure.letter_headers import REPLACED, digits, without
from kafkaboot.message import foreign_headers as foreign
from kafkaboot.message import headers as names
from kafkaboot.message import place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kafkaboot.message import Headers, RawRecord

SHOWN = 40
"""Bytes of an unreadable header that are shown."""
_WRAPPER = "org.springframework.kafka.listener.ListenerExecutionFailedException"
"""What Spring wraps every handler's exception in; the cause is the one that says something."""


class Original(NamedTuple):
    """Where the record stood when it failed; what the letter does not say is `None`.

    Attributes:
        timestamp: Milliseconds since the epoch.
    """

    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    timestamp: int | None = None

    def __str__(self) -> str:
        if self.topic is None or self.partition is None or self.offset is None:
            return self.topic or "an unknown place"
        return place(self.topic, self.partition, self.offset)


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter.

    Attributes:
        topic: Where the letter stands, with `partition` and `offset`.
        timestamp: When it was written, in milliseconds since the epoch, or `None`.
        original: Where the record stood.
        dialect: Who wrote it: `kafkaboot`, `spring`, `smallrye`, `spring-cloud-stream`, or empty for nobody known.
        group: The consumer group that failed on it; empty where the letter does not say, as the texts below.
        handler: The handler that failed on it.
        attempts: How often it was tried, or `None`.
        first_failed: When it failed first, UTC.
        last_failed: When it failed last, UTC.
        exception: The exception's dotted class.
        message: What it said.
        traceback: The end of its traceback.
        fingerprint: What it has in common with letters of the same failure.
        redrives: How often it came back from the dead letters.
        key: The raw key.
        value: The raw value.
        headers: All headers in wire order.
        doubts: What of the letter cannot be read, one sentence each.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int | None
    original: Original
    dialect: str
    group: str
    handler: str
    attempts: int | None
    first_failed: datetime | None
    last_failed: datetime | None
    exception: str
    message: str
    traceback: str
    fingerprint: str
    redrives: int
    key: bytes | None
    value: bytes | None
    headers: Headers = field(default_factory=list)
    doubts: tuple[str, ...] = ()

    def original_headers(self) -> Headers:
        """The record's own headers: those without what tells of its failure, in whichever dialect it was written."""
        return without(self.headers, REPLACED | _FOREIGN.get(self.dialect, frozenset()))

    @property
    def where(self) -> str:
        """The letter's place, for example `orders.shop.dlt[3]@17`."""
        return place(self.topic, self.partition, self.offset)


def read(record: RawRecord) -> Letter:
    """Read a dead letter. Whatever its headers hold, it never raises: what cannot be read is in `Letter.doubts`.

    Of a name that repeats the last header counts, as in Kafka's own `lastHeader`.
    """
    kind, stamp = record.timestamp()
    at = (record.topic(), record.partition(), record.offset())
    return letter_at(at, stamp if kind else None, record.key(), record.value(), list(record.headers() or ()))


def letter_at(
    at: tuple[str, int, int], timestamp: int | None, key: bytes | None, value: bytes | None, headers: Headers
) -> Letter:
    """The letter that stands at a topic, partition and offset; see `read`."""
    reading = _Reading(dict(headers))
    dialect = next((one for one, words in _WORDS.items() if reading.headers.get(words.topic)), "")
    words = _WORDS.get(dialect) or _WORDS["kafkaboot"]
    original = Original(
        reading.text(words.topic) or None,
        reading.number(words.partition, binary=words.binary, size=4),
        reading.number(words.offset, binary=words.binary, size=8),
        reading.number(words.timestamp, binary=words.binary, size=8),
    )
    if not dialect:
        reading.doubts.append("no header says which topic it came from")
    exception, message, trace = (reading.first(several) for several in (words.exception, words.message, words.trace))
    if exception == _WRAPPER:
        exception = reading.text(foreign.SPRING_CAUSE) or exception
    handler = reading.text(names.KB_HANDLER)
    redrives = reading.number(names.KB_REDRIVES)
    return Letter(
        *at,
        timestamp,
        original,
        dialect,
        reading.text(words.group),
        handler,
        reading.number(names.KB_ATTEMPTS),
        reading.time(names.KB_FIRST_FAILED_AT),
        reading.time(names.KB_LAST_FAILED_AT),
        exception,
        message,
        trace,
        reading.text(names.KB_FINGERPRINT) or shape_fingerprint(exception, handler, message),
        redrives or 0,
        key,
        value,
        headers,
        tuple(reading.doubts),
    )


class _Words(NamedTuple):
    """How a dialect calls what we read of it."""

    topic: str
    partition: str
    offset: str
    timestamp: str
    group: str
    exception: tuple[str, ...]
    message: tuple[str, ...]
    trace: tuple[str, ...]
    binary: bool


_WORDS = {
    "kafkaboot": _Words(
        names.KB_ORIGINAL_TOPIC,
        names.KB_ORIGINAL_PARTITION,
        names.KB_ORIGINAL_OFFSET,
        names.KB_ORIGINAL_TIMESTAMP,
        names.KB_GROUP,
        (names.KB_EXCEPTION,),
        (names.KB_MESSAGE,),
        (names.KB_TRACEBACK,),
        binary=False,
    ),
    "spring": _Words(
        foreign.SPRING_ORIGINAL_TOPIC,
        foreign.SPRING_ORIGINAL_PARTITION,
        foreign.SPRING_ORIGINAL_OFFSET,
        foreign.SPRING_ORIGINAL_TIMESTAMP,
        foreign.SPRING_GROUP,
        (foreign.SPRING_EXCEPTION, foreign.SPRING_KEY_EXCEPTION),
        (foreign.SPRING_MESSAGE, foreign.SPRING_KEY_MESSAGE),
        (foreign.SPRING_TRACEBACK, foreign.SPRING_KEY_TRACEBACK),
        binary=True,
    ),
    "smallrye": _Words(
        foreign.SMALLRYE_TOPIC,
        foreign.SMALLRYE_PARTITION,
        foreign.SMALLRYE_OFFSET,
        "",
        "",
        (foreign.SMALLRYE_EXCEPTION,),
        (foreign.SMALLRYE_REASON,),
        (),
        binary=False,
    ),
    "spring-cloud-stream": _Words(
        foreign.STREAM_TOPIC,
        foreign.STREAM_PARTITION,
        foreign.STREAM_OFFSET,
        foreign.STREAM_TIMESTAMP,
        "",
        (foreign.STREAM_EXCEPTION,),
        (foreign.STREAM_MESSAGE,),
        (foreign.STREAM_TRACEBACK,),
        binary=True,
    ),
}
_FOREIGN = {
    "smallrye": foreign.SMALLRYE_FAILURE_HEADERS,
    "spring-cloud-stream": foreign.STREAM_FAILURE_HEADERS,
}


class _Reading:
    """Reads headers one by one, and notes what cannot be read."""

    def __init__(self, headers: Mapping[str, bytes | None]) -> None:
        self.headers = headers
        self.doubts: list[str] = []

    def first(self, several: tuple[str, ...]) -> str:
        """The text of the first of these headers that is there."""
        return next((self.text(name) for name in several if name in self.headers), "")

    def text(self, name: str) -> str:
        value = self.headers.get(name)
        if value is None:
            return ""
        try:
            return value.decode()
        except UnicodeDecodeError:
            self._doubt(name, "UTF-8 text", value)
            return value.decode("utf-8", "replace")

    def number(self, name: str, *, binary: bool = False, size: int = 0) -> int | None:
        """A whole number that is not negative; big-endian of `size` bytes where it is binary, else its digits.

        Digits are taken in place of a binary number as well: as one they would be beyond any partition or offset.
        """
        value = self.headers.get(name)
        if value is None:
            return None
        found = digits(value)
        if found is not None:
            return found
        if binary and len(value) == size:
            packed: int = struct.unpack(">i" if size == 4 else ">q", value)[0]
            if packed >= 0:
                return packed
            if packed == -1:  # Java's way to say that there is none
                return None
        self._doubt(name, f"a number of {size} bytes" if binary else "a whole number", value)
        return None

    def time(self, name: str) -> datetime | None:
        text = self.text(name)
        if not text:
            return None
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            self._doubt(name, "a time in ISO 8601", self.headers.get(name) or b"")
            return None
        try:
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except OverflowError:
            self._doubt(name, "a time in ISO 8601", self.headers.get(name) or b"")
            return None

    def _doubt(self, name: str, wanted: str, value: bytes) -> None:
        shown = repr(value[:SHOWN]) + ("..." if len(value) > SHOWN else "")
        self.doubts.append(f"header {name} cannot be read as {wanted}: {shown}")
