"""One call of a batch handler: which records it took, and what becomes of them.

One bad record does not punish its neighbours: the handler says which one failed (`BatchFailed`), or the batch is
halved until the bad record is alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.errors import BatchFailed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.consumer.lanes import Lane
    from kafkaboot.consumer.offsets import Chunk
    from kafkaboot.consumer.route import Route
    from kafkaboot.message import RawRecord


class NotBegun(BatchFailed):
    """A record of the batch cannot be handled now: the handler was not called, so that nothing before it is settled."""


class BatchRun:
    """The first records of a lane, up to the lane's limit, across its pieces."""

    __slots__ = ("_spans", "assignment", "lane", "live", "records", "route")

    def __init__(self, lane: Lane, route: Route) -> None:
        self.lane = lane
        self.route = route
        self.records: list[RawRecord] = []
        self._spans: list[tuple[Chunk, Sequence[int]]] = []
        self.assignment = lane.pieces[0][0].assignment
        self.live = lane.lanes.open
        if self.live and lane.attempt:
            lane.lanes.retrying()
        left = lane.limit
        lane.at, lane.row = lane.pieces[0][1][0], None
        for chunk, whole in lane.pieces:
            if self.records and self.assignment.foretold(chunk.records[whole[0]].offset()):
                break
            todo = whole[:left]
            self._spans.append((chunk, todo))
            records = chunk.records
            if isinstance(todo, range):
                self.records += records[todo.start : todo.stop]
            else:
                self.records += [records[i] for i in todo]
            left -= len(todo)
            if not left:
                break

    def first(self) -> tuple[Chunk, int]:
        """The place of the first record."""
        chunk, todo = self._spans[0]
        return chunk, todo[0]

    def settle(self, count: int | None = None) -> None:
        """Mark the first `count` records (all of them by default) as settled."""
        left = len(self.records) if count is None else count
        parts = []
        for chunk, todo in self._spans:
            parts.append((chunk, todo[:left]))
            left -= len(parts[-1][1])
        # From behind: a batch is settled when its first record is, for whoever looks at that one meanwhile.
        for chunk, todo in reversed(parts):
            if isinstance(todo, range):
                chunk.settle(todo.start, todo.stop)
            else:
                for i in reversed(todo):
                    chunk.done[i] = 1

    def proceed(self) -> bool:
        """All were handled: move the lane on; answers whether it has more to do."""
        lane = self.lane
        if lane.attempt:
            lane.lanes.recovered(lane)
        lane.limit = min(self.route.batch, lane.limit * 2)
        return self._move(len(self.records))

    def failed(self, error: BaseException) -> BaseException | None:
        """The call raised. Answers the cause when the failed record is alone and must wait, else None: go on."""
        lane, size = self.lane, len(self.records)
        if isinstance(error, NotBegun) and error.index:
            lane.limit = error.index  # those before it first, without it
            return None
        if isinstance(error, BatchFailed) and 0 <= error.index < size:
            if error.index:
                if lane.attempt:
                    lane.lanes.recovered(lane)
                self.settle(error.index)
                self._move(error.index)
            lane.limit = 1
            return error.cause
        if size == 1:
            return error
        lane.limit = (size + 1) // 2
        return None

    def _move(self, count: int) -> bool:
        lane, lanes = self.lane, self.lane.lanes
        more = True
        while more and count >= len(lane.pieces[0][1]):
            count -= len(lane.pieces[0][1])
            more = lanes.piece_done(lane)
        lanes.head_done(lane, count)
        return more
