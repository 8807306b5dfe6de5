"""Which record is being handled here and now, for whoever publishes meanwhile: its ids are carried on.

A crew says once, for each of its workers, how to find the record that the worker is at. Nothing is written down for a
record: it is looked up when something is published.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

from kafkaboot.message.headers import CE_ID, KB_CAUSATION_ID, KB_CORRELATION_ID
from kafkaboot.message.record import place

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.message.record import Headers, RawRecord

HANDLING: ContextVar[Callable[[], RawRecord | None] | None] = ContextVar("kafkaboot_handling", default=None)
"""Answers the record that this task's, or thread's, handler is at; `None` outside of handlers of single records."""


def carried() -> Headers | None:
    """The ids that a record carries which is published now; `None` outside of a handler."""
    look = HANDLING.get()
    record = None if look is None else look()
    return None if record is None else carried_from(record)


def correlation_of(record: RawRecord) -> str:
    """The correlation id of a record, and of what is published from it."""
    return (carried_from(record)[0][1] or b"").decode("utf-8", "replace")


def carried_from(record: RawRecord) -> Headers:
    """The ids that a record carries which `record` is the cause of.

    The cause is its event's id, or its place in its topic where it has none. The correlation is its own; where it has
    none, it is the first of its kind, and its cause stands for both.
    """
    correlation: bytes | None = None
    cause: bytes | None = None
    for name, value in record.headers() or ():
        if name == KB_CORRELATION_ID:
            correlation = value
        elif name == CE_ID:
            cause = value
    if cause is None:
        cause = place(record.topic(), record.partition(), record.offset()).encode()
    return [(KB_CORRELATION_ID, correlation or cause), (KB_CAUSATION_ID, cause)]
