"""After an owner died: its successor goes forward in short rows, each behind a commit, to find the record it died of.

Nothing is written before a record while all goes well, so a death says only that it happened behind the committed
offset. The next owner hands out rows and commits in between; one more death narrows it down to a row. Then records go
one by one, and of all partitions that are handed out so only one has a record at work: what was at work elsewhere in
the process when it died is not to blame. A record at which owners died as often as its handler allows is not handled
again (`suspects`).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from kafkaboot.consumer.commit_note import Mark

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
"""Records that are handed out one by one, at most; where the row is known in which the last owner died, only those."""
BEGINS = 2.0
"""Seconds in which a record that was handed out begins; one that waits longer, for a circuit say, holds up nobody."""
FOR = 10.0
"""Seconds for which rows are handed out: well beyond what may lie between two commits by time."""


class Careful:
    """One partition, handed out a row at a time.

    Args:
        left: What the commits of the owner that died said of it.
        allowed: Deaths after which a record is not handled again.
        now: The time, in seconds.

    Attributes:
        deaths: Owners that died one after the other.
        row: Records of a row.
        found: The offset of the record that is not handled again; `None` where it is not known yet.
        mark: What this owner's commits say.
    """

    def __init__(self, left: Mark, allowed: int, now: float) -> None:
        self.deaths = left.deaths + 1
        self.row = 1 if self.deaths >= allowed - 1 else ROW
        self.found = left.last if left.row == 1 and self.deaths >= allowed else None
        self._end = left.last if left.row > 1 else None
        self._until = now + FOR
        self._left = SINGLY
        self._waiting: deque[tuple[Chunk, Sequence[int]]] = deque()
        self.mark = self.idle()

    @property
    def singly(self) -> bool:
        """Whether its records go one by one, and only while no other partition's does."""
        return self.row == 1

    def idle(self) -> Mark:
        """What the commits say between two rows: it does not narrow down where the last owner died."""
        if not self.singly:
            return Mark(self.deaths, self.row)
        return Mark(self.deaths) if self._end is None else Mark(self.deaths, ROW, self._end)

    def put(self, chunk: Chunk, todo: Sequence[int]) -> None:
        """Keep records until it is their turn."""
        self._waiting.append((chunk, todo))

    def waiting(self) -> int:
        """Records that are kept."""
        return sum(len(todo) for _, todo in self._waiting)

    def over(self, now: float) -> bool:
        """Whether the place where the last owner died lies behind."""
        if not self.singly:
            return now >= self._until
        return self._left <= 0 or (self._end is not None and bool(self._waiting) and self._next() > self._end)

    def next_row(self) -> tuple[Chunk, Sequence[int]]:
        """The next records; the mark names the last of them."""
        chunk, todo = self._waiting.popleft()
        row, rest = todo[: self.row], todo[self.row :]
        if rest:
            self._waiting.appendleft((chunk, rest))
        self._left -= len(row)
        self.mark = Mark(self.deaths, self.row, chunk.records[row[-1]].offset())
        return chunk, row

    def put_back(self, chunk: Chunk, row: Sequence[int]) -> Mark:
        """The row is not to be handed out yet; answers the mark that stands now."""
        self._waiting.appendleft((chunk, row))
        self._left += len(row)
        self.mark = self.idle()
        return self.mark

    def rest(self) -> list[tuple[Chunk, Sequence[int]]]:
        """All that is kept."""
        rest, self._waiting = list(self._waiting), deque()
        return rest

    def _next(self) -> int:
        chunk, todo = self._waiting[0]
        return chunk.records[todo[0]].offset()


def row_is_over(holding: Holding) -> bool:
    """Whether every handler that was begun came back: with a record settled, or with one that waits for its retry."""
    lanes = holding.lanes.values()
    if any(each.running for each in lanes) or not holding.at_rest():
        return False
    return all(not each.pending() or each.failing for each in lanes)


def is_blocked(holding: Holding) -> bool:
    """Whether another record would only wait behind one that is to be tried again, and begin unseen."""
    return any(each.pending() and each.route.ordering == "partition" for each in holding.lanes.values())


