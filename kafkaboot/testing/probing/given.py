"""The records that a probe is given, and what is to be said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.client.memory import MemoryRecord
from kafkaboot.failure.letter import read
from kafkaboot.message import Record, event_type, place, reply_to
from kafkaboot.message.headers import KB_REPLY_TOPIC

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kafkaboot.boot.pipeline import Handler
    from kafkaboot.failure.letter import Letter
    from kafkaboot.message import RawRecord


ASKER = "the-asker"
"""Where an answer goes to a record that names no place for it: it would be dropped, and a probe is to show it."""


def request_of(record: Record) -> RawRecord:
    """The same for a handler with `reply=True`: with a place for its answer."""
    if reply_to(record.headers) is not None:
        return raw_of(record)
    headers = [*record.headers, (KB_REPLY_TOPIC, ASKER.encode())]
    return raw_of(Record(
        record.topic, record.partition, record.offset,
        key=record.key, value=record.value, headers=headers, timestamp=record.timestamp,
    ))  # fmt: skip


def raw_of(record: Record) -> RawRecord:
    """The record as it would come off the wire."""
    return MemoryRecord(
        record.topic,
        record.partition,
        record.offset,
        record.value,
        record.key,
        record.headers,
        record.timestamp or 0,
    )


def original(record: Record) -> tuple[Record, Letter | None]:
    """The record that a dead letter was, and the letter; any other record as it is, and `None`.

    A record in a retry topic says as much of itself as a dead letter, and is taken for one.
    """
    letter = read(raw_of(record))
    was = letter.original
    if not letter.dialect or was.topic is None:
        return record, None
    return (
        Record(
            was.topic,
            was.partition or 0,
            was.offset or 0,
            key=letter.key,
            value=letter.value,
            headers=letter.original_headers(),
            timestamp=was.timestamp if was.timestamp is not None else letter.timestamp,
        ),
        letter,
    )


def doubts(handlers: Sequence[Handler], handler: Handler, record: Record) -> Iterator[str]:
    """Why the application would not give this record to this handler: its topic, its type."""
    where = place(record.topic, record.partition, record.offset)
    peers = [one for one in handlers if one.group == handler.group and one.spec.takes(record.topic)]
    name = handler.spec.id
    if handler not in peers:
        wanted = handler.spec.pattern or ", ".join(handler.spec.topics)
        yield f"{where} would not come to {name}, which takes {wanted}"
        return
    kind = event_type(record.headers)
    by_type = {one.type: one for one in peers}
    if kind is None and len(peers) == 1:
        return
    takes = by_type.get(kind) or by_type.get(None)
    if takes is not handler:
        goes = f"goes to {takes.spec.id}" if takes is not None else "is settled unhandled"
        yield f"{where} of type {kind or '(none)'} would not come to {name}, which takes {handler.type}: it {goes}"
