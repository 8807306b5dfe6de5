"""Committed offsets of the embedded broker. Apache Kafka 4.1 gave the same answers to the same requests."""

from datetime import timedelta
from importlib import import_module

import pytest
from kio.schema.errors import ErrorCode

from kafkaboot.dev.embedded.consumer_groups import Beat
from kafkaboot.dev.embedded.node import Node, NodeSettings, all_apis
from kafkaboot.dev.embedded.offsets import LARGEST_METADATA, Committed

APIS = {api.name: api for api in all_apis().values()}
HERE, THERE = ("orders", 0), ("orders", 1)


def module(name, version, which="request"):
    return import_module(f"kio.schema.{name}.v{version}.{which}")


def ask(node, name, version, **fields):
    kind = getattr(module(name, version), "".join(part.title() for part in name.split("_")) + "Request")
    request = kind(**{field: value for field, value in fields.items() if field in kind.__dataclass_fields__})
    return APIS[name].answer(node, request, module(name, version, "response"), None)


@pytest.fixture
def node():
    node = Node(NodeSettings())
    node.topics.create("orders", 2)
    return node


@pytest.fixture
def offsets(node):
    return node.offsets


def commit(node, offset=5, *, topic="orders", member="", generation=-1, metadata="", version=9):
    made = module("offset_commit", version)
    part = {"partition_index": 0, "committed_offset": offset, "committed_metadata": metadata}
    if version >= 6:
        part["committed_leader_epoch"] = 3
    partitions = (made.OffsetCommitRequestPartition(**part),)
    answer = ask(
        node,
        "offset_commit",
        version,
        group_id="g",
        member_id=member,
        group_instance_id=None,
        generation_id_or_member_epoch=generation,
        retention_time=timedelta(milliseconds=-1),
        topics=(made.OffsetCommitRequestTopic(name=topic, partitions=partitions),),
    )
    return answer.topics[0].partitions[0].error_code


def fetch(node, version, *, asked=True, stable=False, **member):
    made = module("offset_fetch", version)
    several = "s" if version >= 8 else ""
    topic = getattr(made, f"OffsetFetchRequestTopic{several}")
    topics = (topic(name="orders", partition_indexes=(0, 1)),) if asked else None
    if version >= 8:
        groups = (made.OffsetFetchRequestGroup(group_id="g", topics=topics, **member),)
        answer = ask(node, "offset_fetch", version, groups=groups, require_stable=stable).groups[0]
    else:
        answer = ask(node, "offset_fetch", version, group_id="g", topics=topics, require_stable=stable)
    found = {
        (one.name, part.partition_index): (part.committed_offset, part.metadata, part.error_code)
        for one in answer.topics
        for part in one.partitions
    }
    return getattr(answer, "error_code", ErrorCode.none), found


@pytest.mark.parametrize("version", range(2, 10))
def test_every_version_of_a_commit_is_kept_with_its_metadata(node, version):
    assert commit(node, 7, metadata="noted", version=version) is ErrorCode.none
    assert node.offsets.fetch("g") == {HERE: Committed(7, 3 if version >= 6 else -1, "noted")}


@pytest.mark.parametrize("version", range(1, 10))
def test_every_version_of_a_fetch_gives_what_was_committed(node, version):
    commit(node, 7, metadata="noted")
    found = {HERE: (7, "noted", ErrorCode.none), THERE: (-1, "", ErrorCode.none)}
    assert fetch(node, version) == (ErrorCode.none, found)
    if version >= 2:
        assert fetch(node, version, asked=False) == (ErrorCode.none, {HERE: (7, "noted", ErrorCode.none)})


def test_a_batched_fetch_answers_each_group_for_itself(node):
    commit(node, 7)
    made = module("offset_fetch", 9)
    groups = tuple(made.OffsetFetchRequestGroup(group_id=one, topics=None) for one in ("g", "other"))
    answer = ask(node, "offset_fetch", 9, groups=groups, require_stable=False)
    assert [(one.group_id, len(one.topics)) for one in answer.groups] == [("g", 1), ("other", 0)]


def test_what_cannot_be_kept_is_refused(node):
    assert commit(node, topic="nowhere") is ErrorCode.unknown_topic_or_partition
    assert commit(node, metadata="x" * (LARGEST_METADATA + 1)) is ErrorCode.offset_metadata_too_large
    assert node.offsets.fetch("g") == {}
    assert commit(node, metadata="x" * LARGEST_METADATA) is ErrorCode.none


def test_a_generation_of_a_group_that_is_not_there_is_refused(node):
    assert commit(node, member="m", generation=1) is ErrorCode.group_id_not_found
    assert commit(node, member="m", generation=1, version=8) is ErrorCode.illegal_generation
    assert node.groups.check("g", "m", None, 1) is ErrorCode.illegal_generation
    assert node.groups.check("g", "", None, -1) is ErrorCode.none


