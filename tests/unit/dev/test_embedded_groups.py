"""Classic groups of the embedded broker. Apache Kafka 4.1 gave the same answers to the same requests."""

import asyncio
import time

import pytest
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from kio.schema.errors import ErrorCode

from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.dev.embedded.classic_groups import COMPLETING, EMPTY, PREPARING, STABLE, ClassicGroup
from kafkaboot.dev.embedded.classic_members import JoinAsked, topics_of
from kafkaboot.testing import eventually

SESSION, REBALANCE = 10.0, 20.0


def asks(member_id="", instance_id=None, protocols=None, **more):
    given = {
        "member_id": member_id,
        "instance_id": instance_id,
        "client_id": "probe",
        "client_host": "/127.0.0.1",
        "session_timeout": SESSION,
        "rebalance_timeout": REBALANCE,
        "protocol_type": "consumer",
        "protocols": protocols or {"range": b"m"},
    }
    return JoinAsked(**given | more)


async def joined(answer):
    return await asyncio.wait_for(answer, 1) if isinstance(answer, asyncio.Future) else answer


async def pair(group, *instances):
    """Two members in a stable generation: the leader's id and the other's."""
    one, two = instances or (None, None)
    first = await joined(group.join(asks(instance_id=one)))
    second = group.join(asks(instance_id=two))
    led = await joined(group.join(asks(first.member_id, one)))
    other = await joined(second)
    syncing = group.sync(other.member_id, {})
    group.sync(led.member_id, {led.member_id: b"A", other.member_id: b"B"})
    assert (await joined(syncing)).assignment == b"B"
    assert group.state == STABLE
    return led.member_id, other.member_id


async def test_a_member_alone_is_the_first_generation_and_its_leader():
    group = ClassicGroup("g")
    answer = await joined(group.join(asks()))
    assert (answer.error, answer.generation, answer.leader) == (ErrorCode.none, 1, answer.member_id)
    assert [member for member, *_ in answer.members] == [answer.member_id]
    synced = await joined(group.sync(answer.member_id, {answer.member_id: b"all"}))
    assert (synced.assignment, group.state) == (b"all", STABLE)


async def test_a_newer_client_is_given_its_id_before_it_counts():
    group = ClassicGroup("g")
    given = group.join(asks(id_required=True))
    assert (given.error, group.members) == (ErrorCode.member_id_required, {})
    assert (await joined(group.join(asks(given.member_id, id_required=True)))).generation == 1
    assert group.join(asks("never-given")).error is ErrorCode.unknown_member_id


async def test_an_id_that_nobody_joins_with_holds_a_rebalance_up_until_it_lapses():
    group = ClassicGroup("g")
    leader, other = await pair(group)
    group.join(asks(id_required=True))
    waiting = [group.join(asks(one, protocols={"range": b"changed"})) for one in (leader, other)]
    assert not any(one.done() for one in waiting)
    group.expire(time.monotonic() + SESSION)
    assert {(await joined(one)).generation for one in waiting} == {3}


async def test_a_second_member_makes_the_first_one_join_again():
    group = ClassicGroup("g")
    first = await joined(group.join(asks()))
    await joined(group.sync(first.member_id, {first.member_id: b"all"}))
    second = group.join(asks())
    assert (group.state, second.done()) == (PREPARING, False)
    assert group.heartbeat(first.member_id, None, 1) is ErrorCode.rebalance_in_progress
    assert group.sync(first.member_id, {}).error is ErrorCode.rebalance_in_progress
    led = await joined(group.join(asks(first.member_id)))
    follows = await joined(second)
    assert (led.generation, follows.generation, len(led.members), follows.members) == (2, 2, 2, ())
    assert group.state == COMPLETING


async def test_what_is_of_another_generation_or_unknown_is_refused():
    group = ClassicGroup("g")
    leader, _ = await pair(group)
    assert group.heartbeat(leader, None, 2) is ErrorCode.none
    assert group.heartbeat(leader, None, 1) is ErrorCode.illegal_generation
    assert group.heartbeat("stranger", None, 2) is ErrorCode.unknown_member_id


async def test_a_member_that_falls_silent_is_out_after_its_session_and_only_then():
    group = ClassicGroup("g")
    leader, other = await pair(group)
    group.members[other].deadline += 5
    group.expire(time.monotonic() + SESSION - 1)
    assert len(group.members) == 2
    group.expire(time.monotonic() + SESSION + 1)
    assert list(group.members) == [other]
    again = await joined(group.join(asks(other)))
    assert (again.generation, again.leader) == (3, other)
    assert group.heartbeat(leader, None, 2) is ErrorCode.unknown_member_id


async def test_who_does_not_join_in_the_rebalance_timeout_is_left_behind():
    group = ClassicGroup("g")
    leader, other = await pair(group)
    waiting = group.join(asks(leader))
    group.members[other].deadline = time.monotonic() + 1000
    group.expire(time.monotonic() + REBALANCE - 1)
    assert not waiting.done()
    group.expire(time.monotonic() + REBALANCE + 1)
    assert (await joined(waiting)).generation == 3
    assert list(group.members) == [leader]


