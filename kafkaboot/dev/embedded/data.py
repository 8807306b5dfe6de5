"""Records in and out: Produce, Fetch, ListOffsets."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from kio.schema.errors import ErrorCode

from kafkaboot.dev.embedded.acceptance import refusal, stamped
from kafkaboot.dev.embedded.cluster import NOW
from kafkaboot.dev.embedded.records import UnreadableBatchError
from kafkaboot.dev.embedded.wire import Api, make

if TYPE_CHECKING:
    from kafkaboot.dev.embedded.log import PartitionLog
    from kafkaboot.dev.embedded.node import Node

_EARLIEST, _LATEST, _LARGEST = -2, -1, -3
_READ_COMMITTED = 1
LONGEST_WAIT = 300.0
"""Seconds of a long poll, whatever the client allows: it may be gone."""
LARGEST_ANSWER = 55 * 2**20
"""Bytes of a fetch, Kafka's `fetch.max.bytes`."""


def produce(node: Node, request: Any, response: Any, _: Any) -> Any:
    """Store batches. With `acks=0` nobody wants an answer."""
    topics = tuple(
        response.TopicProduceResponse(
            name=topic.name,
            partition_responses=tuple(
                _produced(node, response, topic.name, part, request) for part in topic.partition_data
            ),
        )
        for topic in request.topic_data
    )
    return response.ProduceResponse(responses=topics, throttle_time=NOW) if request.acks else None


def _produced(node: Node, response: Any, name: str, part: Any, request: Any) -> Any:
    partition = node.topics.partition(name, part.index)
    error, base, appended = ErrorCode.unknown_topic_or_partition, -1, None
    if partition is not None:
        error, base, appended = _stored(node, partition, part.records or b"", request)
    return make(
        response.PartitionProduceResponse,
        index=part.index,
        error_code=error,
        base_offset=base,
        log_append_time=None if appended is None else datetime.fromtimestamp(appended / 1000, UTC),
        log_start_offset=partition.start if partition else -1,
        record_errors=(),
        error_message=None,
    )


def _stored(node: Node, partition: PartitionLog, records: Any, request: Any) -> tuple[ErrorCode, int, int | None]:
    topic = node.topics.get(partition.topic)
    assert topic is not None
    raw, appended = bytes(records), None
    refused = refusal(topic.settings, raw, request.acks)
    if refused is ErrorCode.none:
        refused = node.transactions.admits(partition, raw, request.transactional_id)
    if refused is not ErrorCode.none:
        return refused, -1, None
    if topic.settings.append_time:
        raw, appended = stamped(raw)
    return *partition.append(raw), appended


async def fetch(node: Node, request: Any, response: Any, _: Any) -> Any:
    """Batches from the asked offsets on. Waits for `min_bytes` for as long as the client allows (long polling)."""
    until = time.monotonic() + min(request.max_wait.total_seconds(), LONGEST_WAIT)
    asked = [(topic.topic, part) for topic in request.topics for part in topic.partitions]
    partitions = [node.topics.partition(topic, part.partition) for topic, part in asked]
    committed = request.isolation_level == _READ_COMMITTED
    event = asyncio.Event()
    try:
        for partition in partitions:
            if partition is not None:
                partition.watchers.add(event)
        while True:
            event.clear()
            size, failed, found = _read(asked, partitions, min(request.max_bytes, LARGEST_ANSWER), committed=committed)
            left = until - time.monotonic()
            if failed or size >= request.min_bytes or left <= 0 or not asked:
                break
            try:
                await asyncio.wait_for(event.wait(), left)
            except TimeoutError:
                until = 0.0
    finally:
        for partition in partitions:
            if partition is not None:
                partition.watchers.discard(event)
    return _fetched(request, response, partitions, found, committed=committed)


Found = tuple[ErrorCode, list[bytes]]


def _read(
    asked: list[tuple[str, Any]], partitions: list[PartitionLog | None], most: int, *, committed: bool
) -> tuple[int, bool, list[Found]]:
    """Bytes found, whether anything is wrong, and for each partition its error or its batches."""
    size, failed = 0, False
    found: list[Found] = []
    for (_, part), partition in zip(asked, partitions, strict=True):
        if partition is None:
            found.append((ErrorCode.unknown_topic_or_partition, []))
            failed = True
        elif not partition.start <= part.fetch_offset <= partition.end:
            found.append((ErrorCode.offset_out_of_range, []))
            failed = True
        else:
            room = min(part.partition_max_bytes, most - size)
            batches = partition.read(part.fetch_offset, room, committed=committed, at_least_one=not size)
            size += sum(map(len, batches))
            found.append((ErrorCode.none, batches))
    return size, failed, found


def _fetched(
    request: Any, response: Any, partitions: list[PartitionLog | None], found: list[Found], *, committed: bool
) -> Any:
    answers = iter(zip(partitions, found, strict=True))
    topics = []
    for topic in request.topics:
        parts = []
        for part in topic.partitions:
            partition, (error, batches) = next(answers)
            aborted = None
            if committed and partition is not None:
                aborted = tuple(
                    response.AbortedTransaction(producer_id=one.producer_id, first_offset=one.first)
                    for one in partition.aborted_between(part.fetch_offset, partition.stable)
                )
            parts.append(
                make(
                    response.PartitionData,
                    partition_index=part.partition,
                    error_code=error,
                    high_watermark=partition.end if partition else -1,
                    last_stable_offset=partition.stable if partition else -1,
                    log_start_offset=partition.start if partition else -1,
                    aborted_transactions=aborted,
                    preferred_read_replica=-1,
                    records=b"".join(batches),
                )
            )
        topics.append(response.FetchableTopicResponse(topic=topic.topic, partitions=tuple(parts)))
    return make(
        response.FetchResponse, throttle_time=NOW, error_code=ErrorCode.none, session_id=0, responses=tuple(topics)
    )


def list_offsets(node: Node, request: Any, response: Any, _: Any) -> Any:
    """Offsets by time: the earliest, the next, the first not older than a time, the one of the newest time."""
    committed = getattr(request, "isolation_level", 0) == _READ_COMMITTED
    return make(
        response.ListOffsetsResponse,
        throttle_time=NOW,
        topics=tuple(
            response.ListOffsetsTopicResponse(
                name=topic.name,
                partitions=tuple(
                    _offset(
                        response, node.topics.partition(topic.name, part.partition_index), part, committed=committed
                    )
                    for part in topic.partitions
                ),
            )
            for topic in request.topics
        ),
    )


def _offset(response: Any, partition: PartitionLog | None, part: Any, *, committed: bool) -> Any:
    error, offset, timestamp = ErrorCode.none, -1, -1
    if partition is None:
        error = ErrorCode.unknown_topic_or_partition
    elif part.timestamp == _LATEST:
        offset = partition.stable if committed else partition.end
    elif part.timestamp == _EARLIEST:
        offset = partition.start
    else:
        try:
            if part.timestamp == _LARGEST:
                offset, timestamp = partition.largest_timestamp()
            else:
                offset, timestamp = partition.offset_at(part.timestamp)
        except UnreadableBatchError:
            error = ErrorCode.corrupt_message
        if committed and offset >= partition.stable:
            offset, timestamp = -1, -1
    return make(
        response.ListOffsetsPartitionResponse,
        partition_index=part.partition_index,
        error_code=error,
        timestamp=timestamp,
        offset=offset,
        leader_epoch=0 if offset >= 0 else -1,
    )


APIS = (
    Api(0, "produce", 3, 9, produce),
    Api(1, "fetch", 4, 12, fetch),
    Api(2, "list_offsets", 1, 7, list_offsets),
)