def test_offsets_of_a_transaction_count_from_its_commit_on(offsets):
    offsets.commit("g", {HERE: Committed(3)})
    offsets.stage(1, "g", {HERE: Committed(9, 2, "with")})
    assert (offsets.fetch("g"), offsets.pending("g")) == ({HERE: Committed(3)}, {HERE})
    offsets.complete(1, "g", commit=True)
    assert (offsets.fetch("g"), offsets.pending("g")) == ({HERE: Committed(9, 2, "with")}, set())


def test_offsets_of_an_aborted_transaction_never_count(offsets):
    offsets.stage(1, "g", {HERE: Committed(9)})
    offsets.complete(1, "g", commit=False)
    assert (offsets.fetch("g"), offsets.pending("g")) == ({}, set())


def test_two_transactions_hold_back_their_own_offsets(offsets):
    offsets.stage(1, "g", {HERE: Committed(4)})
    offsets.stage(2, "g", {THERE: Committed(6)})
    offsets.complete(2, "g", commit=True)
    assert (offsets.fetch("g"), offsets.pending("g")) == ({THERE: Committed(6)}, {HERE})


def test_what_was_committed_after_a_transaction_held_its_offset_back_is_not_undone_by_it(offsets):
    offsets.stage(1, "g", {HERE: Committed(4), THERE: Committed(4)})
    offsets.commit("g", {HERE: Committed(8)})
    offsets.complete(1, "g", commit=True)
    assert offsets.fetch("g") == {HERE: Committed(8), THERE: Committed(4)}


@pytest.mark.parametrize("version", [7, 8, 9])
def test_whoever_requires_stable_offsets_waits_for_the_transaction(node, version):
    commit(node, 3)
    node.offsets.stage(1, "g", {HERE: Committed(9)})
    nothing = (-1, "", ErrorCode.none)
    assert fetch(node, version, stable=True)[1] == {HERE: (-1, "", ErrorCode.unstable_offset_commit), THERE: nothing}
    assert fetch(node, version)[1] == {HERE: (3, "", ErrorCode.none), THERE: nothing}
    node.offsets.complete(1, "g", commit=True)
    assert fetch(node, version, stable=True)[1] == {HERE: (9, "", ErrorCode.none), THERE: nothing}


def joins(node, member="m"):
    group = node.groups.to_beat("g", joins=True)
    return group.heartbeat(
        Beat(member, 0, rebalance_timeout=5.0, topics=frozenset({"orders"}), owned=frozenset())
    ).epoch


def test_a_member_of_a_consumer_group_commits_and_fetches_in_its_epoch_only(node):
    epoch = joins(node)
    assert commit(node, member="m", generation=epoch) is ErrorCode.none
    assert commit(node, member="m", generation=epoch + 1) is ErrorCode.stale_member_epoch
    assert commit(node, member="m", generation=epoch, version=8) is ErrorCode.unsupported_version
    assert commit(node, member="stranger", generation=epoch) is commit(node) is ErrorCode.unknown_member_id
    assert fetch(node, 9, member_id="m", member_epoch=epoch)[0] is ErrorCode.none
    assert fetch(node, 9, member_id="m", member_epoch=epoch + 1)[0] is ErrorCode.stale_member_epoch
    assert fetch(node, 9, member_id="stranger", member_epoch=epoch)[0] is ErrorCode.unknown_member_id
    assert fetch(node, 9)[0] is ErrorCode.none


def test_a_zombie_of_a_consumer_group_commits_nothing_in_its_transaction(node):
    epoch = joins(node)
    assert node.groups.check("g", "m", None, epoch) is ErrorCode.none
    assert node.groups.check("g", "m", None, epoch - 1) is ErrorCode.illegal_generation
    assert node.groups.check("g", "stranger", None, epoch) is ErrorCode.unknown_member_id


def delete(node, topic="orders"):
    made = module("offset_delete", 0)
    partitions = (made.OffsetDeleteRequestPartition(partition_index=0),)
    topics = (made.OffsetDeleteRequestTopic(name=topic, partitions=partitions),)
    answer = ask(node, "offset_delete", 0, group_id="g", topics=topics)
    return answer.topics[0].partitions[0].error_code if answer.topics else answer.error_code


def test_single_offsets_are_deleted_unless_a_member_reads_the_topic(node):
    assert delete(node) is ErrorCode.group_id_not_found
    commit(node, 3)
    epoch = joins(node)
    assert delete(node) is ErrorCode.group_subscribed_to_topic
    assert fetch(node, 9)[1][HERE][0] == 3
    node.groups.get("g").heartbeat(Beat("m", -1))
    assert epoch
    assert delete(node, "nowhere") is ErrorCode.unknown_topic_or_partition
    assert delete(node) is ErrorCode.none
    assert fetch(node, 9)[1][HERE][0] == -1


def test_the_offsets_of_a_deleted_topic_are_forgotten(node):
    commit(node, 3)
    node.offsets.stage(1, "g", {HERE: Committed(9)})
    node.offsets.commit("g", {("other", 0): Committed(1)})
    ask(node, "delete_topics", 5, topic_names=("orders",), timeout=timedelta(seconds=1))
    assert (node.offsets.fetch("g"), node.offsets.pending("g")) == ({("other", 0): Committed(1)}, set())
