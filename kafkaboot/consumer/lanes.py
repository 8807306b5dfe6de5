"""Lanes: the records of one handler on one partition that must follow each other.

By partition there is one lane, by key one for each key, unordered one for each record. A lane is handled by at most
one worker at a time; a record that must wait, waits in its lane and holds up nobody else.
"""

from __future__ import annotations

from operator import length_hint
from time import time
from typing import TYPE_CHECKING

from kafkaboot.consumer.commit_note import Attempts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kafkaboot.consumer.offsets import Assignment, Chunk
    from kafkaboot.consumer.route import Route
    from kafkaboot.message import RawRecord

    Piece = tuple[Chunk, Sequence[int]]
    """Some records of one chunk, waiting in a lane."""
    Row = tuple[Chunk, int, int, Iterator[RawRecord]]


class Lane:
    """Records that follow each other.

    Attributes:
        pieces: What waits, in order; the first one is being handled.
        busy: Whether a worker, a queue or a timer has it.
        attempt: The failures of its first record; 0 while all goes well.
        since: When its first record failed for the first time, in seconds since the epoch.
        at: The record of the first piece that was begun last.
        row: Instead of `at`, where records are settled a row at a time: the chunk, first and behind the last, and the
            iterator that says how many are not begun. Written in one store: other threads look at it.
        limit: For a batch handler, the largest batch now.
    """

    __slots__ = ("at", "attempt", "busy", "key", "lanes", "limit", "pieces", "row", "since")

    def __init__(self, lanes: Lanes, key: bytes | None, pieces: list[Piece]) -> None:
        self.lanes = lanes
        self.key = key
        self.pieces = pieces
        self.busy = True
        self.attempt = 0
        self.since = 0.0
        self.at = -1
        self.row: Row | None = None
        self.limit = lanes.route.batch

    def begun(self) -> int:
        """The index of the record that was begun last; -1 before the first."""
        if self.row is None:
            return self.at
        _, _, stop, rest = self.row
        return stop - length_hint(rest) - 1

    def handled(self) -> RawRecord | None:
        """The record that was begun last; `None` between two pieces, where only what a handler left behind asks."""
        at = self.begun()
        try:
            chunk = self.row[0] if self.row is not None else self.pieces[0][0]
            return chunk.records[at] if at >= 0 else None
        except IndexError:
            return None

    def settle_row(self) -> None:
        """Settle what is handled of the row that is at work: what was begun before the last; from any thread."""
        row = self.row
        if row is not None:
            chunk, start, stop, rest = row
            chunk.settle(start, max(start, stop - length_hint(rest) - 1))


