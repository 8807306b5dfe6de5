"""Who is handling here and now, and which record, for whoever publishes meanwhile: its ids are carried on.

A crew says once, for each of its tasks or threads, who that is, and then only in which lane it is at work. Nothing is
written down for a record: it is looked up when something is published.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from kafkaboot.message.headers import CE_ID, KB_CAUSATION_ID, KB_CORRELATION_ID
from kafkaboot.message.record import place

if TYPE_CHECKING:
    from kafkaboot.message.record import Headers, RawRecord


class AtWork(Protocol):
    """Records that follow each other: the engine's lane."""

    def handled(self) -> RawRecord | None:
        """The record that was begun last."""


class Worker:
    """Whoever handles records, as long as it lives: a task or a thread.

    Args:
        singly: Whether its handler takes one record at a time: only then is one of them the cause of what it publishes.
        transacting: Its group's transactions; `None` where it has none.

    Attributes:
        lane: Where it is at work.
    """

    __slots__ = ("_known", "_singly", "lane", "transacting")

    def __init__(self, *, singly: bool = True, transacting: Any = None) -> None:
        self._singly, self.transacting = singly, transacting
        self.lane: Any = None
        self._known: tuple[RawRecord, Headers] | None = None

    def ids(self) -> Headers | None:
        """The ids that a record carries which is published now; `None` where no record is its cause."""
        lane: AtWork | None = self.lane
        record = lane.handled() if self._singly and lane is not None else None
        if record is None:
            return None
        known = self._known
        if known is None or known[0] is not record:
            known = self._known = record, carried_from(record)
        return known[1]


HANDLING: ContextVar[Worker | None] = ContextVar("kafkaboot_handling", default=None)
"""Who is at work in this task or thread; `None` outside of handlers."""


def carried() -> Headers | None:
    """The ids that a record carries which is published now; `None` outside of a handler of single records."""
    worker = HANDLING.get()
    return None if worker is None else worker.ids()


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
