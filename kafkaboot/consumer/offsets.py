"""What was taken from a partition and what of it is settled: the only place that knows what may be committed.

Settling is a byte store, `chunk.done[i] = 1` or one for a row, from whichever thread handled it. Nothing is pushed: the
poller asks when it is about to commit. A completion belongs to the `Assignment` it was taken under, so work that
ends after a revoke marks a chunk that nobody reads any more.
"""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import TYPE_CHECKING

from kafkaboot.client import Committed
from kafkaboot.consumer import commit_note, done_map
from kafkaboot.consumer.commit_note import Attempts, Mark, Note

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kafkaboot.client import TP
    from kafkaboot.consumer.lanes import Lanes
    from kafkaboot.consumer.transacting import Judged
    from kafkaboot.message import RawRecord


class Chunk:
    """Records of one partition from one poll, in offset order, and which are settled.

    `number` tells its age; `first`, how many records were taken under its assignment before.
    """

    __slots__ = ("assignment", "done", "first", "head", "number", "records")
    _numbers = count()

    def __init__(self, assignment: Assignment, records: list[RawRecord]) -> None:
        self.assignment = assignment
        self.records = records
        self.done = bytearray(len(records))
        self.head = self.first = 0
        self.number = next(self._numbers)

    def settle(self, start: int, stop: int) -> None:
        """Mark a row of records as settled."""
        self.done[start:stop] = b"\x01" * (stop - start)