class Beginnings:
    """Partitions that have just been assigned: each is marked before its first record, some go forward carefully.

    Attributes:
        unmarked: Those whose mark is not written.
        careful: Those that are handed out a row at a time.
    """

    def __init__(self, committer: Committer, clock: Clock) -> None:
        self.unmarked: set[TP] = set()
        self.careful: dict[TP, None] = {}
        self._committer, self._clock = committer, clock
        self._turn: TP | None = None
        self._begins_by = 0.0

    def begin(self, tp: TP, holding: Holding, left: Mark | None, allowed: int) -> None:
        """A new partition.

        Args:
            tp: The partition.
            holding: The same, as it is held.
            left: The mark that its last owner left, where that died.
            allowed: Deaths after which a record is not handled again.
        """
        assignment = holding.assignment
        assignment.mark = Mark()
        self.unmarked.add(tp)
        if left is not None:
            holding.careful = careful = Careful(left, allowed, self._clock.monotonic())
            assignment.mark = careful.mark
            self.careful[tp] = None
            if careful.found is not None:
                assignment.suspect(careful.found, careful.deaths)

    def mark(self, consumer: ConsumerPort, holdings: Mapping[TP, Holding]) -> None:
        """Say that somebody is at work, before the first record: the next owner sees by it that this one died."""
        new = {tp: holdings[tp] for tp in self.unmarked if tp in holdings}
        stands = {tp: holding.assignment for tp, holding in new.items() if not holding.assignment.saying}
        known = {tp: new[tp] for tp, assignment in stands.items() if assignment.advance() is not None}
        self.unmarked = new.keys() - known.keys() if self._committer.mark(consumer, known) else set(new)

    def next_rows(
        self, consumer: ConsumerPort, holdings: Mapping[TP, Holding]
    ) -> Iterator[tuple[Holding, Chunk, Sequence[int]]]:
        """What is to be handed out now: the next row behind a commit, or all that was kept when the danger is over."""
        now = self._clock.monotonic()
        ready: list[TP] = []
        for tp in list(self.careful):
            holding = holdings.get(tp)
            careful = holding.careful if holding is not None else None
            if holding is None or careful is None:
                del self.careful[tp]
            elif careful.over(now) and holding.at_rest() and not (careful.singly and self._at_work(holding, now)):
                holding.assignment.mark = Mark()
                if self._committer.mark(consumer, {tp: holding}):  # else a death now would blame what is done
                    del self.careful[tp]
                    holding.careful = None
                    yield from ((holding, chunk, todo) for chunk, todo in careful.rest())
            elif careful.waiting() and row_is_over(holding):
                if not careful.singly:
                    yield from self._next_row(consumer, {tp: holding}, tp)
                elif not is_blocked(holding):
                    ready.append(tp)
        yield from self._next_single(consumer, holdings, ready, now)

    def _next_single(
        self, consumer: ConsumerPort, holdings: Mapping[TP, Holding], ready: Sequence[TP], now: float
    ) -> Iterator[tuple[Holding, Chunk, Sequence[int]]]:
        """The next record, once none is at work: of another partition than the last one, where others have some."""
        told: dict[TP, Holding] = {}
        if self._turn is not None and self._turn in self.careful:
            last = told[self._turn] = holdings[self._turn]
            if self._at_work(last, now):
                return
            assert last.careful is not None
            last.assignment.mark = last.careful.idle()
            if not ready and self._committer.mark(consumer, told):
                self._turn = None
        if ready:
            tp = self._turn = ready[0]
            self._begins_by = now + BEGINS
            del self.careful[tp]
            self.careful[tp] = None  # the last to come again
            yield from self._next_row(consumer, told | {tp: holdings[tp]}, tp)

    def _next_row(
        self, consumer: ConsumerPort, told: Mapping[TP, Holding], tp: TP
    ) -> Iterator[tuple[Holding, Chunk, Sequence[int]]]:
        holding = told[tp]
        assert holding.careful is not None
        chunk, row = holding.careful.next_row()
        holding.assignment.mark = holding.careful.mark
        if self._committer.mark(consumer, told):
            yield holding, chunk, row
        else:
            holding.assignment.mark = holding.careful.put_back(chunk, row)

    def _at_work(self, holding: Holding, now: float) -> bool:
        lanes = holding.lanes.values()
        if any(each.running for each in lanes) or not holding.at_rest():
            return True
        return now < self._begins_by and any(each.open and each.pending() and not each.failing for each in lanes)
