"""What administrators ask: topics made, grown and deleted, records deleted, where an epoch ended."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from kio.schema.errors import ErrorCode

from kafkaboot.dev.embedded.cluster import NOW
from kafkaboot.dev.embedded.configs import InvalidConfigError, checked
from kafkaboot.dev.embedded.node import NODE_ID
from kafkaboot.dev.embedded.settings_requests import created
from kafkaboot.dev.embedded.wire import Api, make

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from kafkaboot.dev.embedded.log import PartitionLog
    from kafkaboot.dev.embedded.node import Node
    from kafkaboot.dev.embedded.topics import Topic

_MOST = 10_000
"""Partitions that one request may ask for, as in Kafka."""
_END = -1


class _Wanted(NamedTuple):
    partitions: int
    config: dict[str, str]


class _Deletion(NamedTuple):
    name: str | None
    topic_id: UUID | None
    topic: Topic | None
    error: ErrorCode = ErrorCode.none
    message: str | None = None


class _RefusedError(Exception):
    def __init__(self, error: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.error = error


def create_topics(node: Node, request: Any, response: Any, _: Any) -> Any:
    """Make topics of one replica; nothing is made with `validate_only`."""
    twice = {name for name, times in Counter(topic.name for topic in request.topics).items() if times > 1}
    total = sum(max(1, topic.num_partitions, len(topic.assignments)) for topic in request.topics)
    results = []
    for asked in request.topics:
        made: Topic | None = None
        wanted = _Wanted(-1, {})
        error, message = ErrorCode.none, None
        try:
            if total > _MOST or total > node.topics.room():
                raise _RefusedError(ErrorCode.policy_violation, "Excessively large number of partitions per request.")
            if asked.name in twice:
                raise _RefusedError(ErrorCode.invalid_request, "Duplicate topic name.")
            wanted = _wanted(node, asked)
        except _RefusedError as refused:
            error, message = refused.error, str(refused)
        if error is ErrorCode.none and not request.validate_only:
            made = node.topics.create(asked.name, wanted.partitions, wanted.config)
        fine = error is ErrorCode.none
        results.append(
            make(
                response.CreatableTopicResult,
                name=asked.name,
                topic_id=made.id if made else None,
                error_code=error,
                error_message=message,
                num_partitions=wanted.partitions,
                replication_factor=1 if fine else -1,
                configs=created(response, wanted.config) if fine else None,
            )
        )
    return make(response.CreateTopicsResponse, throttle_time=NOW, topics=tuple(results))


def _wanted(node: Node, asked: Any) -> _Wanted:
    if node.topics.get(asked.name) is not None:
        raise _RefusedError(ErrorCode.topic_already_exists, f"Topic '{asked.name}' already exists.")
    objection = node.topics.objection(asked.name)
    if objection is not None:
        raise _RefusedError(ErrorCode.invalid_topic_exception, objection)
    partitions = _assigned(asked) if asked.assignments else _counted(node, asked)
    try:
        return _Wanted(partitions, checked((config.name, config.value) for config in asked.configs))
    except InvalidConfigError as invalid:
        raise _RefusedError(ErrorCode.invalid_config, str(invalid)) from invalid


def _counted(node: Node, asked: Any) -> int:
    factor = asked.replication_factor
    if factor == 0 or factor < -1:
        raise _RefusedError(
            ErrorCode.invalid_replication_factor,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        )
    if asked.num_partitions == 0 or asked.num_partitions < -1:
        raise _RefusedError(
            ErrorCode.invalid_partitions, "Number of partitions was set to an invalid non-positive value."
        )
    if factor > 1:
        raise _RefusedError(
            ErrorCode.invalid_replication_factor,
            f"Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot be "
            "reached because only 1 broker(s) are registered.",
        )
    return node.topics.default_partitions if asked.num_partitions == -1 else int(asked.num_partitions)


def _assigned(asked: Any) -> int:
    if asked.num_partitions != -1 or asked.replication_factor != -1:
        raise _RefusedError(
            ErrorCode.invalid_request,
            "A manual partition assignment was specified, but numPartitions or replicationFactor was not set to -1.",
        )
    if sorted(one.partition_index for one in asked.assignments) != list(range(len(asked.assignments))):
        raise _RefusedError(
            ErrorCode.invalid_replica_assignment, "partitions should be a consecutive 0-based integer sequence"
        )
    _check_replicas(asked.assignments)
    return len(asked.assignments)


def _check_replicas(assignments: Any) -> None:
    if any(tuple(one.broker_ids) != (NODE_ID,) for one in assignments):
        raise _RefusedError(
            ErrorCode.invalid_replica_assignment,
            f"The manual partition assignment includes brokers other than {NODE_ID}, the only one that is registered.",
        )


def delete_topics(node: Node, request: Any, response: Any, _: Any) -> Any:
    """Drop topics with everything in them, by name or by id. What is asked for twice is answered once, and stays."""
    if hasattr(request, "topics"):
        times = Counter((one.name, one.topic_id) for one in request.topics)
    else:
        times = Counter((name, None) for name in request.topic_names)
    results = []
    for name, topic_id, topic, error, message in _to_delete(node, times):
        if topic is not None and error is ErrorCode.none:
            node.topics.delete(topic.name)
            node.offsets.delete_topic(topic.name)
        results.append(
            make(
                response.DeletableTopicResult,
                name=topic.name if topic else name,
                topic_id=topic.id if topic else topic_id,
                error_code=error,
                error_message=message,
            )
        )
    return make(response.DeleteTopicsResponse, throttle_time=NOW, responses=tuple(results))


def _to_delete(node: Node, times: Counter[tuple[str | None, UUID | None]]) -> Iterator[_Deletion]:
    """What becomes of each topic that is asked for, by name or by id, so many times."""
    invalid = ErrorCode.invalid_request
    for (name, topic_id), count in times.items():
        if (name is None) == (topic_id is None):
            message = (
                "Neither topic name nor id were specified."
                if name is None
                else "You may not specify both topic name and topic id."
            )
            yield from [_Deletion(name, topic_id, None, invalid, message)] * count
        elif count > 1:
            yield _Deletion(name, topic_id, None, invalid, f"Duplicate topic {'id' if name is None else 'name'}.")
        elif name is None:
            topic = node.topics.by_id(topic_id)
            if topic is None:
                message = "This server does not host this topic ID."
                yield _Deletion(None, topic_id, None, ErrorCode.unknown_topic_id, message)
            elif times[topic.name, None] != 1:  # else it is answered by its name
                yield _Deletion(None, topic_id, topic)
        else:
            topic = node.topics.get(name)
            if topic is None:
                message = "This server does not host this topic-partition."
                yield _Deletion(name, None, None, ErrorCode.unknown_topic_or_partition, message)
            elif times[None, topic.id]:
                message = "The provided topic name maps to an ID that was already supplied."
                yield _Deletion(name, None, topic, invalid, message)
            else:
                yield _Deletion(name, None, topic)


def create_partitions(node: Node, request: Any, response: Any, _: Any) -> Any:
    """Let topics grow; they never shrink."""
    results = []
    for asked in request.topics:
        error, message = ErrorCode.none, None
        try:
            topic = _to_grow(node, asked)
            if not request.validate_only:
                node.topics.grow(topic, asked.count)
        except _RefusedError as refused:
            error, message = refused.error, str(refused) or None
        results.append(response.CreatePartitionsTopicResult(name=asked.name, error_code=error, error_message=message))
    return make(response.CreatePartitionsResponse, throttle_time=NOW, results=tuple(results))


def _to_grow(node: Node, asked: Any) -> Topic:
    topic = node.topics.get(asked.name)
    if topic is None:
        raise _RefusedError(ErrorCode.unknown_topic_or_partition, "")
    there = len(topic.partitions)
    if asked.count == there:
        raise _RefusedError(ErrorCode.invalid_partitions, f"Topic already has {there} partition(s).")
    if asked.count < there:
        raise _RefusedError(
            ErrorCode.invalid_partitions,
            f"The topic {asked.name} currently has {there} partition(s); {asked.count} would not be an increase.",
        )
    if asked.count - there > min(_MOST, node.topics.room()):
        raise _RefusedError(ErrorCode.policy_violation, "Excessively large number of partitions per request.")
    if asked.assignments is not None:
        if len(asked.assignments) != asked.count - there:
            raise _RefusedError(
                ErrorCode.invalid_replica_assignment,
                f"Attempted to add {asked.count - there} additional partition(s), but only {len(asked.assignments)} "
                "assignment(s) were specified.",
            )
        _check_replicas(asked.assignments)
    return topic


def delete_records(node: Node, request: Any, response: Any, _: Any) -> Any:
    """Forget what is older than an offset; -1 for everything."""
    return make(
        response.DeleteRecordsResponse,
        throttle_time=NOW,
        topics=tuple(
            response.DeleteRecordsTopicResult(
                name=topic.name,
                partitions=tuple(_deleted(node, response, topic.name, part) for part in topic.partitions),
            )
            for topic in request.topics
        ),
    )


def _deleted(node: Node, response: Any, name: str, part: Any) -> Any:
    partition = node.topics.partition(name, part.partition_index)
    topic = node.topics.get(name)
    error = ErrorCode.none
    if partition is None or topic is None:
        error = ErrorCode.unknown_topic_or_partition
    elif not topic.settings.deletes:
        error = ErrorCode.policy_violation
    else:
        offset = partition.end if part.offset == _END else part.offset
        if 0 <= offset <= partition.end:
            partition.delete_before(offset)
        else:
            error = ErrorCode.offset_out_of_range
    return response.DeleteRecordsPartitionResult(
        partition_index=part.partition_index,
        low_watermark=partition.start if partition is not None and error is ErrorCode.none else -1,
        error_code=error,
    )


def offset_for_leader_epoch(node: Node, request: Any, response: Any, _: Any) -> Any:
    """Where an epoch of the leader ended (KIP-320). There is one epoch here, 0, and it goes on."""
    return make(
        response.OffsetForLeaderEpochResponse,
        throttle_time=NOW,
        topics=tuple(
            response.OffsetForLeaderTopicResult(
                topic=topic.topic,
                partitions=tuple(
                    _epoch_end(response, node.topics.partition(topic.topic, part.partition), part)
                    for part in topic.partitions
                ),
            )
            for topic in request.topics
        ),
    )


def _epoch_end(response: Any, partition: PartitionLog | None, part: Any) -> Any:
    error, epoch, end = ErrorCode.none, -1, -1
    if partition is None:
        error = ErrorCode.unknown_topic_or_partition
    elif part.current_leader_epoch > 0:
        error = ErrorCode.unknown_leader_epoch
    elif part.leader_epoch == 0:
        epoch, end = 0, partition.end
    return response.EpochEndOffset(error_code=error, partition=part.partition, leader_epoch=epoch, end_offset=end)


APIS = (
    Api(19, "create_topics", 2, 7, create_topics),
    Api(20, "delete_topics", 1, 6, delete_topics),
    Api(21, "delete_records", 0, 2, delete_records),
    Api(23, "offset_for_leader_epoch", 2, 4, offset_for_leader_epoch),
    Api(37, "create_partitions", 0, 3, create_partitions),
)