async def test_a_leader_that_never_assigns_is_dropped_and_the_others_join_again():
    group = ClassicGroup("g")
    leader, other = await pair(group)
    waiting = [group.join(asks(one)) for one in (leader, other)]
    await joined(waiting[0])
    syncing = group.sync(other, {})
    group.members[leader].deadline = time.monotonic() + 1000
    group.expire(time.monotonic() + REBALANCE + 1)
    assert (await joined(syncing)).error is ErrorCode.rebalance_in_progress
    assert (list(group.members), group.leader, group.state) == ([other], other, PREPARING)


async def test_a_follower_that_joins_unchanged_moves_nobody_and_a_changed_one_does():
    group = ClassicGroup("g")
    _, other = await pair(group)
    assert group.join(asks(other)).generation == 2
    assert group.state == STABLE
    group.join(asks(other, protocols={"range": b"changed"}))
    assert group.state == PREPARING


async def test_the_last_one_to_leave_empties_the_group_and_the_next_generation_is_a_new_one():
    group = ClassicGroup("g")
    leader, other = await pair(group)
    assert group.leave("stranger", None) is ErrorCode.unknown_member_id
    assert group.leave(leader, None) is group.leave(other, None) is ErrorCode.none
    assert (group.state, group.generation) == (EMPTY, 3)
    assert (await joined(group.join(asks()))).generation == 4


async def test_members_agree_on_a_protocol_that_all_speak_or_do_not_meet():
    group = ClassicGroup("g")
    first = await joined(group.join(asks(protocols={"range": b"", "sticky": b""})))
    assert group.join(asks(protocols={"other": b""})).error is ErrorCode.inconsistent_group_protocol
    assert group.join(asks(protocol_type="connect")).error is ErrorCode.inconsistent_group_protocol
    second = group.join(asks(protocols={"sticky": b""}))
    both = {"range": b"", "sticky": b""}
    assert (await joined(group.join(asks(first.member_id, protocols=both)))).protocol == "sticky"
    assert (await joined(second)).protocol == "sticky"


async def test_a_static_member_comes_back_to_its_assignment_without_a_rebalance_and_its_old_self_is_fenced():
    group = ClassicGroup("g")
    _, other = await pair(group, "a", "b")
    back = group.join(asks(instance_id="b"))
    assert (back.error, back.generation, back.members) == (ErrorCode.none, 2, ())
    assert back.member_id != other
    assert group.sync(back.member_id, {}).assignment == b"B"
    assert group.heartbeat(other, "b", 2) is ErrorCode.fenced_instance_id
    assert group.check_commit(other, "b", 2, commits_in_version=9) is ErrorCode.fenced_instance_id
    assert group.heartbeat(back.member_id, "b", 2) is ErrorCode.none


async def test_a_static_leader_that_comes_back_does_not_assign_again():
    group = ClassicGroup("g")
    leader, _ = await pair(group, "a", "b")
    back = group.join(asks(instance_id="a", may_skip_assignment=True))
    assert (back.leader, back.skip_assignment, len(back.members)) == (back.member_id, True, 2)
    older = group.join(asks(instance_id="a"))
    assert (older.leader, older.skip_assignment, older.members) == (back.member_id, False, ())
    assert older.member_id not in {leader, back.member_id}


async def test_an_administrator_sends_a_static_member_away_by_its_instance_id():
    group = ClassicGroup("g")
    leader, other = await pair(group, "a", "b")
    assert group.leave("", "nobody") is ErrorCode.unknown_member_id
    assert group.leave("", "b") is ErrorCode.none
    assert (list(group.members), group.state) == ([leader], PREPARING)
    assert group.heartbeat(other, "b", 2) is ErrorCode.unknown_member_id


async def test_offsets_are_taken_from_members_of_the_generation_and_from_outside_only_while_nobody_is_in():
    group = ClassicGroup("g")
    assert group.check_commit("", None, -1, commits_in_version=9) is ErrorCode.none
    leader, _ = await pair(group)
    assert group.check_commit(leader, None, 2, commits_in_version=9) is ErrorCode.none
    assert group.check_commit(leader, None, 1, commits_in_version=9) is ErrorCode.illegal_generation
    assert group.check_commit("", None, -1, commits_in_version=9) is ErrorCode.unknown_member_id
    assert group.check_commit("", None, -1, commits_in_version=None) is ErrorCode.none
    assert group.check_commit(leader, None, 1, commits_in_version=None) is ErrorCode.illegal_generation


async def test_between_join_and_sync_only_a_transaction_commits():
    group = ClassicGroup("g")
    member = (await joined(group.join(asks()))).member_id
    assert group.check_commit(member, None, 1, commits_in_version=9) is ErrorCode.rebalance_in_progress
    assert group.check_commit(member, None, 1, commits_in_version=None) is ErrorCode.none


