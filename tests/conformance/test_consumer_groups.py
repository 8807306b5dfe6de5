"""Groups: who gets which partition when members come, go and die, by the classic protocol and by KIP-848."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer
from confluent_kafka import ConsumerGroupState, KafkaException, TopicPartition
from confluent_kafka.admin import NewPartitions

from kafkaboot.testing import eventually

CLASSIC = {"session_timeout_ms": 6_000, "heartbeat_interval_ms": 100}
COOPERATIVE = {**CLASSIC, "partition_assignment_strategy": "cooperative-sticky"}
NEXT = {"group_protocol": "consumer"}
PROTOCOLS = pytest.mark.parametrize("protocol", [CLASSIC, COOPERATIVE, NEXT], ids=["eager", "cooperative", "kip848"])


class Members:
    """Consumers of one group and topic that are polled together."""

    def __init__(self, cluster, topic, options):
        self.cluster, self.topic, self.options = cluster, topic, options
        self.group = cluster.name("g")
        self.all, self.values, self.moved = [], [], []

    def join(self, **options):
        """One more; not there before the next `poll`."""
        consumer = self.cluster.consumer(self.group, **self.options, **options)
        consumer.subscribe([self.topic], on_revoke=lambda _, gone: self.moved.append({p.partition for p in gone}))
        self.all.append(consumer)
        return consumer

    def leave(self, consumer):
        consumer.close()
        self.cluster._consumers.remove(consumer)
        self.all.remove(consumer)

    def poll(self):
        for consumer in self.all:
            message = consumer.poll(0.02)
            if message is not None and message.error() is None:
                self.values.append(message.value())

    def partitions(self):
        return [{one.partition for one in consumer.assignment()} for consumer in self.all]

    def share(self, sizes, seconds=20):
        """Poll until each partition has one owner and the owners have so many; answers who has which."""
        until, count = time.monotonic() + seconds, len(self.cluster.partitions(self.topic))
        while True:
            self.poll()
            held = self.partitions()
            if sorted(map(len, held)) == sorted(sizes) and len(set().union(*held)) == count:
                return held
            assert time.monotonic() < until, f"{held} instead of {sizes}"


@PROTOCOLS
def test_members_share_the_partitions_as_they_come_and_go(cluster, protocol):
    members = Members(cluster, cluster.topic(partitions=4), protocol)
    first = members.join()
    members.share([4])
    members.join()
    members.share([2, 2])
    members.leave(first)
    members.share([4])


@PROTOCOLS
def test_a_member_goes_on_where_the_one_before_it_committed(cluster, protocol):
    topic = cluster.topic()
    cluster.send(topic, *(b"%d" % n for n in range(6)))
    members = Members(cluster, topic, protocol)
    first = members.join()
    members.share([1])
    until = time.monotonic() + 20
    while len(members.values) < 6 and time.monotonic() < until:
        members.poll()
    first.commit(offsets=[TopicPartition(topic, 0, 4)], asynchronous=False)
    members.leave(first)
    members.values.clear()
    members.join()
    members.share([1])
    until = time.monotonic() + 20
    while len(members.values) < 2 and time.monotonic() < until:
        members.poll()
    assert members.values == [b"4", b"5"]


def test_cooperative_members_keep_what_need_not_move(cluster):
    members = Members(cluster, cluster.topic(partitions=4), COOPERATIVE)
    members.join()
    members.share([4])
    members.join()
    members.share([2, 2])
    assert len(set().union(*members.moved)) == 2


def test_a_static_member_comes_back_to_its_partitions_without_a_rebalance(cluster):
    members = Members(cluster, cluster.topic(partitions=4), CLASSIC)
    first, _ = members.join(group_instance_id="one"), members.join(group_instance_id="two")
    held = members.share([2, 2])
    members.leave(first)
    members.moved.clear()
    members.poll()
    members.join(group_instance_id="one")
    assert members.share([2, 2]) == [held[1], held[0]]
    assert members.moved == []


def test_of_two_static_members_of_one_name_the_older_is_fenced(cluster):
    members = Members(cluster, cluster.topic(), CLASSIC)
    first = members.join(group_instance_id="one")
    members.share([1])
    members.all.remove(first)
    members.join(group_instance_id="one")
    members.share([1])

    errors = []

    def fenced():
        message = first.poll(0.1)
        members.poll()
        if message is not None and message.error() is not None:
            errors.append(message.error().name())
        return {"_FATAL", "FENCED_INSTANCE_ID"} & set(errors)

    eventually(fenced, deadline=15, saying=lambda: f"errors {errors}")


def member_ids(cluster, group):
    described = cluster.admin.describe_consumer_groups([group], request_timeout=20)[group].result(20)
    return described.state, sorted(member.member_id for member in described.members)


@asynccontextmanager
async def reader(cluster, group, topic, **options):
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=cluster.address,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        heartbeat_interval_ms=100,
        **options,
    )
    async with consumer:
        yield consumer


async def test_aiokafkas_members_share_and_take_over(cluster):
    topic, group = await asyncio.to_thread(cluster.topic, 4), cluster.name("g")
    async with reader(cluster, group, topic) as first:
        async with asyncio.timeout(20):
            while len(first.assignment()) != 4:
                await asyncio.sleep(0.02)
        async with reader(cluster, group, topic) as second, asyncio.timeout(20):
            while (len(first.assignment()), len(second.assignment())) != (2, 2):
                await asyncio.sleep(0.02)
        async with asyncio.timeout(20):
            while len(first.assignment()) != 4:
                await asyncio.sleep(0.02)


def test_a_member_that_dies_is_replaced_after_its_session(cluster, proxy):
    topic = cluster.topic(partitions=2)
    short = {"session_timeout_ms": 1_500, "heartbeat_interval_ms": 100}
    members = Members(cluster, topic, short)
    dead = members.join(bootstrap_servers=proxy.address, reconnect_backoff_ms=50)
    members.share([2])
    members.join()
    members.share([1, 1])
    members.all.remove(dead)
    proxy.close()
    members.share([2])


def test_a_member_that_was_put_out_may_not_commit(cluster):
    topic = cluster.topic()
    members = Members(cluster, topic, {"session_timeout_ms": 1_000, "max_poll_interval_ms": 1_000})
    idle = members.join()
    members.share([1])
    members.all.remove(idle)
    members.join()
    members.share([1], seconds=15)
    with pytest.raises(KafkaException):
        idle.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
    assert cluster.committed(members.group, topic) is None


@PROTOCOLS
def test_groups_are_listed_and_described(cluster, protocol):
    members = Members(cluster, cluster.topic(partitions=2), protocol)
    consumer = members.join(client_id="somebody")
    members.share([2])
    listed = cluster.admin.list_consumer_groups(request_timeout=20).result(20)
    assert members.group in {group.group_id for group in listed.valid}
    described = cluster.admin.describe_consumer_groups([members.group])[members.group].result(20)
    assert described.state is ConsumerGroupState.STABLE
    (one,) = described.members
    assert one.client_id == "somebody"
    assert {p.partition for p in one.assignment.topic_partitions} == {0, 1}
    members.leave(consumer)
    eventually(lambda: member_ids(cluster, members.group) == (ConsumerGroupState.EMPTY, []))


def test_a_group_is_deleted_when_it_is_empty_and_its_offsets_with_it(cluster):
    topic = cluster.topic()
    members = Members(cluster, topic, CLASSIC)
    consumer = members.join()
    members.share([1])
    consumer.commit(offsets=[TopicPartition(topic, 0, 2)], asynchronous=False)

    def delete(group):
        return cluster.admin.delete_consumer_groups([group], request_timeout=20)[group].result(20)

    with pytest.raises(KafkaException) as refused:
        delete(members.group)
    assert refused.value.args[0].name() == "NON_EMPTY_GROUP"
    members.leave(consumer)
    delete(members.group)
    assert cluster.committed(members.group, topic) is None
    with pytest.raises(KafkaException) as refused:
        delete(cluster.name("never"))
    assert refused.value.args[0].name() == "GROUP_ID_NOT_FOUND"


@pytest.mark.parametrize("protocol", [CLASSIC, NEXT], ids=["classic", "kip848"])
def test_a_group_takes_up_partitions_that_are_added(cluster, protocol):
    topic = cluster.topic()
    members = Members(cluster, topic, {**protocol, "topic_metadata_refresh_interval_ms": 200})
    members.join()
    members.share([1])
    cluster.admin.create_partitions([NewPartitions(topic, 3)])[topic].result(20)
    eventually(lambda: len(cluster.partitions(topic)) == 3)
    members.share([3])
