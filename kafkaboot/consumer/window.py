"""How far ahead a partition is handed out, where transactions commit what is done there.

* By key, never further beyond the position than the map of records done there fits into a commit's metadata, in any
  pattern: what a map leaves out would be handled again after a restart, and was published before.
* After a transaction fell, a few records beyond the committed offset, then more with each commit: a record that brings
  every transaction down soon has one with hardly anything else in it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kafkaboot.consumer.offsets import Assignment, Chunk

BEYOND = 800
"""Records beyond the position: each may be an edge of the map, and takes three bytes of it at most."""
FIRST = 64
"""Records beyond the committed offset after a first fall; a quarter of that after each further one."""
STEP = 4
"""How many times more there may be after each commit."""


class Window:
    """Keeps what is not to be handed out yet.

    Args:
        by_key: Whether records may be done beyond the position.
    """

    def __init__(self, *, by_key: bool) -> None:
        self._beyond = BEYOND if by_key else None
        self._few: int | None = None
        self._waiting: deque[tuple[Chunk, Sequence[int]]] = deque()

    def put(self, chunk: Chunk, todo: Sequence[int]) -> None:
        """Keep records until it is their turn."""
        self._waiting.append((chunk, todo))

    def waiting(self) -> int:
        """Records that are kept."""
        return sum(len(todo) for _, todo in self._waiting)

    def next(self, assignment: Assignment) -> Iterator[tuple[Chunk, Sequence[int]]]:
        """What may be handed out now."""
        while self._waiting:
            chunk, todo = self._waiting[0]
            until = self._end(assignment)
            room = len(chunk.records) if until is None else until - chunk.first
            count = len(todo) if todo[-1] < room else sum(i < room for i in todo)
            if not count:
                return
            self._waiting.popleft()
            if count < len(todo):
                self._waiting.appendleft((chunk, todo[count:]))
            yield chunk, todo[:count]

    def fell(self) -> None:
        """A transaction fell: go on in small steps. What is kept is taken over once more."""
        self._few = FIRST if self._few is None else max(1, self._few // STEP)
        self._waiting.clear()

    def committed(self) -> None:
        """One is committed."""
        if self._few is not None:
            self._few = self._few * STEP if self._few < BEYOND else None

    def _end(self, assignment: Assignment) -> int | None:
        """Behind which of the taken records nothing is handed out; `None` for no limit."""
        ends = []
        if self._beyond is not None:
            assignment.advance()
            ends.append(assignment.passed + self._beyond)
        if self._few is not None:
            ends.append(assignment.kept() + self._few)
        return min(ends, default=None)