async def test_a_new_group_waits_for_more_members_when_told_to():
    group = ClassicGroup("g", delay=3.0)
    waiting = [group.join(asks()), group.join(asks())]
    group.expire(time.monotonic() + 2.0)
    assert not any(one.done() for one in waiting)
    group.expire(time.monotonic() + 4.0)
    assert {(await joined(one)).generation for one in waiting} == {1}


def test_subscriptions_are_read_as_far_as_they_are_subscriptions():
    assert topics_of(b"\0\1\0\0\0\2\0\1a\0\2bc\xff\xff\xff\xff") == ["a", "bc"]
    assert topics_of(b"m") is None
    assert topics_of(b"\0\1\x7f\xff\xff\xff\0\1a") is None


# --- with a client


@pytest.fixture(scope="module")
def broker():
    with EmbeddedKafka() as broker:
        yield broker


class Reader:
    """A consumer and what it has seen."""

    def __init__(self, broker, group, topic, **more):
        self.revoked = []
        self.seen = []
        self.consumer = Consumer(
            {
                "bootstrap.servers": broker.bootstrap_servers,
                "group.id": group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "session.timeout.ms": 6000,
                "heartbeat.interval.ms": 100,
                **{name.replace("_", "."): value for name, value in more.items()},
            }
        )
        self.consumer.subscribe([topic], on_revoke=lambda _, partitions: self.revoked.extend(partitions))

    def has(self):
        message = self.consumer.poll(0.05)
        if message is not None and message.error() is None:
            self.seen.append((message.partition(), message.offset()))
        return {one.partition for one in self.consumer.assignment()}


def share(*readers):
    """Until all partitions are with somebody, and everybody has some."""

    def shared():
        parts = [reader.has() for reader in readers]
        return all(parts) and sum(map(len, parts)) == len(set.union(*parts)) == 4 and parts

    return eventually(shared, deadline=20)


@pytest.mark.parametrize("strategy", ["range", "roundrobin", "cooperative-sticky"])
def test_two_consumers_share_a_topic_and_one_takes_over(broker, strategy):
    broker.create_topic(strategy, 4)
    one = Reader(broker, strategy, strategy, partition_assignment_strategy=strategy)
    share(one)
    two = Reader(broker, strategy, strategy, partition_assignment_strategy=strategy)
    share(one, two)
    # A cooperative member keeps what stays its own; an eager one gives back everything.
    assert len(one.revoked) == (2 if strategy == "cooperative-sticky" else 4)
    two.consumer.close()
    assert share(one) == [{0, 1, 2, 3}]
    one.consumer.close()


def test_a_consumer_goes_on_where_the_group_has_committed(broker):
    broker.create_topic("went-on", 4)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for number in range(20):
        producer.produce("went-on", str(number), partition=number % 4)
    assert producer.flush(10) == 0
    first = Reader(broker, "went-on", "went-on")
    eventually(lambda: first.has() and len(first.seen) == 20, deadline=20)
    first.consumer.commit(asynchronous=False)
    first.consumer.close()
    producer.produce("went-on", "new", partition=2)
    assert producer.flush(10) == 0
    second = Reader(broker, "went-on", "went-on")
    eventually(lambda: second.has() and second.seen, deadline=20)
    assert second.seen == [(2, 5)]
    second.consumer.close()


def test_a_static_consumer_comes_back_to_its_partitions_without_a_rebalance(broker):
    broker.create_topic("static", 4)
    one = Reader(broker, "static", "static", group_instance_id="one")
    two = Reader(broker, "static", "static", group_instance_id="two")
    _, had = share(one, two)
    one.revoked.clear()
    two.consumer.close()
    two = Reader(broker, "static", "static", group_instance_id="two")
    assert share(one, two)[1] == had
    assert one.revoked == []
    one.consumer.close()
    two.consumer.close()


def test_groups_are_listed_described_and_deleted_once_they_are_empty(broker):
    broker.create_topic("admin", 4)
    reader = Reader(broker, "admin", "admin")
    share(reader)
    reader.consumer.commit(offsets=[TopicPartition("admin", 1, 7)], asynchronous=False)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    described = admin.describe_consumer_groups(["admin"])["admin"].result(10)
    assert (described.state.name, described.partition_assignor) == ("STABLE", "range")
    assert {one.partition for one in described.members[0].assignment.topic_partitions} == {0, 1, 2, 3}
    assert "admin" in {one.group_id for one in admin.list_consumer_groups().result(10).valid}
    with pytest.raises(KafkaException, match="NON_EMPTY_GROUP"):
        admin.delete_consumer_groups(["admin"])["admin"].result(10)
    reader.consumer.close()
    admin.delete_consumer_groups(["admin"])["admin"].result(10)
    with pytest.raises(KafkaException, match="GROUP_ID_NOT_FOUND"):
        admin.delete_consumer_groups(["admin"])["admin"].result(10)
    asked = [ConsumerGroupTopicPartitions("admin", [TopicPartition("admin", 1)])]
    fetched = admin.list_consumer_group_offsets(asked)["admin"].result(10)
    assert fetched.topic_partitions[0].offset < 0
