"""Groups as administrators see them: ListGroups, DescribeGroups, DeleteGroups, OffsetDelete."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kio.schema.errors import ErrorCode

from kafkaboot.dev.embedded.classic_groups import STABLE, ClassicGroup
from kafkaboot.dev.embedded.cluster import NOW
from kafkaboot.dev.embedded.wire import Api, make

if TYPE_CHECKING:
    from kafkaboot.dev.embedded.classic_members import Member
    from kafkaboot.dev.embedded.node import Node

CONSUMERS = "consumer"
"""The protocol type whose members say which topics they read."""
_NOT_ASKED = -(2**31)
_SAYS_MISSING = 6
"""DescribeGroups since this version says that a group is not there; before, such a group is dead."""


def list_groups(node: Node, request: Any, response: Any, _: Any) -> Any:
    """Groups with members or offsets, by state and kind where these are asked for."""
    states = {state.casefold() for state in getattr(request, "states_filter", ())}
    kinds = {kind.casefold() for kind in getattr(request, "types_filter", ())}
    return make(
        response.ListGroupsResponse,
        throttle_time=NOW,
        error_code=ErrorCode.none,
        groups=tuple(
            make(
                response.ListedGroup,
                group_id=group.id,
                protocol_type=group.protocol_type or "",
                group_state=group.state,
                group_type=group.kind,
            )
            for group in node.groups
            if (not states or group.state.casefold() in states) and (not kinds or group.kind.casefold() in kinds)
        ),
    )


def describe_groups(node: Node, request: Any, response: Any, _: Any) -> Any:
    """Classic groups with their members."""
    groups = []
    for group_id in request.groups:
        group = node.groups.get(group_id)
        known = group if isinstance(group, ClassicGroup) else None
        missing = known is None and request.__version__ >= _SAYS_MISSING
        protocol = (known.protocol if known and known.state == STABLE else None) or ""
        groups.append(
            make(
                response.DescribedGroup,
                error_code=ErrorCode.group_id_not_found if missing else ErrorCode.none,
                error_message=f"Group {group_id} not found." if missing else None,
                group_id=group_id,
                group_state=known.state if known else "Dead",
                protocol_type=(known.protocol_type if known else None) or "",
                protocol_data=protocol,
                members=tuple(_described(response, one, protocol) for one in known.members.values()) if known else (),
                authorized_operations=_NOT_ASKED,
            )
        )
    return make(response.DescribeGroupsResponse, throttle_time=NOW, groups=tuple(groups))


def _described(response: Any, member: Member, protocol: str) -> Any:
    return make(
        response.DescribedGroupMember,
        member_id=member.id,
        group_instance_id=member.instance_id,
        client_id=member.client_id,
        client_host=member.client_host,
        member_metadata=member.protocols.get(protocol, b""),
        member_assignment=member.assignment,
    )


def delete_groups(node: Node, request: Any, response: Any, _: Any) -> Any:
    """Drop groups with their offsets, unless somebody is in them."""
    results = []
    for group_id in request.groups_names:
        group = node.groups.get(group_id)
        if group is None:
            error = ErrorCode.group_id_not_found
        elif not group.empty:
            error = ErrorCode.non_empty_group
        else:
            error = ErrorCode.none
            node.groups.delete(group_id)
        results.append(response.DeletableGroupResult(group_id=group_id, error_code=error))
    return response.DeleteGroupsResponse(throttle_time=NOW, results=tuple(results))


def offset_delete(node: Node, request: Any, response: Any, _: Any) -> Any:
    """Forget offsets, but not in topics that the group's members read."""
    group = node.groups.get(request.group_id)
    if group is None:
        return response.OffsetDeleteResponse(error_code=ErrorCode.group_id_not_found, throttle_time=NOW, topics=())
    if not group.empty and group.protocol_type != CONSUMERS:
        return response.OffsetDeleteResponse(error_code=ErrorCode.non_empty_group, throttle_time=NOW, topics=())
    topics = []
    for topic in request.topics:
        error = ErrorCode.none
        if node.topics.get(topic.name) is None:
            error = ErrorCode.unknown_topic_or_partition
        elif group.reads(topic.name):
            error = ErrorCode.group_subscribed_to_topic
        else:
            gone = [(topic.name, part.partition_index) for part in topic.partitions]
            node.offsets.delete(request.group_id, gone)
        parts = tuple(
            response.OffsetDeleteResponsePartition(partition_index=part.partition_index, error_code=error)
            for part in topic.partitions
        )
        topics.append(response.OffsetDeleteResponseTopic(name=topic.name, partitions=parts))
    return response.OffsetDeleteResponse(error_code=ErrorCode.none, throttle_time=NOW, topics=tuple(topics))


APIS = (
    Api(15, "describe_groups", 0, 6, describe_groups),
    Api(16, "list_groups", 0, 5, list_groups),
    Api(42, "delete_groups", 0, 2, delete_groups),
    Api(47, "offset_delete", 0, 0, offset_delete),
)
