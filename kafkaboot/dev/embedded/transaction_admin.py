"""What administrators ask about transactions: which there are, how one stands, who writes to a partition (KIP-664)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from kio.schema.errors import ErrorCode

from kafkaboot.dev.embedded.cluster import NOW
from kafkaboot.dev.embedded.transactions import NOBODY, ProducerEpoch, State
from kafkaboot.dev.embedded.wire import Api

if TYPE_CHECKING:
    from kafkaboot.dev.embedded.log import PartitionLog
    from kafkaboot.dev.embedded.node import Node

_NEVER = datetime.fromtimestamp(0, UTC) - timedelta(milliseconds=1)
"""-1 on the wire."""


def describe_transactions(node: Node, request: Any, response: Any, _: Any) -> Any:
    """How transactional ids stand."""
    return response.DescribeTransactionsResponse(
        throttle_time=NOW,
        transaction_states=tuple(_described(node, response, one) for one in request.transactional_ids),
    )


def _described(node: Node, response: Any, transactional_id: str) -> Any:
    one = node.transactions.get(transactional_id)
    if one is None:
        error, state, timeout, began = ErrorCode.transactional_id_not_found, "", 0.0, _NEVER
        producer, partitions = ProducerEpoch(NOBODY, NOBODY), set[tuple[str, int]]()
    else:
        error, state, timeout, producer, partitions = (
            ErrorCode.none,
            one.state,
            one.timeout,
            one.current,
            one.partitions,
        )
        began = datetime.fromtimestamp(one.began, UTC) if state is State.ONGOING else _NEVER
    return response.TransactionState(
        error_code=error,
        transactional_id=transactional_id,
        transaction_state=str(state),
        transaction_timeout=timedelta(seconds=timeout),
        transaction_start_time=began,
        producer_id=producer.producer_id,
        producer_epoch=producer.epoch,
        topics=tuple(
            response.TopicData(topic=name, partitions=tuple(sorted(index for of, index in partitions if of == name)))
            for name in sorted({name for name, _ in partitions})
        ),
    )


def list_transactions(node: Node, request: Any, response: Any, _: Any) -> Any:
    """The transactional ids that are known, in the states and of the producers that are asked for."""
    found = [
        one
        for one in node.transactions
        if (not request.state_filters or one.state in request.state_filters)
        and (not request.producer_id_filters or one.current.producer_id in request.producer_id_filters)
    ]
    return response.ListTransactionsResponse(
        throttle_time=NOW,
        error_code=ErrorCode.none,
        unknown_state_filters=tuple(name for name in request.state_filters if name not in _STATES),
        transaction_states=tuple(
            response.TransactionState(
                transactional_id=one.transactional_id,
                producer_id=one.current.producer_id,
                transaction_state=str(one.state),
            )
            for one in found
        ),
    )


_STATES = {*State, "PrepareCommit", "PrepareAbort", "PrepareEpochFence", "Dead"}
"""Those of Kafka; an id is never in the last four here."""


def describe_producers(node: Node, request: Any, response: Any, _: Any) -> Any:
    """Who has written to a partition, and what of it is undecided."""
    topics = []
    for topic in request.topics:
        parts = []
        for index in topic.partition_indexes:
            partition = node.topics.partition(topic.name, index)
            missing = "This server does not host this topic-partition."
            parts.append(
                response.PartitionResponse(
                    partition_index=index,
                    error_code=ErrorCode.unknown_topic_or_partition if partition is None else ErrorCode.none,
                    error_message=missing if partition is None else None,
                    active_producers=() if partition is None else _producers(response, partition),
                )
            )
        topics.append(response.TopicResponse(name=topic.name, partitions=tuple(parts)))
    return response.DescribeProducersResponse(throttle_time=NOW, topics=tuple(topics))


def _producers(response: Any, partition: PartitionLog) -> tuple[Any, ...]:
    found = []
    for producer_id, producer in partition.producers.items():
        sequence, timestamp = NOBODY, NOBODY
        if producer.recent:
            _, sequence, base = producer.recent[-1]
            at = partition.at(base)
            if at < len(partition.batches) and partition.batches[at].base == base:
                timestamp = partition.batches[at].largest_timestamp
        found.append(
            response.ProducerState(
                producer_id=producer_id,
                producer_epoch=producer.epoch,
                last_sequence=sequence,
                last_timestamp=timestamp,
                coordinator_epoch=NOBODY,
                current_txn_start_offset=partition.open.get(producer_id, NOBODY),
            )
        )
    return tuple(found)


APIS = (
    Api(61, "describe_producers", 0, 0, describe_producers),
    Api(65, "describe_transactions", 0, 0, describe_transactions),
    Api(66, "list_transactions", 0, 0, list_transactions),
)
