"""How far beyond its position a partition is handed out, where transactions commit what is done there.

The map of records done beyond the position must fit into every commit's metadata: what a map leaves out is handled
again after a restart, and was published before. So there are never more records beyond the position than fit in any
pattern.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kafkaboot.consumer.offsets import Assignment, Chunk

BEYOND = 800
"""Records beyond the position: each may be an edge of the map, and takes three bytes of it at most."""


class Window:
    """Keeps what is not to be handed out yet."""

    def __init__(self) -> None:
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
            assignment.advance()
            room = assignment.passed + BEYOND - chunk.first
            count = len(todo) if todo[-1] < room else sum(i < room for i in todo)
            if not count:
                return
            self._waiting.popleft()
            if count < len(todo):
                self._waiting.appendleft((chunk, todo[count:]))
            yield chunk, todo[:count]

    def rest(self) -> None:
        """Forget what is kept."""
        self._waiting.clear()
