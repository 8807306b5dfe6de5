"""Who handles the lanes of one handler, at most `concurrency` at once. What both kinds of crew share stands here."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Protocol

from kafkaboot.errors import KafkabootError
from kafkaboot.message import explain, place

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from kafkaboot.consumer.backpressure import Gate
    from kafkaboot.consumer.batches import BatchRun
    from kafkaboot.consumer.lanes import Lane, Lanes
    from kafkaboot.consumer.offsets import Assignment, Chunk
    from kafkaboot.consumer.route import Route
    from kafkaboot.message import RawRecord

log = logging.getLogger("kafkaboot.consumer")

ROOM = 0.005
"""Seconds between two looks at a full producer buffer."""
ROW = 64
"""Records that are settled together, while handlers are quick; a commit settles what is handled of a row at work."""
QUICK = 0.001
"""Seconds that such a row may take; when it takes longer, each record is settled alone."""


class Surroundings(Protocol):
    """What a crew tells its group, from any thread."""

    def undelivered(self, assignment: Assignment, error: object) -> None:
        """An output of a record was not delivered: what was taken from its partition is to be handled again."""

    def overheard(self, route: Route, where: str, error: BaseException, attempt: int, delay: float) -> None:
        """A handler raised."""

    def crashed(self, error: BaseException) -> None:
        """A worker died of something that is no ordinary exception: the application must end."""


class Crew(ABC):
    """What both crews share: the way of a failed record, and the way of a returned value."""

    def __init__(self, route: Route, loop: asyncio.AbstractEventLoop, group: Surroundings, gate: Gate) -> None:
        self.route = route
        self._at: dict[int, Lane] = {}
        self._row = 1
        self._loop = loop
        self._group = group
        self._gate = gate

    @abstractmethod
    def hand(self, lanes: Lanes, chunk: Chunk, todo: Sequence[int]) -> None:
        """Take over records: `LoopCrew` on the event loop, `ThreadCrew` on the poller's thread."""

    @abstractmethod
    def cancel(self) -> None:
        """Stop what can be stopped; on the event loop."""

    def at_work(self) -> list[Lane]:
        """The lanes that a worker is in at this moment; from any thread."""
        return list(self._at.values())

    def _row_took(self, seconds: float) -> None:
        """Learn how many records may be settled together."""
        if seconds > QUICK:
            self._row = 1
        elif self._row < ROW:
            self._row *= 2

    def _acked(self, chunk: Chunk, i: int, error: object | None, _record: Any) -> None:
        """An output's delivery report, on the producer's thread."""
        if error is None:
            chunk.done[i] = 1
        else:
            chunk.assignment.refused.append(1)
            self._group.undelivered(chunk.assignment, error)

    def _batch_acked(self, run: BatchRun, error: object | None, _record: Any) -> None:
        if error is None:
            run.settle()
        else:
            run.assignment.refused.append(len(run.records))
            self._group.undelivered(run.assignment, error)

    def _understood(self, record: RawRecord, error: BaseException) -> BaseException:
        """The error in words where it was the decoder's: the same bytes fail again, a handler's own error does not."""
        plain = self.route.plain
        if plain is None or isinstance(error, KafkabootError):
            return error
        try:
            plain.decode(record.value())
        except Exception as again:
            return explain(again, plain.annotation, record.value())
        return error

    def _explain(self, lane: Lane, error: BaseException, delay: float) -> None:
        """Say what happened, once, off the success path; it is tried again in `delay` seconds."""
        route = self.route
        chunk, todo = lane.pieces[0]
        record = chunk.records[todo[0]]
        where = place(record.topic(), record.partition(), record.offset())
        fate = (
            f"the record is kept and tried again in {delay:.1f} s (attempt {lane.attempt} failed); records behind it "
            "in its lane wait, and its offset is not committed"
        )
        if isinstance(error, KafkabootError):
            advice = f"; to do: {error.todo}" if error.todo else ""
            log.error("%s: %s: %s; %s%s", route.id, where, error.what, fate, advice)
        else:
            log.error("%s: %s: %s: %s; %s", route.id, where, type(error).__name__, error, fate, exc_info=error)
        self._group.overheard(route, where, error, lane.attempt, delay)
