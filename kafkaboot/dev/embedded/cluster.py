"""What a client asks first: which requests are answered, which brokers and topics there are, who coordinates."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from kio.schema.errors import ErrorCode

from kafkaboot.dev.embedded.node import HOST, NODE_ID
from kafkaboot.dev.embedded.wire import Api, make

if TYPE_CHECKING:
    from kafkaboot.dev.embedded.node import Node
    from kafkaboot.dev.embedded.topics import Topic

API_VERSIONS = 18
NOW = timedelta()
"""No throttling."""
_NOT_ASKED = -(2**31)
_ALL_OF_A_TOPIC = sum(1 << operation for operation in (3, 4, 5, 6, 7, 8, 10, 11))
"""Read, write, create, delete, alter, describe; describe and alter its configuration (KIP-430): nothing is refused."""


def api_versions(node: Node, _request: Any, response: Any, connection: Any) -> Any:
    """Which requests are answered, in which versions; group and transaction features are at Kafka 4's levels."""
    del node
    apis = connection.apis.values()
    return make(
        response.ApiVersionsResponse,
        error_code=ErrorCode.none,
        api_keys=tuple(
            response.ApiVersion(api_key=api.key, min_version=api.oldest, max_version=api.newest) for api in apis
        ),
        throttle_time=NOW,
    )


def metadata(node: Node, request: Any, response: Any, _: Any) -> Any:
    """Brokers and topics; a topic that is named and not there is made when both sides allow it."""
    if request.topics is None or (not request.topics and request.__version__ == 0):
        found = [_topic(response, topic.name, topic) for topic in node.topics]
    else:
        creates = node.settings.auto_create and getattr(request, "allow_auto_topic_creation", True)
        found = [_asked(node, response, asked, creates=creates) for asked in request.topics]
    if getattr(request, "include_topic_authorized_operations", False):
        found = [replace(one, topic_authorized_operations=_ALL_OF_A_TOPIC) for one in found]
    return make(
        response.MetadataResponse,
        throttle_time=NOW,
        brokers=(make(response.MetadataResponseBroker, node_id=NODE_ID, host=HOST, port=node.port, rack=None),),
        cluster_id=node.cluster_id,
        controller_id=NODE_ID,
        topics=tuple(found),
        cluster_authorized_operations=_NOT_ASKED,
    )


def _asked(node: Node, response: Any, asked: Any, *, creates: bool) -> Any:
    topic_id = getattr(asked, "topic_id", None)
    if not asked.name and topic_id is not None:
        topic = node.topics.by_id(topic_id)
        return _topic(response, topic.name if topic else None, topic, topic_id, ErrorCode.unknown_topic_id)
    topic = node.topics.get(asked.name)
    if topic is None and creates:
        if node.topics.objection(asked.name) is not None:
            return _topic(response, asked.name, None, missing=ErrorCode.invalid_topic_exception)
        if node.topics.room() >= node.topics.default_partitions:
            topic = node.topics.create(asked.name)
    return _topic(response, asked.name, topic)


def _topic(
    response: Any,
    name: str | None,
    topic: Topic | None,
    topic_id: Any = None,
    missing: ErrorCode = ErrorCode.unknown_topic_or_partition,
) -> Any:
    return make(
        response.MetadataResponseTopic,
        error_code=missing if topic is None else ErrorCode.none,
        name=name,
        topic_id=topic.id if topic else topic_id,
        is_internal=False,
        partitions=tuple(
            make(
                response.MetadataResponsePartition,
                error_code=ErrorCode.none,
                partition_index=partition.index,
                leader_id=NODE_ID,
                leader_epoch=0,
                replica_nodes=(NODE_ID,),
                isr_nodes=(NODE_ID,),
                offline_replicas=(),
            )
            for partition in (topic.partitions if topic else ())
        ),
        topic_authorized_operations=_NOT_ASKED,
    )


def find_coordinator(node: Node, request: Any, response: Any, _: Any) -> Any:
    """Always this node."""
    here = {"node_id": NODE_ID, "host": HOST, "port": node.port, "error_code": ErrorCode.none, "error_message": None}
    if hasattr(request, "coordinator_keys"):
        return response.FindCoordinatorResponse(
            throttle_time=NOW,
            coordinators=tuple(response.Coordinator(key=key, **here) for key in request.coordinator_keys),
        )
    return make(response.FindCoordinatorResponse, throttle_time=NOW, **here)


def describe_cluster(node: Node, _request: Any, response: Any, _: Any) -> Any:
    """One broker."""
    return make(
        response.DescribeClusterResponse,
        throttle_time=NOW,
        error_code=ErrorCode.none,
        error_message=None,
        endpoint_type=1,
        cluster_id=node.cluster_id,
        controller_id=NODE_ID,
        brokers=(response.DescribeClusterBroker(broker_id=NODE_ID, host=HOST, port=node.port, rack=None),),
        cluster_authorized_operations=_NOT_ASKED,
    )


APIS = (
    Api(3, "metadata", 0, 12, metadata),
    Api(10, "find_coordinator", 0, 4, find_coordinator),
    Api(API_VERSIONS, "api_versions", 0, 3, api_versions),
    Api(60, "describe_cluster", 0, 1, describe_cluster),
)
