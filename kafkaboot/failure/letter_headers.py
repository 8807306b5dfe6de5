"""What is written on a dead letter: the record's own headers as they were, and what became of it."""

from __future__ import annotations

import struct
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from kafkaboot.failure.meaning import dotted
from kafkaboot.message import foreign_headers as foreign
from kafkaboot.message import headers as names
from kafkaboot.topics import naming

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kafkaboot.consumer import Failed
    from kafkaboot.message import Headers, RawRecord

Dialect = Literal["kafkaboot", "spring"]

REPLACED = names.FAILURE_HEADERS | foreign.SPRING_FAILURE_HEADERS
"""Headers of an earlier failure, in either dialect that is written: they are replaced, never appended."""
TRACEBACKS = frozenset({names.KB_TRACEBACK, foreign.SPRING_TRACEBACK})
MESSAGES = frozenset({names.KB_MESSAGE, foreign.SPRING_MESSAGE})

_TIMESTAMP_TYPES = ("NoTimestampType", "CreateTime", "LogAppendTime")
"""How Java's `TimestampType` calls them, by the number that the client gives."""

_DIGITS = 19
"""Digits of the largest offset."""


class Origin(NamedTuple):
    """Where a record stood first, and what earlier rounds say of it.

    Attributes:
        timestamp: Milliseconds since the epoch, or `None`.
        timestamp_type: 0 for none, 1 when it was created, 2 when it was appended.
        attempts: Attempts before it came to the topic that it stands in now.
        first_failed: ISO 8601, or empty.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int | None
    timestamp_type: int = 1
    attempts: int = 0
    first_failed: str = ""


def origin_of(record: RawRecord, group: str, retry_pattern: str = naming.RETRY) -> Origin:
    """Where the record stood before it went through retry topics; where it stands, if it did not.

    What its headers say is believed only in a retry topic of this very group: anybody may write headers, and a forged
    one must not choose the topic of a dead letter.
    """
    kind, stamp = record.timestamp()
    here = Origin(record.topic(), record.partition(), record.offset(), stamp if kind else None, kind)
    said = {name: value for name, value in record.headers() or () if name in names.FAILURE_HEADERS and value}
    try:
        topic = said[names.KB_ORIGINAL_TOPIC].decode()
    except (KeyError, ValueError):
        return here
    partition, offset, first, attempts = (
        digits(said.get(name, b""))
        for name in (
            names.KB_ORIGINAL_PARTITION,
            names.KB_ORIGINAL_OFFSET,
            names.KB_ORIGINAL_TIMESTAMP,
            names.KB_ATTEMPTS,
        )
    )
    if partition is None or partition >= 2**31 or offset is None:
        return here
    if not naming.is_retry(here.topic, topic, group, retry_pattern):
        return here
    # One that followed an earlier record of its key there has not failed at all.
    first_failed = "" if attempts == 0 else said.get(names.KB_FIRST_FAILED_AT, b"").decode("utf-8", "replace")
    return Origin(topic, partition, offset, first, 0 if first is None else 1, attempts or 0, first_failed)


def first_failure(origin: Origin, failed: Failed) -> float:
    """When a record failed for the first time, in seconds since the epoch: before its retry topics, if it was there."""
    try:
        return datetime.fromisoformat(origin.first_failed).timestamp()
    except (ValueError, OverflowError):
        return failed.since


def headers_of(
    failed: Failed,
    *,
    handler: str,
    group: str,
    fingerprint: str,
    now: float,
    dialect: Dialect = "kafkaboot",
    traceback_size: int = 8192,
    retry_pattern: str = naming.RETRY,
) -> Headers:
    """The headers of a failed record's letter.

    The record's own headers stand first, byte for byte and in their order; those of an earlier failure are replaced.

    Args:
        failed: The record and what was raised.
        handler: The handler's id.
        group: Its consumer group.
        fingerprint: See `fingerprint`.
        now: When it failed for the last time, in seconds since the epoch.
        dialect: `kafkaboot`: the `kb-` headers, all text. `spring`: Spring Kafka's names and binary forms, and those
            of ours that have no counterpart there.
        traceback_size: Bytes of the traceback at most; its end is kept.
        retry_pattern: How retry topics are named.
    """
    origin = origin_of(failed.record, group, retry_pattern)
    error = failed.error
    message, trace = _bytes(message_of(error)), cut_start(_bytes(_traceback(error)), traceback_size)
    kept = [(name, value) for name, value in failed.record.headers() or () if name not in REPLACED]
    own = [
        (names.KB_HANDLER, _bytes(handler)),
        (names.KB_ATTEMPTS, _bytes(str(origin.attempts + failed.attempt))),
        (names.KB_FIRST_FAILED_AT, _bytes(origin.first_failed or iso(failed.since))),
        (names.KB_LAST_FAILED_AT, _bytes(iso(now))),
        (names.KB_FINGERPRINT, _bytes(fingerprint)),
    ]
    if dialect == "spring":
        return [*kept, *own, *_spring(origin, error, group, message, trace)]
    stamped = [] if origin.timestamp is None else [(names.KB_ORIGINAL_TIMESTAMP, _bytes(str(origin.timestamp)))]
    return [
        *kept,
        (names.KB_ORIGINAL_TOPIC, _bytes(origin.topic)),
        (names.KB_ORIGINAL_PARTITION, _bytes(str(origin.partition))),
        (names.KB_ORIGINAL_OFFSET, _bytes(str(origin.offset))),
        *stamped,
        (names.KB_GROUP, _bytes(group)),
        *own,
        (names.KB_EXCEPTION, _bytes(dotted(type(error)))),
        (names.KB_MESSAGE, message),
        (names.KB_TRACEBACK, trace),
    ]


def _spring(origin: Origin, error: BaseException, group: str, message: bytes, trace: bytes) -> Headers:
    cause = error.__cause__
    caused: Headers = [] if cause is None else [(foreign.SPRING_CAUSE, _bytes(dotted(type(cause))))]
    stamp = -1 if origin.timestamp is None else origin.timestamp  # as Java's client gives a record without one
    return [
        (foreign.SPRING_EXCEPTION, _bytes(dotted(type(error)))),
        *caused,
        (foreign.SPRING_MESSAGE, message),
        (foreign.SPRING_TRACEBACK, trace),
        (foreign.SPRING_ORIGINAL_TOPIC, _bytes(origin.topic)),
        (foreign.SPRING_ORIGINAL_PARTITION, struct.pack(">i", origin.partition)),
        (foreign.SPRING_ORIGINAL_OFFSET, struct.pack(">q", origin.offset)),
        (foreign.SPRING_ORIGINAL_TIMESTAMP, struct.pack(">q", stamp)),
        (foreign.SPRING_ORIGINAL_TIMESTAMP_TYPE, _bytes(_TIMESTAMP_TYPES[origin.timestamp_type])),
        (foreign.SPRING_GROUP, _bytes(group)),
    ]


def without(headers: Headers, dropped: Iterable[str]) -> Headers:
    """The headers without those of these names."""
    gone = frozenset(dropped)
    return [(name, value) for name, value in headers if name not in gone]


def with_short_messages(headers: Headers, size: int) -> Headers:
    """The headers with a message of `size` bytes at most."""
    return [(name, cut_end(value, size) if name in MESSAGES and value else value) for name, value in headers]


def digits(text: bytes) -> int | None:
    """The number that a text is, as long as Kafka could mean it; `None` for anything else."""
    number = int(text) if text.isdigit() and len(text) <= _DIGITS else None
    return number if number is None or number < 2**63 else None


def cut_start(text: bytes, size: int) -> bytes:
    """The last `size` bytes of a UTF-8 text at most, beginning with a whole character."""
    if len(text) <= size:
        return text
    start = len(text) - size
    while start < len(text) and text[start] & 0xC0 == 0x80:
        start += 1
    return text[start:]


def cut_end(text: bytes, size: int) -> bytes:
    """The first `size` bytes of a UTF-8 text at most, ending with a whole character."""
    if len(text) <= size:
        return text
    end = size
    while end and text[end] & 0xC0 == 0x80:
        end -= 1
    return text[:end]


def message_of(error: BaseException) -> str:
    """What an exception says; one that cannot even say it is named."""
    try:
        return str(error)
    except Exception as broken:
        return f"<{type(error).__name__} cannot be shown: {type(broken).__name__}>"


def _traceback(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


def iso(seconds: float) -> str:
    """A time as it stands in headers: ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _bytes(text: str) -> bytes:
    # A lone surrogate in a message is no reason to lose the letter.
    return text.encode("utf-8", "backslashreplace")
