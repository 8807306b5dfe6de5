"""Classic groups of the embedded broker by their requests, in every version that it answers."""

import asyncio
import inspect
import time
from datetime import timedelta
from importlib import import_module
from types import SimpleNamespace

import pytest
from kio.schema.errors import ErrorCode

from kafkaboot.dev.embedded.node import Node, NodeSettings, all_apis
from kafkaboot.dev.embedded.wire import codec

SESSION, REBALANCE = 10.0, 20.0
APIS = {api.name: api for api in all_apis().values()}
MEMBER = SimpleNamespace(client_id="probe", peer="127.0.0.1:1")


class Desk:
    """A node that is asked as its connections ask it; what it answers can be written in the version of the request."""

    def __init__(self):
        self.node = Node(NodeSettings())

    def part(self, name, version, kind):
        return getattr(import_module(f"kio.schema.{name}.v{version}.request"), kind)

    async def ask(self, name, version, **fields):
        request = self.part(name, version, "".join(one.title() for one in name.split("_")) + "Request")
        known = {field: value for field, value in fields.items() if field in request.__dataclass_fields__}
        answer = APIS[name].answer(self.node, request(**known), codec(name, version).response, MEMBER)
        answer = await asyncio.wait_for(answer, 1) if inspect.isawaitable(answer) else answer
        assert codec(name, version).write(1, answer)
        return answer

    async def join(self, version, member_id="", **more):
        protocol = self.part("join_group", version, "JoinGroupRequestProtocol")(name="range", metadata=b"m")
        given = {
            "group_id": "g",
            "session_timeout": timedelta(seconds=SESSION),
            "rebalance_timeout": timedelta(seconds=REBALANCE),
            "member_id": member_id,
            "group_instance_id": None,
            "protocol_type": "consumer",
            "protocols": (protocol,),
        }
        return await self.ask("join_group", version, **given | more)

    async def member(self, version=9):
        """The id of a member that is alone in a stable first generation."""
        answer = await self.join(version)
        if answer.error_code is ErrorCode.member_id_required:
            answer = await self.join(version, answer.member_id)
        assert (answer.error_code, answer.generation_id, answer.protocol_name) == (ErrorCode.none, 1, "range")
        sync = min(version, 5)
        assigned = self.part("sync_group", sync, "SyncGroupRequestAssignment")(
            member_id=answer.member_id, assignment=b"all"
        )
        synced = await self.sync(sync, answer.member_id, assignments=(assigned,))
        assert (synced.error_code, synced.assignment) == (ErrorCode.none, b"all")
        return answer.member_id

    async def sync(self, version, member_id, **more):
        given = {"group_id": "g", "generation_id": 1, "member_id": member_id, "group_instance_id": None}
        given |= {"protocol_type": "consumer", "protocol_name": "range", "assignments": ()}
        return await self.ask("sync_group", version, **given | more)


@pytest.fixture
def desk():
    return Desk()


@pytest.mark.parametrize("version", range(10))
async def test_members_of_every_version_join_sync_live_and_leave(desk, version):
    member = await desk.member(version)
    beat = {"group_id": "g", "generation_id": 1, "member_id": member, "group_instance_id": None}
    assert (await desk.ask("heartbeat", min(version, 4), **beat)).error_code is ErrorCode.none
    described = (
        await desk.ask("describe_groups", min(version, 6), groups=("g",), include_authorized_operations=False)
    ).groups[0]
    assert (described.group_state, described.protocol_data, described.members[0].member_assignment) == (
        "Stable",
        "range",
        b"all",
    )
    listed = await desk.ask("list_groups", min(version, 5), states_filter=(), types_filter=())
    assert [one.group_id for one in listed.groups] == ["g"]
    delete = min(version, 2)
    deleted = await desk.ask("delete_groups", delete, groups_names=("g",))
    assert deleted.results[0].error_code is ErrorCode.non_empty_group
    leave = min(version, 5)
    if leave < 3:
        left = await desk.ask("leave_group", leave, group_id="g", member_id=member)
        assert left.error_code is ErrorCode.none
    else:
        identity = desk.part("leave_group", leave, "MemberIdentity")(member_id=member, group_instance_id=None)
        left = await desk.ask("leave_group", leave, group_id="g", members=(identity,))
        assert left.members[0].error_code is ErrorCode.none
    assert (await desk.ask("delete_groups", delete, groups_names=("g",))).results[0].error_code is ErrorCode.none


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"group_id": ""}, ErrorCode.invalid_group_id),
        ({"session_timeout": timedelta(milliseconds=1)}, ErrorCode.invalid_session_timeout),
        ({"session_timeout": timedelta(hours=1)}, ErrorCode.invalid_session_timeout),
        ({"member_id": "stranger"}, ErrorCode.unknown_member_id),
        ({"protocols": ()}, ErrorCode.inconsistent_group_protocol),
        ({"protocol_type": ""}, ErrorCode.inconsistent_group_protocol),
        ({}, ErrorCode.none),
    ],
)
@pytest.mark.parametrize("version", [0, 3])
async def test_a_join_that_makes_no_sense_is_refused(desk, version, wrong, error):
    assert (await desk.join(version, **wrong)).error_code is error


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"group_id": "other"}, ErrorCode.unknown_member_id),
        ({"group_id": ""}, ErrorCode.invalid_group_id),
        ({"generation_id": 7}, ErrorCode.illegal_generation),
        ({"protocol_name": "sticky"}, ErrorCode.inconsistent_group_protocol),
        ({"protocol_type": "connect"}, ErrorCode.inconsistent_group_protocol),
        ({"protocol_name": None}, ErrorCode.inconsistent_group_protocol),
        ({}, ErrorCode.none),
    ],
)
async def test_a_sync_that_makes_no_sense_is_refused(desk, wrong, error):
    assert (await desk.sync(5, await desk.member(), **wrong)).error_code is error


async def test_a_commit_shows_that_the_member_lives(desk):
    desk.node.topics.create("t", 1)
    member = await desk.member()
    known = desk.node.groups.get("g").members[member]
    known.deadline = 0.0
    partition = desk.part("offset_commit", 9, "OffsetCommitRequestPartition")(
        partition_index=0, committed_offset=1, committed_metadata=None
    )
    topic = desk.part("offset_commit", 9, "OffsetCommitRequestTopic")(name="t", partitions=(partition,))
    given = {"group_id": "g", "generation_id_or_member_epoch": 1, "member_id": member, "topics": (topic,)}
    await desk.ask("offset_commit", 9, **given | {"generation_id_or_member_epoch": 2})
    assert known.deadline == 0.0
    await desk.ask("offset_commit", 9, **given)
    assert known.deadline > time.monotonic()
