"""What a partition may forget: by age, by size, and what a newer record of the same key has replaced."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, NamedTuple
from weakref import WeakKeyDictionary

from kafkaboot.dev.embedded.log import BATCH, CONTROL, TRANSACTIONAL, Batch, PartitionLog
from kafkaboot.dev.embedded.records import CODEC, UnreadableBatchError, records_of, sealed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kafkaboot.dev.embedded.configs import TopicSettings
    from kafkaboot.dev.embedded.node import Node

log = logging.getLogger("kafkaboot.embedded")

OFTEN = 1.0
"""Seconds between two looks at topics whose retention was set, and at compacted ones."""
SELDOM = 300.0
"""Seconds between two looks at the others, as in Kafka: who writes records of 1970 has as long to read them."""

SLICE = 0.02
"""Seconds that compaction takes at a time: nobody is answered meanwhile. There are ten slices a second."""


class _Tail:
    """Where a partition's tail begins, which compaction leaves alone: Kafka's active segment."""

    def __init__(self, start: int) -> None:
        self.begins = self.seen = start
        self.size = 0
        self.first_time: int | None = None

    def advance(self, partition: PartitionLog, settings: TopicSettings) -> None:
        """Look at what came since: a batch for which the segment has no room, or is too old, begins a new one."""
        for batch in partition.batches[partition.at(self.seen) :]:
            size = len(batch.raw)
            full = self.size and self.size + size > settings.segment_bytes
            old = self.first_time is not None and batch.largest_timestamp - self.first_time > settings.segment
            if full or old:
                self.begins, self.size, self.first_time = batch.base, 0, None
            self.size += size
            self.first_time = batch.largest_timestamp if self.first_time is None else self.first_time
            self.seen = batch.last + 1


class _Cleaned:
    """What compaction knows of a partition.

    Attributes:
        until: Everything before it was compacted once.
        horizons: When a batch with tombstones, or a transaction's marker, may go: milliseconds by its base offset.
    """

    def __init__(self, partition: PartitionLog) -> None:
        self.tail = _Tail(partition.start)
        self.until = 0
        self.horizons: dict[int, int] = {}
        self.unreadable = False


class _Kept(NamedTuple):
    batch: Batch | None
    holds_tombstones: bool


class Retention:
    """Forgets, as topics' settings say. A chore of the node.

    Args:
        node: Whose topics they are.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._cleaned: WeakKeyDictionary[PartitionLog, _Cleaned] = WeakKeyDictionary()
        self._next = self._next_default = 0.0
        self._work: Iterator[None] = iter(())

    def chore(self, now: float) -> None:
        """Go on with what was begun, or look whether anything is due."""
        if not self._worked() or now < self._next:
            return
        self._next = now + OFTEN
        all_of_them = now >= self._next_default
        if all_of_them:
            self._next_default = now + SELDOM
        self._work = self._due(all_of_them=all_of_them)
        self._worked()

    def _worked(self) -> bool:
        """Work for a slice of time; whether everything is done."""
        until = time.perf_counter() + SLICE
        return all(time.perf_counter() < until for _ in self._work)

    def _due(self, *, all_of_them: bool) -> Iterator[None]:
        for topic in self._node.topics:
            if all_of_them or topic.settings.compacts or topic.config.keys() & {"retention.ms", "retention.bytes"}:
                for partition in list(topic.partitions):
                    for _ in self.steps([partition], topic.settings, int(time.time() * 1000)):
                        yield
                        if self._node.topics.partition(topic.name, partition.index) is not partition:
                            break  # the topic was deleted meanwhile

    def steps(self, partitions: list[PartitionLog], settings: TopicSettings, now: int) -> Iterator[None]:
        """Apply a topic's settings at a time, in milliseconds since 1970; a step is as much as one batch takes."""
        for partition in partitions:
            if settings.deletes:
                expire(partition, settings, now)
            if settings.compacts:
                yield from self._compact(partition, settings, now)

    def _compact(self, partition: PartitionLog, settings: TopicSettings, now: int) -> Iterator[None]:
        known = self._cleaned.get(partition)
        if known is None:
            known = self._cleaned[partition] = _Cleaned(partition)
        known.tail.advance(partition, settings)
        end = _cleanable(partition, known.tail.begins, settings, now)
        due = any(horizon <= now for horizon in known.horizons.values())
        if not due and not _worth_it(partition, known.until, end, settings, now):
            return
        try:
            yield from compact(partition, known, end, settings, now)
        except UnreadableBatchError as error:
            if not known.unreadable:
                log.warning("%s [%d] is not compacted: %s", partition.topic, partition.index, error)
            known.unreadable = True


