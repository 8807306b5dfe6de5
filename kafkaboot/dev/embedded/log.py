"""A partition: record batches as the bytes that came in, in offset order, and what readers may see of them."""

from __future__ import annotations

import logging
import struct
import time
from bisect import bisect_left, bisect_right
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import crc32c
from kio.schema.errors import ErrorCode

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from kafkaboot.dev.embedded.segments import Bounds, PartitionFiles

log = logging.getLogger("kafkaboot.embedded")

BATCH = struct.Struct(">qiibIhiqqqhii")
"""A batch's header, KIP-98: base offset, length, leader epoch, magic, CRC, attributes, last offset delta, first
timestamp, largest timestamp, producer id, producer epoch, first sequence, number of records."""
SKIPPED = 12  # base offset and length, which the length does not count
CRC_FROM = 21  # attributes onward
TRANSACTIONAL, CONTROL = 0x10, 0x20
MAGIC = 2
REMEMBERED = 5
"""Batches of a producer whose repetition is recognised (`max.in.flight` of an idempotent producer)."""
_SEQUENCES = 1 << 31
_MARKER = BATCH.size + 8
"""Of a control batch the byte that tells a commit from an abort."""


class Batch(NamedTuple):
    """One stored batch."""

    base: int
    last: int
    largest_timestamp: int
    raw: bytes


class Producer:
    """What is known of an idempotent producer on this partition: its epoch and its last batches."""

    __slots__ = ("epoch", "recent")

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self.recent: deque[tuple[int, int, int]] = deque(maxlen=REMEMBERED)
        """First sequence, last sequence, base offset."""


class Aborted(NamedTuple):
    """A transaction whose records readers of committed data must leave out: first offset up to its marker's."""

    producer_id: int
    first: int
    marker: int


