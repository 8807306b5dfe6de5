"""Lanes that wait for a worker, in the order in which they are served."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kafkaboot.consumer.lanes import Lane
    from kafkaboot.consumer.route import Ordering


class OldestFirst:
    """The lane whose next record came first.

    In turn, a key with many records would be served once a round, and everything else would be settled far ahead of
    it: a longer map in each commit, and more to keep in memory.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Lane]] = []

    def append(self, lane: Lane) -> None:
        """Put a lane in its place."""
        chunk, todo = lane.pieces[0]
        heappush(self._heap, (chunk.number, todo[0], lane))

    def extend(self, lanes: Iterable[Lane]) -> None:
        """Put lanes in their places."""
        for lane in lanes:
            self.append(lane)

    def popleft(self) -> Lane:
        """The next lane."""
        return heappop(self._heap)[2]

    def __len__(self) -> int:
        return len(self._heap)


def waiting_lanes(ordering: Ordering) -> deque[Lane] | OldestFirst:
    """By partition in turn, so that no partition waits for another; else the oldest first."""
    return deque() if ordering == "partition" else OldestFirst()