def expire(partition: PartitionLog, settings: TopicSettings, now: int) -> None:
    """Forget whole batches from the front, while all their records are too old or the rest is large enough.

    Nothing that is undecided goes: no open transaction loses its beginning.
    """
    size, until = partition.size, partition.start
    for batch in partition.batches:
        old = 0 <= settings.retention < now - batch.largest_timestamp
        large = 0 <= settings.retention_bytes <= size - len(batch.raw)
        if not (old or large) or batch.last >= partition.stable:
            break
        size -= len(batch.raw)
        until = batch.last + 1
    if until > partition.start:
        partition.delete_before(until)


def _cleanable(partition: PartitionLog, tail: int, settings: TopicSettings, now: int) -> int:
    """The offset before which records may be compacted."""
    end = min(tail, partition.stable)
    if settings.min_compaction_lag:
        for batch in partition.batches[: partition.at(end)]:
            if now - batch.largest_timestamp < settings.min_compaction_lag:
                return min(end, batch.base)
    return end


def _worth_it(partition: PartitionLog, cleaned: int, end: int, settings: TopicSettings, now: int) -> bool:
    dirty = [batch for batch in partition.batches[partition.at(cleaned) : partition.at(end)] if batch.base >= cleaned]
    if not dirty:
        return False
    if now - dirty[0].largest_timestamp > settings.max_compaction_lag:
        return True
    size = sum(len(batch.raw) for batch in dirty)
    total = sum(len(batch.raw) for batch in partition.batches[: partition.at(end)])
    return size / total > settings.dirty_ratio or settings.dirty_ratio == 0


def compact(partition: PartitionLog, known: _Cleaned, end: int, settings: TopicSettings, now: int) -> Iterator[None]:
    """Keep the newest record of each key before `end`, batch by batch; offsets stay. Aborted records go.

    When the partition's beginning was deleted between two steps nothing is changed: the next look begins anew.

    Tombstones and transactions' markers stay for `delete.retention.ms` after the first time that they are met, for
    readers that are on their way.

    Raises:
        UnreadableBatchError: A batch cannot be unpacked; the partition is left as it is.
    """
    until = partition.at(end)
    before = partition.batches[:until]
    newest: dict[bytes, int] = {}
    for batch in before:
        yield
        if batch.base >= known.until and not _is_control(batch) and not _is_aborted(partition, batch):
            newest.update((record.key, record.offset) for record in records_of(batch.raw) if record.key is not None)
    horizons = {base: horizon for base, horizon in known.horizons.items() if base >= end}
    kept: list[Batch] = []
    gone_markers: set[int] = set()
    for batch in before:
        yield
        horizon = known.horizons.get(batch.base, now + settings.delete_retention)
        expired = batch.base in known.horizons and horizon <= now
        if _is_control(batch):
            if expired:
                gone_markers.add(batch.base)
                continue
            left = _Kept(batch, holds_tombstones=True)
        elif _is_aborted(partition, batch):
            continue
        else:
            left = _without_old(batch, newest, drop_tombstones=expired)
        if left.batch is not None:
            kept.append(left.batch)
            if left.holds_tombstones:
                horizons[batch.base] = horizon
    if partition.at(end) != until or (before and partition.batches[0] is not before[0]):
        return
    partition.replace(until, kept)
    # Without its marker an aborted transaction has no end: readers would leave out what its producer wrote later.
    partition.aborted = [one for one in partition.aborted if one.marker not in gone_markers]
    known.until, known.horizons = max(known.until, end), horizons


def _is_control(batch: Batch) -> bool:
    return bool(int.from_bytes(batch.raw[21:23], "big") & CONTROL)


def _is_aborted(partition: PartitionLog, batch: Batch) -> bool:
    head = BATCH.unpack_from(batch.raw)
    attributes, producer_id = head[5], head[9]
    return bool(attributes & TRANSACTIONAL) and any(
        one.producer_id == producer_id and one.first <= batch.base < one.marker for one in partition.aborted
    )


def _without_old(batch: Batch, newest: Mapping[bytes, int], *, drop_tombstones: bool) -> _Kept:
    records = list(records_of(batch.raw))
    left = [
        record
        for record in records
        if record.key is not None
        and newest.get(record.key, -1) <= record.offset
        and not (drop_tombstones and record.value is None)
    ]
    tombstones = any(record.value is None for record in left)
    if len(left) == len(records):
        return _Kept(batch, tombstones)
    if not left:
        return _Kept(None, holds_tombstones=False)
    largest = max(record.timestamp for record in left)
    raw = _rebuilt(batch.raw, b"".join(record.raw for record in left), len(left), largest)
    return _Kept(Batch(batch.base, batch.last, largest, raw), tombstones)


def _rebuilt(raw: bytes, body: bytes, count: int, largest: int) -> bytes:
    """A batch with other records, not compressed: its offsets, times and producer stay what they were."""
    head = list(BATCH.unpack_from(raw))
    head[5] &= ~CODEC
    head[8], head[12] = largest, count
    return sealed(head, body)