class PartitionLog:
    """One partition.

    Attributes:
        start: The oldest offset that is kept.
        end: The offset of the next record: the high watermark, since there is one replica.
        watchers: Set when something was appended or became visible.
        files: Where it is kept too, when it is kept on disk.
    """

    def __init__(self, topic: str, index: int) -> None:
        self.topic, self.index = topic, index
        self.start = 0
        self.end = 0
        self.size = 0
        self.batches: list[Batch] = []
        self.producers: dict[int, Producer] = {}
        self.open: dict[int, int] = {}
        self.aborted: list[Aborted] = []
        self.watchers: set[asyncio.Event] = set()
        self.files: PartitionFiles | None = None

    @property
    def stable(self) -> int:
        """The last stable offset: everything before it is decided."""
        return max(self.start, min(self.open.values(), default=self.end))

    # --- writing

    def append(self, raw: bytes) -> tuple[ErrorCode, int]:
        """Store one batch of a client; answers the error and the base offset.

        A batch that was stored before is acknowledged with the offset that it has.
        """
        if len(raw) < BATCH.size:
            return ErrorCode.corrupt_message, -1
        _, length, _, magic, crc, attributes, last_delta, _, largest, *producer, count = BATCH.unpack_from(raw)
        pid, epoch, sequence = producer
        if magic != MAGIC:
            return ErrorCode.unsupported_for_message_format, -1
        if length + SKIPPED != len(raw) or crc32c.crc32c(memoryview(raw)[CRC_FROM:]) != crc:
            return ErrorCode.corrupt_message, -1
        if attributes & CONTROL or count <= 0 or last_delta != count - 1:
            return ErrorCode.invalid_record, -1
        if pid >= 0:
            error, known = self._admit(pid, epoch, sequence, count)
            if error is not ErrorCode.none or known >= 0:
                return error, known
            if pid in self.open and not attributes & TRANSACTIONAL:
                return ErrorCode.invalid_txn_state, -1
        try:
            base = self._store(raw, last_delta, largest)
        except OSError as error:
            log.warning("%s-%d: a batch is refused, it cannot be kept: %s", self.topic, self.index, error)
            return ErrorCode.kafka_storage_error, -1
        if pid >= 0:
            self._remember(pid, epoch, sequence, count, base)
            if attributes & TRANSACTIONAL:
                self.open.setdefault(pid, base)
        self.announce()
        return ErrorCode.none, base

    def _admit(self, pid: int, epoch: int, sequence: int, count: int) -> tuple[ErrorCode, int]:
        """Whether a producer's batch is next in its row; answers its offset instead when it is here already."""
        producer = self.producers.get(pid)
        if producer is None or producer.epoch < 0:
            return ErrorCode.none, -1
        if epoch < producer.epoch:
            return ErrorCode.invalid_producer_epoch, -1
        expected = 0
        if epoch == producer.epoch and producer.recent:
            last = (sequence + count - 1) % _SEQUENCES
            for first_known, last_known, base in producer.recent:
                if first_known == sequence and last_known == last:
                    return ErrorCode.none, base
            expected = (producer.recent[-1][1] + 1) % _SEQUENCES
        return (ErrorCode.none if sequence == expected else ErrorCode.out_of_order_sequence_number), -1

    def _remember(self, pid: int, epoch: int, sequence: int, count: int, base: int) -> None:
        producer = self.producers.get(pid)
        if producer is None or producer.epoch != epoch:
            producer = self.producers[pid] = Producer(epoch)
        producer.recent.append((sequence, (sequence + count - 1) % _SEQUENCES, base))

    def _store(self, raw: bytes, last_delta: int, largest: int) -> int:
        base = self.end
        # The base offset and the leader's epoch are the broker's to write; the checksum does not cover them.
        stored = base.to_bytes(8, "big") + raw[8:12] + b"\0\0\0\0" + raw[16:]
        if self.files is not None:
            self.files.append(base, stored)
        self.batches.append(Batch(base, base + last_delta, largest, stored))
        self.end = base + last_delta + 1
        self.size += len(stored)
        return base

    def mark(self, pid: int, epoch: int, *, commit: bool) -> None:
        """End a producer's transaction here: write its marker, and forget that it is open."""
        offset = self._store(control_batch(pid, epoch, commit=commit), 0, int(time.time() * 1000))
        self._ended(pid, epoch, offset, commit=commit)
        self.announce()

    def _ended(self, pid: int, epoch: int, marker: int, *, commit: bool) -> None:
        first = self.open.pop(pid, None)
        producer = self.producers.get(pid)
        if producer is None or producer.epoch != epoch:
            self.producers[pid] = Producer(epoch)
        if first is not None and not commit:
            self.aborted.append(Aborted(pid, first, marker))

    def restore(self, bounds: Bounds, batches: Iterable[bytes]) -> None:
        """Take up what was kept: batches, and what their headers tell of producers and transactions."""
        self.start = bounds.start
        for raw in batches:
            base, _, _, _, _, attributes, last_delta, _, largest, pid, epoch, sequence, _ = BATCH.unpack_from(raw)
            if base + last_delta >= self.start:
                self.batches.append(Batch(base, base + last_delta, largest, raw))
                self.size += len(raw)
            self.end = base + last_delta + 1
            if attributes & CONTROL:
                self._ended(pid, epoch, base, commit=bool(raw[_MARKER]))
            elif pid >= 0:
                self._remember(pid, epoch, sequence, last_delta + 1, base)
                if attributes & TRANSACTIONAL and base >= bounds.compacted:
                    self.open.setdefault(pid, base)
        self.end = max(self.end, bounds.end)

    def announce(self) -> None:
        """Wake those who wait for records."""
        for event in self.watchers:
            event.set()

    # --- reading

    def read(self, offset: int, most: int, *, committed: bool, at_least_one: bool) -> list[bytes]:
        """Batches from `offset` on, up to `most` bytes; the first one whole when it alone is larger."""
        end = self.stable if committed else self.end
        found: list[bytes] = []
        size = 0
        for at in range(self.at(offset), len(self.batches)):
            batch = self.batches[at]
            if batch.last >= end or (size + len(batch.raw) > most and (found or not at_least_one)):
                break
            found.append(batch.raw)
            size += len(batch.raw)
        return found

    def aborted_between(self, offset: int, end: int) -> list[Aborted]:
        """Aborted transactions with records in `[offset, end)`."""
        return [one for one in self.aborted if one.marker >= offset and one.first < end]

    def at(self, offset: int) -> int:
        """The place of the first batch that holds `offset` or something behind it."""
        return bisect_left(self.batches, offset, key=lambda batch: batch.last)

    def offset_at(self, timestamp: int) -> tuple[int, int]:
        """The first offset whose record is not older, and that record's time; `(-1, -1)` when all are older."""
        from kafkaboot.dev.embedded.records import records_of

        for batch in self.batches:
            if batch.largest_timestamp >= timestamp and batch.last >= self.start:
                for record in records_of(batch.raw):
                    if record.timestamp >= timestamp and record.offset >= self.start:
                        return record.offset, record.timestamp
        return -1, -1

    def largest_timestamp(self) -> tuple[int, int]:
        """Offset and time of the newest record by time (KIP-734); `(-1, -1)` when there is none."""
        from kafkaboot.dev.embedded.records import records_of

        newest = max(self.batches, key=lambda batch: batch.largest_timestamp, default=None)
        if newest is None:
            return -1, -1
        record = max(records_of(newest.raw), key=lambda one: one.timestamp)
        return record.offset, record.timestamp

    def delete_before(self, offset: int) -> None:
        """Forget what is older; whole batches only, as Kafka does."""
        self.start = max(self.start, offset)
        gone = bisect_right(self.batches, self.start - 1, key=lambda batch: batch.last)
        self.size -= sum(len(batch.raw) for batch in self.batches[:gone])
        del self.batches[:gone]
        self.aborted = [one for one in self.aborted if one.marker >= self.start]
        if self.files is not None:
            self.files.delete_before(self.start, self.end)

    def replace(self, until: int, kept: list[Batch]) -> None:
        """Put what compaction kept in the place of the first `until` batches."""
        self.size += sum(len(batch.raw) for batch in kept) - sum(len(batch.raw) for batch in self.batches[:until])
        self.batches[:until] = kept
        if self.files is not None:
            compacted = self.batches[len(kept)].base if len(kept) < len(self.batches) else self.end
            self.files.replace([batch.raw for batch in self.batches], self.end, compacted)


def control_batch(pid: int, epoch: int, *, commit: bool) -> bytes:
    """A transaction's marker: a batch of one control record (KIP-98)."""
    key = struct.pack(">hh", 0, int(commit))
    value = struct.pack(">hi", 0, 0)
    body = b"\0\0\0" + bytes([len(key) << 1]) + key + bytes([len(value) << 1]) + value + b"\0"
    record = bytes([len(body) << 1]) + body
    now = int(time.time() * 1000)
    tail = struct.pack(">hiqqqhii", TRANSACTIONAL | CONTROL, 0, now, now, pid, epoch, -1, 1) + record
    return struct.pack(">qiibI", 0, 9 + len(tail), 0, MAGIC, crc32c.crc32c(tail)) + tail