class Assignment:
    """One partition, from the moment it was assigned until it is revoked: one epoch.

    Attributes:
        live: False once the partition is being given back: lanes stop before their next record.
        lanes: Its lanes, by handler.
        held: Whether an operator has paused it.
        position: The offset to commit: the first delivered record that is not settled, or just behind the last
            one when all are. `None` until something was delivered.
        committed: What the broker has acknowledged, offset and metadata.
        in_order: Whether records are settled in order, so that none is ever done beyond the position; not any more from
            the first record on that goes to another topic, as those behind it are settled before it has arrived.
        writes_map: Whether the map of records done beyond the position, and attempts, go into the commit.
        may_replay: Whether what is settled may be handled again, so that its records are kept.
        attempts: Of records that failed before they were taken over, by offset; emptied as they come.
        mark: What the commits say of this owner while it is at work; `None` once it leaves in order.
        suspects: Records at which owners died, by offset: how many; they are not handled again.
        judged: Records with an attempt that fell with its transaction, by offset: what was decided of the last one
            holds until they are committed, as the next one may fall with theirs, or another record's.
        narrow: Records at which a smaller batch begins, by offset: its size. Kept as long as `judged`.
        transactional: Whether it is committed in transactions: then what is settled is kept until they are.
        over: Whether nothing of it may enter a transaction any more.
        saying: Whether a transaction with its offset is being committed: another commit behind it would undo it.
        closing: Whether no record is begun, as a transaction waits for those at work.
        passed: How many of the taken records the position has passed.
        refused: Records whose outputs were not delivered, a number for each report; any thread appends to it.
        left: Records on their way to another topic that were left to the next owner, a 1 for each; as for `refused`.
    """

    def __init__(
        self,
        tp: TP,
        epoch: int,
        *,
        committed: Committed | None = None,
        note: Note | None = None,
        in_order: bool = True,
        may_replay: bool = False,
        transactional: bool = False,
    ) -> None:
        self.tp = tp
        self.epoch = epoch
        self.lanes: list[Lanes] = []
        self._live = True
        self.may_replay = may_replay or transactional
        self.transactional = transactional
        self.over = self.saying = False
        self.closing = False
        self.writes_map = True
        self.position: int | None = None
        self.chunks: deque[Chunk] = deque()
        self.refused: list[int] = []
        self.left: list[int] = []
        self.in_order = in_order
        self.stands(committed, note or Note([], {}, None))
        self.mark: Mark | None = None
        self.suspects: dict[int, int] = {}
        self.narrow: dict[int, int] = {}
        self.judged: dict[int, Judged] = {}
        self.held = False
        self.passed = self._taken = 0
        self._settled: deque[Chunk] = deque()
        self._newest: RawRecord | None = None

    def stands(self, committed: Committed | None, note: Note) -> None:
        """Where the group stands and what the commit said beside it; before the first record is taken."""
        self.committed = committed
        self.in_order = self.in_order and not note.done
        self.attempts = dict(note.attempts)
        self._known_done = deque(note.done)

    @property
    def live(self) -> bool:
        """See the class."""
        return self._live

    @live.setter
    def live(self, live: bool) -> None:
        self._live = live
        self.review()

    def review(self) -> None:
        """Open or close the lanes, after the partition was given back, paused or resumed; from any thread."""
        for lanes in self.lanes:
            lanes.open = self._live and not self.closing and lanes.wanted()

    def foretold(self, offset: int) -> bool:
        """Whether something is known of this record from before it was taken."""
        return offset in self.attempts or offset in self.narrow or offset in self.judged

    def suspect(self, offset: int, deaths: int) -> None:
        """A record at which so many owners died: it comes to its handler's crew as one that has failed."""
        self.suspects[offset] = deaths
        self.attempts[offset] = Attempts(deaths, 0.0)

    def take(self, records: list[RawRecord]) -> tuple[Chunk, Sequence[int]]:
        """Take over delivered records; answers the chunk and which of its records are to be handled.

        What was taken before under this epoch is left out: in a rebalance librdkafka pauses even the partitions that
        stay, and may fetch again what the application was just being given.
        """
        self.advance()  # lets go of what is settled: kept until the next commit it would cost memory and caches
        if self._newest is not None and records[0].offset() <= self._newest.offset():
            records = _without_known(records, self._newest)
        chunk = Chunk(self, records)
        if not records:
            return chunk, ()
        self.chunks.append(chunk)
        chunk.first, self._taken = self._taken, self._taken + len(records)
        self._newest = records[-1]
        known = self._known_done
        if not known:
            return chunk, range(len(records))
        if self.committed and self.committed.offset is not None and records[0].offset() < self.committed.offset:
            known.clear()  # the offset was reset: the map tells of records that are gone
        todo = []
        for i, record in enumerate(records):
            offset = record.offset()
            while known and known[0].stop <= offset:
                known.popleft()
            if known and offset >= known[0].start:
                chunk.done[i] = 1
            else:
                todo.append(i)
        return chunk, todo

    def advance(self) -> int | None:
        """Walk over what is settled without a gap; answers the position to commit.

        Offsets are never computed from one another: markers and compaction leave holes (spring-kafka#4332). The
        order of delivery is what counts.
        """
        while self.chunks:
            chunk = self.chunks[0]
            first = chunk.done.find(0, chunk.head)
            if first >= 0:
                self.passed += first - chunk.head
                chunk.head = first
                self.position = chunk.records[first].offset()
                break
            self.passed += len(chunk.done) - chunk.head
            self.position = chunk.records[-1].offset() + 1
            self.chunks.popleft()
            if self.transactional:
                self._settled.append(chunk)
        return self.position

    def to_commit(self, attempts: Iterable[tuple[int, Attempts]] = ()) -> Committed | None:
        """What a commit should say now, or `None` when the broker knows it already.

        Args:
            attempts: Records that have failed so far, by offset.
        """
        stand = self.stand(attempts)
        return None if stand == self.committed else stand

    def stand(self, attempts: Iterable[tuple[int, Attempts]] = ()) -> Committed | None:
        """The same, whether the broker knows it or not; `None` before the first record."""
        position = self.advance()
        if position is None:
            return None
        if not self.in_order and not self.may_replay:
            self._condense()
        # Behind a refused output everything is handled again, in order: the next owner must not skip any of it.
        mapped = self.writes_map and not self.in_order and not self.refused
        beyond = self._beyond() if mapped else None
        return Committed(position, commit_note.write(position, beyond, attempts if self.writes_map else (), self.mark))

    def restated(self) -> Committed | None:
        """What is committed already, with the mark of now: all that may be said of it outside of a transaction."""
        stand = self.committed
        if stand is None or stand.offset is None:
            first = next((chunk.records[0].offset() for chunk in (*self._settled, *self.chunks)), None)
            if first is None:
                return None
            stand = Committed(first)
        return Committed(stand.offset, commit_note.marked(stand.metadata, self.mark))

    def acknowledged(self, committed: Committed) -> None:
        """The broker has this: what stands before it is not handled again."""
        self.committed = committed
        for known in (self.judged, self.narrow):
            for offset in [one for one in list(known) if one < (committed.offset or 0)]:  # crews add to them meanwhile
                del known[offset]
        while self._settled and self._settled[0].records[-1].offset() < (committed.offset or 0):
            self._settled.popleft()

    def kept(self) -> int:
        """How many of the taken records stand before the committed offset."""
        stand = (self.committed.offset if self.committed is not None else None) or 0
        for chunk in (*self._settled, *self.chunks):
            if chunk.records[-1].offset() >= stand:
                return chunk.first + sum(record.offset() < stand for record in chunk.records)
        return self._taken

    def crowded(self, limit: int) -> bool:
        """Whether too much is done beyond the position: for the commit's metadata, or to be kept in memory.

        Args:
            limit: Records that may be kept.
        """
        if self.in_order:
            return False
        if self.committed is not None and len(self.committed.metadata) > done_map.CROWDED:
            return True
        return sum(len(chunk.done) - chunk.head for chunk in self.chunks) > limit

    def unsettled(self) -> int:
        """How many taken records are not settled."""
        return sum(chunk.done.count(0) for chunk in self.chunks)

    def settled_before(self, record: RawRecord) -> bool:
        """Whether every record of the same key before this one is settled; from any thread."""
        offset, key = record.offset(), record.key()
        for chunk in list(self.chunks):
            records, at = chunk.records, chunk.done.find(0, chunk.head)
            while 0 <= at < len(records):
                if records[at].offset() >= offset:
                    return True
                if records[at].key() == key:
                    return False
                at = chunk.done.find(0, at + 1)
        return True

    def remaining(self) -> list[list[RawRecord]]:
        """What was taken and must be handled again: everything from the first unsettled record on.

        Where transactions commit, from the committed offset on, but for what the commit says beside it.
        """
        self.advance()
        if not self.transactional:
            return [chunk.records[chunk.head :] for chunk in self.chunks]
        start = (self.committed.offset if self.committed is not None else None) or 0
        kept = ([r for r in chunk.records if r.offset() >= start] for chunk in (*self._settled, *self.chunks))
        return [records for records in kept if records]

    def _condense(self) -> None:
        """Keep only the edges of chunks that are settled beyond the position.

        A record that fails for hours would keep everything behind it in memory.
        """
        kept: deque[Chunk] = deque()
        settled: Chunk | None = None
        for chunk in self.chunks:
            if chunk.done.find(0, chunk.head) >= 0:
                settled = None
                kept.append(chunk)
            elif settled is None:
                settled = Chunk(self, [chunk.records[0], chunk.records[-1]])
                settled.done[:] = b"\x01\x01"
                kept.append(settled)
            else:
                settled.records[1] = chunk.records[-1]
        self.chunks = kept

    def _beyond(self) -> Iterator[tuple[int, bool]]:
        """`(offset, settled)` where this changes, from the position on, and of the last of each settled run."""
        for chunk in self.chunks:
            done, at = chunk.done, chunk.head
            while at < len(done):
                settled = done[at]
                end = done.find(1 - settled, at + 1)
                if end < 0:
                    end = len(done)
                yield chunk.records[at].offset(), bool(settled)
                if settled:
                    yield chunk.records[end - 1].offset(), True
                at = end
        edge = self._newest.offset() + 1 if self._newest is not None else 0
        for known in self._known_done:
            if known.stop <= edge:
                continue
            if known.start > edge:
                yield edge, False
            yield max(known.start, edge), True
            yield known.stop - 1, True
            edge = known.stop


def _without_known(records: list[RawRecord], newest: RawRecord) -> list[RawRecord]:
    """What comes after the newest record that was taken.

    Only where that very record is among them. Else the offsets have begun anew, in a topic that was made again or
    after a reset, and everything is new.
    """
    for place, record in enumerate(records):
        if record.offset() == newest.offset():
            same = (record.timestamp(), record.key(), record.value()) == (
                newest.timestamp(),
                newest.key(),
                newest.value(),
            )
            return records[place + 1 :] if same else records
    return records