class Lanes:
    """All lanes of one handler on one partition, for one assignment.

    `handed` is written by the poller, everything else by the handler's crew. `running` counts workers that are in
    these lanes: a worker counts itself before it looks at `open`, so that a partition is quiet once it is
    not live and nobody is counted. `away` counts records on their way to another topic. While the lanes are not
    `open`, nobody begins a record: the partition is being given back, or an operator has paused it or the handler.
    """

    __slots__ = ("_by_key", "_lane", "assignment", "away", "failing", "finished", "handed", "open", "route", "running")

    def __init__(self, route: Route, assignment: Assignment) -> None:
        self.route = route
        self.assignment = assignment
        self.handed = 0
        self.finished = 0
        self.running = 0
        self.failing: set[Lane] = set()
        self.away = 0
        self._by_key: dict[bytes | None, Lane] = {}
        self._lane = Lane(self, None, [])
        self._lane.busy = False
        self.open = assignment.live and not assignment.closing and self.wanted()
        assignment.lanes.append(self)

    def wanted(self) -> bool:
        """Whether no operator has paused the handler or the partition."""
        return not (self.route.paused or self.assignment.held)

    def add(self, chunk: Chunk, todo: Sequence[int]) -> list[Lane]:
        """Put records into their lanes; answers the lanes that now have work and no worker."""
        of = self.assignment
        if not (of.attempts or of.narrow or of.judged):
            return self._added(chunk, todo)
        ready: list[Lane] = []
        start = 0
        for at, i in enumerate(todo):
            if at and of.foretold(chunk.records[i].offset()):  # such a record is the first of its piece
                ready += self._added(chunk, todo[start:at])
                start = at
        return self._remember([*ready, *self._added(chunk, todo[start:])])

    def _added(self, chunk: Chunk, todo: Sequence[int]) -> list[Lane]:
        ordering = self.route.ordering
        if ordering == "partition":
            lane = self._lane
            lane.pieces.append((chunk, todo))
            if lane.busy:
                return []
            lane.busy = True
            return [lane]
        if ordering == "unordered":
            return [Lane(self, None, [(chunk, (i,))]) for i in todo]
        return self._add_by_key(chunk, todo)

    def _add_by_key(self, chunk: Chunk, todo: Sequence[int]) -> list[Lane]:
        """Records without a key share one lane. A lane is known by its key only while it is busy."""
        records, by_key = chunk.records, self._by_key
        groups: dict[bytes | None, list[int]] = {}
        ready = []
        for i in todo:
            key = records[i].key()
            group = groups.get(key)
            if group is not None:
                group.append(i)
                continue
            groups[key] = group = [i]
            lane = by_key.get(key)
            if lane is None:
                by_key[key] = lane = Lane(self, key, [(chunk, group)])
                ready.append(lane)
            else:
                lane.pieces.append((chunk, group))
        return ready

    def piece_done(self, lane: Lane) -> bool:
        """The lane's first piece is handled; answers whether the lane has more to do."""
        pieces = lane.pieces
        handled = len(pieces.pop(0)[1])
        self.finished += handled
        self.route.counters.settled += handled
        if pieces:
            if (of := self.assignment).attempts or of.narrow or of.judged:
                self._remember([lane])
            return True
        lane.busy = False
        if self.route.ordering == "key":
            del self._by_key[lane.key]
        return False

    def head_done(self, lane: Lane, count: int) -> None:
        """The first `count` records of the lane's first piece are handled, the others are not."""
        if count:
            chunk, todo = lane.pieces[0]
            lane.pieces[0] = (chunk, todo[count:])
            self.finished += count
            self.route.counters.settled += count

    def proceed(self, lane: Lane) -> bool:
        """The lane's first record was handled after all; answers whether the lane has more to do."""
        self.recovered(lane)
        if len(lane.pieces[0][1]) == 1:
            return self.piece_done(lane)
        self.head_done(lane, 1)
        return True

    def failed(self, lane: Lane) -> None:
        """The lane's first record failed once more."""
        lane.attempt += 1
        if lane.attempt == 1:
            lane.since = time()
            self._fails(lane)

    def uncounted(self, lane: Lane, delay: float) -> None:
        """The last failure was no attempt, as its handler was not to be called; nor is the wait until the next one."""
        lane.since += delay
        if lane.attempt == 1:
            self.recovered(lane)
        else:
            lane.attempt -= 1

    def retrying(self) -> None:
        """A failed record is tried once more."""
        self.route.counters.retried += 1

    def recovered(self, lane: Lane) -> None:
        """The lane's first record was handled after it had failed."""
        lane.attempt = 0
        if lane in self.failing:  # it is not when the partition went while the record was tried once more
            self.failing.discard(lane)
            self.route.counters.failed -= 1

    def attempts(self) -> list[tuple[int, Attempts]]:
        """Records that have failed so far, by offset; from any thread."""
        found = []
        for lane in list(self.failing):
            try:
                chunk, todo = lane.pieces[0]
                found.append((chunk.records[todo[0]].offset(), Attempts(lane.attempt, lane.since)))
            except IndexError:
                continue  # it was settled this moment
        return found

    def _fails(self, lane: Lane) -> None:
        self.route.counters.failed += 1
        self.failing.add(lane)

    def _remember(self, lanes: list[Lane]) -> list[Lane]:
        """Count on where a record that has failed before stands at the head of its lane."""
        of = self.assignment
        for lane in lanes:
            chunk, todo = lane.pieces[0]
            offset = chunk.records[todo[0]].offset()
            lane.limit = of.narrow.get(offset, lane.limit)
            before = of.attempts.pop(offset, None)
            judged = of.judged.get(offset)
            if judged is not None and (before is None or before.times < judged.failed.attempt):
                before = Attempts(max(judged.failed.attempt, 1), judged.failed.since)
            if before is not None:
                lane.attempt, lane.since = before.times, before.since or time()
                self._fails(lane)
        return lanes

    def settle_row(self) -> None:
        """Before a commit: only a partition's one lane is settled by rows."""
        self._lane.settle_row()

    def pending(self) -> int:
        """Records handed over and not handled."""
        return self.handed - self.finished
