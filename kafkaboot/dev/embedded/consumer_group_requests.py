"""The requests of KIP-848: ConsumerGroupHeartbeat and ConsumerGroupDescribe."""

from __future__ import annotations

import re
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from kio.schema.errors import ErrorCode

from kafkaboot.dev.embedded.assignors import ASSIGNORS
from kafkaboot.dev.embedded.cluster import NOW
from kafkaboot.dev.embedded.consumer_groups import (
    LEAVES_FOR_A_WHILE,
    Answered,
    Beat,
    ConsumerGroup,
    ConsumerMember,
    Owned,
)
from kafkaboot.dev.embedded.group_requests import host_of
from kafkaboot.dev.embedded.wire import Api, make

if TYPE_CHECKING:
    from kafkaboot.dev.embedded.node import Node

_NOT_ASKED = -(2**31)


def consumer_group_heartbeat(node: Node, request: Any, response: Any, connection: Any) -> Any:
    """A member joins, lives, or goes, and is told what to read."""
    answered = _refused(request) or _beat(node, request, connection)
    return response.ConsumerGroupHeartbeatResponse(
        throttle_time=NOW,
        error_code=answered.error,
        error_message=answered.message,
        member_id=answered.member_id or None,
        member_epoch=answered.epoch,
        heartbeat_interval=timedelta(seconds=node.settings.consumer_heartbeat_interval),
        assignment=None
        if answered.assignment is None
        else response.Assignment(
            topic_partitions=tuple(
                response.TopicPartitions(topic_id=topic, partitions=partitions)
                for topic, partitions in _by_topic(answered.assignment).items()
            )
        ),
    )


def _beat(node: Node, request: Any, connection: Any) -> Answered:
    member_id = request.member_id or str(uuid.uuid4())
    group = node.groups.to_beat(request.group_id, joins=request.member_epoch == 0)
    if group is None:
        return Answered(ErrorCode.group_id_not_found, member_id, message=f"{request.group_id} is no consumer group")
    rebalance = request.rebalance_timeout.total_seconds()
    names, owned = request.subscribed_topic_names, request.topic_partitions
    return group.heartbeat(
        Beat(
            member_id,
            request.member_epoch,
            request.instance_id,
            request.rack_id,
            connection.client_id,
            host_of(connection),
            rebalance if rebalance >= 0 else None,
            None if names is None else frozenset(names),
            getattr(request, "subscribed_topic_regex", None),
            request.server_assignor,
            None if owned is None else frozenset((one.topic_id, index) for one in owned for index in one.partitions),
        )
    )


def _refused(request: Any) -> Answered | None:
    """What is wrong with a heartbeat whoever sends it."""
    epoch, regex = request.member_epoch, getattr(request, "subscribed_topic_regex", None)
    subscribes = request.subscribed_topic_names is not None or regex is not None
    error, wrong = ErrorCode.invalid_request, ""
    if not request.group_id:
        wrong = "GroupId can't be empty."
    elif not request.member_id and (epoch != 0 or request.__version__ > 0):
        wrong = "MemberId can't be empty."
    elif epoch < LEAVES_FOR_A_WHILE:
        wrong = "MemberEpoch is invalid."
    elif epoch == LEAVES_FOR_A_WHILE and request.instance_id is None:
        wrong = "InstanceId can't be null."
    elif request.instance_id == "":
        wrong = "InstanceId can't be empty."
    elif epoch == 0 and request.rebalance_timeout < NOW:
        wrong = "RebalanceTimeoutMs must be provided in first request."
    elif epoch == 0 and (request.topic_partitions is None or request.topic_partitions):
        wrong = "TopicPartitions must be empty when (re-)joining."
    elif epoch == 0 and not subscribes:
        wrong = "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining."
    elif epoch >= 0 and request.server_assignor is not None and request.server_assignor not in ASSIGNORS:
        error = ErrorCode.unsupported_assignor
        wrong = (
            f"ServerAssignor {request.server_assignor} is not supported. Supported assignors: {', '.join(ASSIGNORS)}."
        )
    elif regex:
        try:
            re.compile(regex)
        except re.error as broken:
            error = ErrorCode.invalid_regular_expression
            wrong = f"SubscribedTopicRegex `{regex}` is not a valid regular expression: {broken}."
    return Answered(error, request.member_id, message=wrong) if wrong else None


def _by_topic(owned: Owned) -> dict[uuid.UUID, tuple[int, ...]]:
    found: dict[uuid.UUID, list[int]] = {}
    for topic, index in sorted(owned):
        found.setdefault(topic, []).append(index)
    return {topic: tuple(indexes) for topic, indexes in found.items()}


def consumer_group_describe(node: Node, request: Any, response: Any, _: Any) -> Any:
    """Consumer groups with their members, what these read, and what they are to read."""
    groups = []
    for group_id in request.group_ids:
        group = node.groups.get(group_id)
        known = group if isinstance(group, ConsumerGroup) else None
        groups.append(
            response.DescribedGroup(
                error_code=ErrorCode.none if known else ErrorCode.group_id_not_found,
                error_message=None if known else f"Group {group_id} not found.",
                group_id=group_id,
                group_state=known.state if known else "",
                group_epoch=known.epoch if known else 0,
                assignment_epoch=known.assignment_epoch if known else 0,
                assignor_name=known.assignor if known else "",
                members=tuple(_described(node, response, one) for one in known.members.values()) if known else (),
                authorized_operations=_NOT_ASKED,
            )
        )
    return response.ConsumerGroupDescribeResponse(throttle_time=NOW, groups=tuple(groups))


def _described(node: Node, response: Any, member: ConsumerMember) -> Any:
    def assignment(owned: Owned) -> Any:
        found = []
        for topic_id, partitions in _by_topic(owned).items():
            topic = node.topics.by_id(topic_id)
            if topic is not None:
                found.append(response.TopicPartitions(topic_id=topic_id, topic_name=topic.name, partitions=partitions))
        return response.Assignment(topic_partitions=tuple(found))

    return make(
        response.Member,
        member_id=member.id,
        instance_id=member.instance_id,
        rack_id=member.rack_id,
        member_epoch=member.epoch,
        client_id=member.client_id,
        client_host=member.client_host,
        subscribed_topic_names=tuple(sorted(member.topics)),
        subscribed_topic_regex=member.regex,
        assignment=assignment(member.assigned),
        target_assignment=assignment(member.target),
        member_type=1,
    )


APIS = (
    Api(68, "consumer_group_heartbeat", 0, 1, consumer_group_heartbeat),
    Api(69, "consumer_group_describe", 0, 1, consumer_group_describe),
)
