"""Lanes: the records of one handler on one partition that must follow each other.

By partition there is one lane, by key one for each key, unordered one for each record. A lane is handled by at most
one worker at a time; a record that must wait, waits in its lane and holds up nobody else.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.consumer.offsets import Assignment, Chunk
    from kafkaboot.consumer.route import Route


class Piece:
    """Some records of one chunk, waiting in a lane. `at` is the one that was begun last."""

    __slots__ = ("at", "chunk", "todo")

    def __init__(self, chunk: Chunk, todo: Sequence[int]) -> None:
        self.chunk = chunk
        self.todo = todo
        self.at = -1


class Lane:
    """Records that follow each other. `attempt` counts the failures of the first one; 0 while all goes well."""

    __slots__ = ("attempt", "busy", "key", "lanes", "limit", "pieces")

    def __init__(self, lanes: Lanes, key: bytes | None = None) -> None:
        self.lanes = lanes
        self.key = key
        self.pieces: deque[Piece] = deque()
        self.busy = False
        self.attempt = 0
        self.limit = lanes.route.batch

    def place(self) -> tuple[int, int]:
        """What identifies the call that is running: the chunk and the record begun last, with its attempt."""
        if not self.pieces:
            return (0, 0)
        piece = self.pieces[0]
        return id(piece.chunk) ^ self.attempt, piece.at


class Lanes:
    """All lanes of one handler on one partition, for one assignment.

    `handed` is written by the poller, everything else by the handler's crew. `running` counts workers that are in
    one of these lanes: a worker counts itself before it looks at `assignment.live`, so that a partition is quiet
    once it is not live and nobody is counted.
    """

    __slots__ = ("_by_key", "_lane", "assignment", "failing", "finished", "handed", "route", "running")

    def __init__(self, route: Route, assignment: Assignment) -> None:
        self.route = route
        self.assignment = assignment
        self.handed = 0
        self.finished = 0
        self.running = 0
        self.failing = 0
        self._by_key: dict[bytes | None, Lane] = {}
        self._lane = Lane(self)

    def add(self, chunk: Chunk, todo: Sequence[int]) -> list[Lane]:
        """Put records into their lanes; answers the lanes that now have work and no worker."""
        ordering = self.route.ordering
        if ordering == "partition":
            lane = self._lane
            lane.pieces.append(Piece(chunk, todo))
            if lane.busy:
                return []
            lane.busy = True
            return [lane]
        if ordering == "unordered":
            return [self._single(chunk, i) for i in todo]
        return self._add_by_key(chunk, todo)

    def _single(self, chunk: Chunk, i: int) -> Lane:
        lane = Lane(self)
        lane.busy = True
        lane.pieces.append(Piece(chunk, (i,)))
        return lane

    def _add_by_key(self, chunk: Chunk, todo: Sequence[int]) -> list[Lane]:
        records = chunk.records
        groups: dict[bytes | None, list[int]] = {}
        for i in todo:
            key = records[i].key()
            group = groups.get(key)
            if group is None:
                groups[key] = [i]
            else:
                group.append(i)
        ready = []
        by_key = self._by_key
        for key, group in groups.items():
            lane = by_key.get(key)
            if lane is None:
                lane = by_key[key] = Lane(self, key)
            lane.pieces.append(Piece(chunk, group))
            if not lane.busy:
                lane.busy = True
                ready.append(lane)
        return ready

    def pieces_done(self, lane: Lane, count: int) -> bool:
        """The first `count` pieces of the lane are handled; answers whether the lane has more to do."""
        pieces = lane.pieces
        for _ in range(count):
            handled = len(pieces.popleft().todo)
            self.finished += handled
            self.route.counters.handled += handled
        if pieces:
            return True
        lane.busy = False
        if self.route.ordering == "key":
            self._by_key.pop(lane.key, None)
        return False

    def head_done(self, lane: Lane, count: int) -> None:
        """The first `count` records of the lane's first piece are handled, the others are not."""
        if count:
            piece = lane.pieces[0]
            piece.todo = piece.todo[count:]
            self.finished += count
            self.route.counters.handled += count

    def failed(self, lane: Lane) -> float:
        """The lane's first record failed once more; answers the seconds until it is tried again."""
        counters = self.route.counters
        lane.attempt += 1
        if lane.attempt == 1:
            counters.failed += 1
            self.failing += 1
        return self.route.backoff.delay(lane.attempt)

    def retrying(self) -> None:
        """A failed record is tried once more."""
        self.route.counters.retried += 1

    def recovered(self, lane: Lane) -> None:
        """The lane's first record was handled after it had failed."""
        lane.attempt = 0
        self.failing -= 1
        self.route.counters.failed -= 1

    def proceed(self, lane: Lane) -> bool:
        """The lane's first record was handled after all; answers whether the lane has more to do."""
        self.recovered(lane)
        if len(lane.pieces[0].todo) == 1:
            return self.pieces_done(lane, 1)
        self.head_done(lane, 1)
        return True

    def pending(self) -> int:
        """Records handed over and not handled."""
        return self.handed - self.finished
