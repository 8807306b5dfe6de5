"""The requests of classic groups' members: JoinGroup, SyncGroup, Heartbeat, LeaveGroup."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

from kio.schema.errors import ErrorCode

from kafkaboot.dev.embedded.classic_groups import ClassicGroup
from kafkaboot.dev.embedded.classic_members import JoinAsked, Joined, Synced
from kafkaboot.dev.embedded.cluster import NOW
from kafkaboot.dev.embedded.wire import Api, make

if TYPE_CHECKING:
    from kafkaboot.dev.embedded.node import Node

Answer = TypeVar("Answer", Joined, Synced)

LONGEST_SESSION = 1800.0
"""Seconds, Kafka's `group.max.session.timeout.ms`."""
_KNOWS_IDS, _NULLABLE, _KNOWS_SKIPPING = 4, 7, 9
_BATCHED = 3
_SAYS_PROTOCOL = 5


async def join_group(node: Node, request: Any, response: Any, connection: Any) -> Any:
    """Join; the answer comes when the generation is complete."""
    session = request.session_timeout.total_seconds()
    rebalance = getattr(request, "rebalance_timeout", request.session_timeout).total_seconds()
    asked = JoinAsked(
        request.member_id,
        getattr(request, "group_instance_id", None),
        connection.client_id,
        host_of(connection),
        session,
        rebalance,
        request.protocol_type,
        {protocol.name: protocol.metadata for protocol in request.protocols},
        id_required=request.__version__ >= _KNOWS_IDS,
        may_skip_assignment=request.__version__ >= _KNOWS_SKIPPING,
    )
    joined = await _settled(_join(node, request.group_id, asked))
    nobody = None if request.__version__ >= _NULLABLE else ""
    return make(
        response.JoinGroupResponse,
        throttle_time=NOW,
        error_code=joined.error,
        generation_id=joined.generation,
        protocol_type=joined.protocol_type,
        protocol_name=nobody if joined.protocol is None else joined.protocol,
        leader=joined.leader,
        skip_assignment=joined.skip_assignment,
        member_id=joined.member_id,
        members=tuple(
            make(response.JoinGroupResponseMember, member_id=one, group_instance_id=instance_id, metadata=metadata)
            for one, instance_id, metadata in joined.members
        ),
    )


def _join(node: Node, group_id: str, asked: JoinAsked) -> Joined | asyncio.Future[Joined]:
    if not group_id:
        return Joined(ErrorCode.invalid_group_id, asked.member_id)
    if not node.settings.min_session_timeout <= asked.session_timeout <= LONGEST_SESSION:
        return Joined(ErrorCode.invalid_session_timeout, asked.member_id)
    group = node.groups.to_join(group_id)
    if group is None:
        return Joined(ErrorCode.inconsistent_group_protocol, asked.member_id)
    return group.join(asked)


async def sync_group(node: Node, request: Any, response: Any, _: Any) -> Any:
    """Bring or fetch the assignment; the answer comes when the leader has brought it."""
    synced = await _settled(_sync(node, request))
    return make(
        response.SyncGroupResponse,
        throttle_time=NOW,
        error_code=synced.error,
        protocol_type=synced.protocol_type,
        protocol_name=synced.protocol,
        assignment=synced.assignment,
    )


def _sync(node: Node, request: Any) -> Synced | asyncio.Future[Synced]:
    said = (getattr(request, "protocol_type", None), getattr(request, "protocol_name", None))
    if None in said and request.__version__ >= _SAYS_PROTOCOL:
        return Synced(ErrorCode.inconsistent_group_protocol)
    group = node.groups.get(request.group_id)
    if not isinstance(group, ClassicGroup):
        return Synced(ErrorCode.unknown_member_id if request.group_id else ErrorCode.invalid_group_id)
    instance_id = getattr(request, "group_instance_id", None)
    error = group.check_member(request.member_id, instance_id, request.generation_id)
    if error:
        return Synced(error)
    for value, known in zip(said, (group.protocol_type, group.protocol), strict=True):
        if None not in (value, known) and value != known:
            return Synced(ErrorCode.inconsistent_group_protocol)
    return group.sync(request.member_id, {one.member_id: one.assignment for one in request.assignments})


def heartbeat(node: Node, request: Any, response: Any, _: Any) -> Any:
    """A member lives."""
    group = node.groups.get(request.group_id)
    error = ErrorCode.unknown_member_id if request.group_id else ErrorCode.invalid_group_id
    if request.group_id and isinstance(group, ClassicGroup):
        instance_id = getattr(request, "group_instance_id", None)
        error = group.heartbeat(request.member_id, instance_id, request.generation_id)
    return make(response.HeartbeatResponse, throttle_time=NOW, error_code=error)


def leave_group(node: Node, request: Any, response: Any, _: Any) -> Any:
    """Members go; since version 3 an administrator may send several away."""
    if request.__version__ < _BATCHED:
        error = node.groups.leave(request.group_id, request.member_id, None)
        return make(response.LeaveGroupResponse, throttle_time=NOW, error_code=error)
    members = tuple(
        response.MemberResponse(
            member_id=one.member_id,
            group_instance_id=one.group_instance_id,
            error_code=node.groups.leave(request.group_id, one.member_id, one.group_instance_id),
        )
        for one in request.members
    )
    return response.LeaveGroupResponse(throttle_time=NOW, error_code=ErrorCode.none, members=members)


def host_of(connection: Any) -> str:
    """Where a client is, as Kafka writes it."""
    return f"/{connection.peer.rpartition(':')[0]}"


async def _settled(answer: Answer | asyncio.Future[Answer]) -> Answer:
    return await answer if isinstance(answer, asyncio.Future) else answer


APIS = (
    Api(11, "join_group", 0, 9, join_group),
    Api(12, "heartbeat", 0, 4, heartbeat),
    Api(13, "leave_group", 0, 5, leave_group),
    Api(14, "sync_group", 0, 5, sync_group),
)
