"""One partition's records, in offset order, with the holes that markers and compaction leave."""

from __future__ import annotations

from bisect import bisect_left
from itertools import islice
from operator import methodcaller
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CREATE_TIME = 1

_offset = methodcaller("offset")


class MemoryRecord:
    """A `RawRecord`."""

    __slots__ = ("_headers", "_key", "_offset", "_partition", "_timestamp", "_topic", "_value")

    def __init__(
        self,
        topic: str,
        partition: int,
        offset: int,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes | None]] | None = None,
        timestamp: int = 0,
    ) -> None:
        self._topic, self._partition, self._offset = topic, partition, offset
        self._value, self._key, self._timestamp = value, key, timestamp
        self._headers = list(headers) if headers else None

    def __len__(self) -> int:
        return len(self._value or b"")

    def topic(self) -> str:
        """Its topic."""
        return self._topic

    def partition(self) -> int:
        """Its partition."""
        return self._partition

    def offset(self) -> int:
        """Where it stands; -1 when it was not written."""
        return self._offset

    def key(self) -> bytes | None:
        """The raw key."""
        return self._key

    def value(self) -> bytes | None:
        """The raw value."""
        return self._value

    def headers(self) -> Sequence[tuple[str, bytes | None]] | None:
        """Headers in wire order; `None` when there are none."""
        return self._headers

    def timestamp(self) -> tuple[int, int]:
        """When it was made, in milliseconds since the epoch."""
        return CREATE_TIME, self._timestamp

    def __repr__(self) -> str:
        return f"MemoryRecord({self._topic}[{self._partition}]@{self._offset})"


class PartitionLog:
    """What was appended.

    Attributes:
        start: The first offset that retention has left.
        end: The high watermark: the offset that the next record gets.
    """

    def __init__(self) -> None:
        self.records: list[MemoryRecord] = []
        self.start = 0
        self.end = 0
        self._held: dict[object, list[int]] = {}
        self._dropped: set[int] = set()

    @property
    def stable(self) -> int:
        """What readers of committed records do not see beyond: the first offset of a transaction that is open."""
        return min((offsets[0] for offsets in self._held.values()), default=self.end)

    def hold(self, owner: object, offset: int) -> None:
        """The record belongs to a transaction that is open."""
        self._held.setdefault(owner, []).append(offset)

    def end_transaction(self, owner: object, *, keep: bool) -> None:
        """Commit or abort what `owner` has here; a marker takes an offset."""
        offsets = self._held.pop(owner, [])
        if not keep:
            self._dropped.update(offsets)
        self.leave_gap(1)

    def append(self, record: MemoryRecord) -> None:
        """Add a record whose offset is `end`."""
        self.records.append(record)
        self.end += 1

    def leave_gap(self, offsets: int) -> None:
        """Use up offsets without records, as transaction markers and aborted transactions do."""
        self.end += offsets

    def compact(self, keep: Callable[[MemoryRecord], bool]) -> None:
        """Take records out; the others keep their offsets."""
        self.records = [record for record in self.records if keep(record)]

    def delete_before(self, offset: int) -> None:
        """What retention does."""
        self.start = min(max(self.start, offset), self.end)
        self.records = self.records[bisect_left(self.records, self.start, key=_offset) :]

    def read(self, position: int, limit: int, *, committed: bool = True) -> list[MemoryRecord]:
        """Up to `limit` records from `position` on: only committed ones, or all."""
        first = bisect_left(self.records, position, key=_offset)
        if not committed or not (self._held or self._dropped):
            return self.records[first : first + limit]
        last = bisect_left(self.records, self.stable, key=_offset)
        seen = (record for record in self.records[first:last] if record.offset() not in self._dropped)
        return list(islice(seen, limit))


def partition_of(key: bytes, partitions: int) -> int:
    """Where a record with this key goes; librdkafka's `consistent_random` hashes keys by CRC-32."""
    return crc32(key) % partitions
