"""After an owner died: its successor goes forward in short rows, each behind a commit, to find the record it died of.

Nothing is written before a record while all goes well, so a death says only that it happened behind the committed
offset. The next owner hands out rows and commits in between; one more death narrows it down to a row, the next to a
single record. A record at which owners died as often as its handler allows is not handled again (`suspects`).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from kafkaboot.consumer.commit_note import Attempts, Mark

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kafkaboot.client import TP, ConsumerPort
    from kafkaboot.clock import Clock
    from kafkaboot.consumer.committer import Committer
    from kafkaboot.consumer.holding import Holding
    from kafkaboot.consumer.offsets import Chunk

ROW = 64
"""Records of a row after the first death; afterwards it is one."""
SINGLY = 2 * ROW
"""Records that are handed out one by one: those of the row in which the last owner died, and as many again."""
UNMARKED = "should this process die soon, the next owner does not see it"
FOR = 10.0
"""Seconds for which rows are handed out: well beyond what may lie between two commits by time."""


class Careful:
    """One partition, handed out a row at a time.

    Args:
        left: What the commits of the owner that died said of it.
        allowed: Deaths after which a record is not handled again.
        now: The time, in seconds.
    """

    def __init__(self, left: Mark, allowed: int, now: float) -> None:
        self.deaths = left.deaths + 1
        self.row = 1 if self.deaths >= allowed - 1 else ROW
        self._found = left.row == 1 and self.deaths >= allowed
        self._until = now + FOR
        self._left = SINGLY
        self._waiting: deque[tuple[Chunk, Sequence[int]]] = deque()

    @property
    def mark(self) -> Mark:
        """What this owner's commits say."""
        return Mark(self.deaths, self.row)

    def put(self, chunk: Chunk, todo: Sequence[int]) -> None:
        """Keep records until it is their turn."""
        self._waiting.append((chunk, todo))

    def waiting(self) -> int:
        """Records that are kept."""
        return sum(len(todo) for _, todo in self._waiting)

    def over(self, now: float) -> bool:
        """Whether the place where the last owner died lies behind."""
        return self._left <= 0 if self.row == 1 else now >= self._until

    def next_row(self, holding: Holding) -> tuple[Chunk, Sequence[int]]:
        """The next records; the first ever may be the one that is not handled again."""
        chunk, todo = self._waiting.popleft()
        row, rest = todo[: self.row], todo[self.row :]
        if rest:
            self._waiting.appendleft((chunk, rest))
        self._left -= len(row)
        if self._found:
            self._found = False
            offset = chunk.records[row[0]].offset()
            holding.assignment.suspects[offset] = self.deaths
            holding.assignment.attempts[offset] = Attempts(self.deaths, 0.0)
        return chunk, row

    def rest(self) -> list[tuple[Chunk, Sequence[int]]]:
        """All that is kept."""
        rest, self._waiting = list(self._waiting), deque()
        return rest


def row_is_over(holding: Holding) -> bool:
    """Whether every handler that was begun came back: with a record settled, or with one that waits for its retry."""
    lanes = holding.lanes.values()
    if any(each.running for each in lanes):
        return False
    return all(not each.pending() or each.failing for each in lanes)


class Beginnings:
    """Partitions that have just been assigned: each is marked before its first record, some go forward carefully.

    Attributes:
        unmarked: Those whose mark is not written.
        careful: Those that are handed out a row at a time.
    """

    def __init__(self, committer: Committer, clock: Clock) -> None:
        self.unmarked: set[TP] = set()
        self.careful: set[TP] = set()
        self._committer, self._clock = committer, clock

    def begin(self, tp: TP, holding: Holding, left: Mark | None, allowed: int) -> None:
        """A new partition.

        Args:
            tp: The partition.
            holding: The same, as it is held.
            left: The mark that its last owner left, where that died.
            allowed: Deaths after which a record is not handled again.
        """
        holding.assignment.mark = Mark()
        self.unmarked.add(tp)
        if left is not None:
            holding.careful = Careful(left, allowed, self._clock.monotonic())
            holding.assignment.mark = holding.careful.mark
            self.careful.add(tp)

    def mark(self, consumer: ConsumerPort, holdings: Mapping[TP, Holding]) -> None:
        """Say that somebody is at work, before the first record: the next owner sees by it that this one died."""
        new = {tp: holdings[tp] for tp in self.unmarked if tp in holdings}
        known = {tp: holding for tp, holding in new.items() if holding.assignment.advance() is not None}
        self.unmarked = new.keys() - known.keys()
        self._committer.now(consumer, known, fate=UNMARKED)

    def next_rows(
        self, consumer: ConsumerPort, holdings: Mapping[TP, Holding]
    ) -> Iterator[tuple[Holding, Chunk, Sequence[int]]]:
        """What is to be handed out now: the next row behind a commit, or all that was kept when the danger is over."""
        for tp in list(self.careful):
            holding = holdings.get(tp)
            careful = holding.careful if holding is not None else None
            if holding is None or careful is None:
                self.careful.discard(tp)
            elif careful.over(self._clock.monotonic()):
                self.careful.discard(tp)
                holding.careful, holding.assignment.mark = None, Mark()
                yield from ((holding, chunk, todo) for chunk, todo in careful.rest())
            elif careful.waiting() and row_is_over(holding):
                self._committer.now(consumer, {tp: holding}, fate=UNMARKED)
                yield holding, *careful.next_row(holding)
