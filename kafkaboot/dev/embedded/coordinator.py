"""The transaction coordinator's requests, from InitProducerId to EndTxn, and what administrators ask it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kio.schema.errors import ErrorCode

from kafkaboot.dev.embedded.cluster import NOW
from kafkaboot.dev.embedded.offsets import Committed
from kafkaboot.dev.embedded.transactions import NOBODY, ProducerEpoch
from kafkaboot.dev.embedded.wire import Api, make

if TYPE_CHECKING:
    from kafkaboot.dev.embedded.node import Node

_FENCED_SINCE = {22: 4, 24: 2, 25: 2, 26: 2}
"""Versions from which a client knows PRODUCER_FENCED; the ones before, and 28, are told INVALID_PRODUCER_EPOCH."""


def init_producer_id(node: Node, request: Any, response: Any, _: Any) -> Any:
    """An id for an idempotent producer, or the next epoch of a transactional one."""
    if request.transactional_id is None:
        error, producer = ErrorCode.none, node.transactions.new_producer()
    else:
        expected = ProducerEpoch(getattr(request, "producer_id", NOBODY), getattr(request, "producer_epoch", NOBODY))
        timeout = request.transaction_timeout.total_seconds()
        error, found = node.transactions.init(request.transactional_id, timeout, expected)
        producer = found or ProducerEpoch(NOBODY, NOBODY)
    return response.InitProducerIdResponse(
        throttle_time=NOW,
        error_code=_told(request, error),
        producer_id=producer.producer_id,
        producer_epoch=producer.epoch,
    )


def add_partitions_to_txn(node: Node, request: Any, response: Any, _: Any) -> Any:
    """All of them or none: one that is not there keeps the others out (KIP-98)."""
    transactional_id = request.v3_and_below_transactional_id
    who = ProducerEpoch(request.v3_and_below_producer_id, request.v3_and_below_producer_epoch)
    asked = [(topic.name, index) for topic in request.v3_and_below_topics for index in topic.partitions]
    missing = {one for one in asked if node.topics.partition(*one) is None}
    if missing:
        error = ErrorCode.operation_not_attempted
    else:
        error = node.transactions.refusal(transactional_id, who)
        if error is ErrorCode.none:
            node.transactions.add(transactional_id, asked)
    error = _told(request, error)
    topics = []
    for topic in request.v3_and_below_topics:
        parts = tuple(
            response.AddPartitionsToTxnPartitionResult(
                partition_index=index,
                partition_error_code=ErrorCode.unknown_topic_or_partition if (topic.name, index) in missing else error,
            )
            for index in topic.partitions
        )
        topics.append(response.AddPartitionsToTxnTopicResult(name=topic.name, results_by_partition=parts))
    return response.AddPartitionsToTxnResponse(throttle_time=NOW, results_by_topic_v3_and_below=tuple(topics))


def add_offsets_to_txn(node: Node, request: Any, response: Any, _: Any) -> Any:
    """A group's offsets will be part of the transaction."""
    error = node.transactions.refusal(request.transactional_id, _who(request))
    if error is ErrorCode.none:
        node.transactions.add_group(request.transactional_id, request.group_id)
    return response.AddOffsetsToTxnResponse(throttle_time=NOW, error_code=_told(request, error))


def txn_offset_commit(node: Node, request: Any, response: Any, _: Any) -> Any:
    """Offsets of the transaction. A member of an older generation is refused: zombies commit nothing (KIP-447)."""
    error = _told(request, node.transactions.takes_offsets(request.transactional_id, _who(request), request.group_id))
    if error is ErrorCode.none:
        error = node.groups.check(
            request.group_id,
            getattr(request, "member_id", ""),
            getattr(request, "group_instance_id", None),
            getattr(request, "generation_id", -1),
        )
    offsets = {}
    topics = []
    for topic in request.topics:
        parts = []
        for part in topic.partitions:
            there = node.topics.partition(topic.name, part.partition_index) is not None
            told = error if there else ErrorCode.unknown_topic_or_partition
            if told is ErrorCode.none:
                epoch = getattr(part, "committed_leader_epoch", -1)
                committed = Committed(part.committed_offset, epoch, part.committed_metadata or "")
                offsets[topic.name, part.partition_index] = committed
            parts.append(
                response.TxnOffsetCommitResponsePartition(partition_index=part.partition_index, error_code=told)
            )
        topics.append(response.TxnOffsetCommitResponseTopic(name=topic.name, partitions=tuple(parts)))
    if offsets:
        node.transactions.stage(request.transactional_id, request.group_id, offsets)
    return response.TxnOffsetCommitResponse(throttle_time=NOW, topics=tuple(topics))


def end_txn(node: Node, request: Any, response: Any, _: Any) -> Any:
    """Commit or abort."""
    error = node.transactions.refusal(request.transactional_id, _who(request))
    if error is ErrorCode.none:
        error = node.transactions.end(request.transactional_id, commit=request.committed)
    return make(response.EndTxnResponse, throttle_time=NOW, error_code=_told(request, error))


def _who(request: Any) -> ProducerEpoch:
    return ProducerEpoch(request.producer_id, request.producer_epoch)


def _told(request: Any, error: ErrorCode) -> ErrorCode:
    """The error as this version of the request knows it."""
    since = _FENCED_SINCE.get(request.__api_key__)
    if error is ErrorCode.producer_fenced and (since is None or request.__version__ < since):
        return ErrorCode.invalid_producer_epoch
    return error


APIS = (
    Api(22, "init_producer_id", 0, 4, init_producer_id),
    Api(24, "add_partitions_to_txn", 0, 3, add_partitions_to_txn),
    Api(25, "add_offsets_to_txn", 0, 3, add_offsets_to_txn),
    Api(26, "end_txn", 0, 3, end_txn),
    Api(28, "txn_offset_commit", 0, 3, txn_offset_commit),
)
