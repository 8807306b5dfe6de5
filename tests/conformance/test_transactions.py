"""Transactions: what readers see of them, who may go on with one, and what becomes of those that nobody ends."""

import asyncio
import time

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition as AioPartition
from confluent_kafka import KafkaException, TopicPartition

from kafkaboot.testing import eventually

EVERYTHING = "read_uncommitted"


def error_of(action, *arguments):
    with pytest.raises(KafkaException) as refused:
        action(*arguments)
    return refused.value.args[0]


def test_committed_records_are_seen_and_aborted_ones_only_by_readers_of_everything(cluster):
    topic = cluster.topic()
    producer = cluster.transactional()
    for value, end in ((b"kept", producer.commit_transaction), (b"dropped", producer.abort_transaction)):
        producer.begin_transaction()
        cluster.send(topic, value, producer=producer)
        end(20)
    cluster.send(topic, b"after")
    eventually(lambda: cluster.values(topic) == [b"kept", b"after"])
    assert cluster.values(topic, EVERYTHING) == [b"kept", b"dropped", b"after"]


def test_nothing_behind_an_open_transaction_is_seen_by_readers_of_committed_data(cluster):
    topic = cluster.topic()
    cluster.send(topic, b"before")
    producer = cluster.transactional()
    producer.begin_transaction()
    cluster.send(topic, b"open", producer=producer)
    cluster.send(topic, b"plain")
    assert cluster.values(topic) == [b"before"]
    assert cluster.values(topic, EVERYTHING) == [b"before", b"open", b"plain"]
    producer.commit_transaction(20)
    eventually(lambda: cluster.values(topic) == [b"before", b"open", b"plain"])


def test_of_two_that_overlap_the_first_to_begin_holds_readers_back(cluster):
    topic = cluster.topic()
    first, second = cluster.transactional(), cluster.transactional()
    for producer, value in ((first, b"first"), (second, b"second"), (first, b"third")):
        if value != b"third":
            producer.begin_transaction()
        cluster.send(topic, value, producer=producer)
    second.commit_transaction(20)
    eventually(lambda: cluster.read(topic, EVERYTHING, 3) == [])
    assert cluster.values(topic) == []
    first.abort_transaction(20)
    eventually(lambda: cluster.values(topic) == [b"second"])
    assert cluster.values(topic, EVERYTHING) == [b"first", b"second", b"third"]


def test_a_transaction_over_several_topics_ends_in_all_of_them(cluster):
    topics = [cluster.topic(partitions=2), cluster.topic()]
    producer = cluster.transactional()
    producer.begin_transaction()
    for topic in topics:
        for partition in cluster.partitions(topic):
            cluster.send(topic, b"%d" % partition, partition=partition, producer=producer)
    assert [cluster.values(topic) for topic in topics] == [[], []]
    producer.commit_transaction(20)
    eventually(lambda: [cluster.values(topic) for topic in topics] == [[b"0", b"1"], [b"0"]])


def test_a_second_producer_of_the_same_id_fences_the_first_and_drops_what_it_left_open(cluster):
    topic, name = cluster.topic(), cluster.name("x")
    first = cluster.transactional(name)
    first.begin_transaction()
    cluster.send(topic, b"left open", producer=first)
    second = cluster.transactional(name)
    assert error_of(first.commit_transaction, 20).fatal()
    second.begin_transaction()
    cluster.send(topic, b"successor's", producer=second)
    second.commit_transaction(20)
    eventually(lambda: cluster.values(topic) == [b"successor's"])
    assert cluster.values(topic, EVERYTHING) == [b"left open", b"successor's"]


def test_a_fenced_producer_can_write_nothing(cluster):
    topic, name = cluster.topic(), cluster.name("x")
    first = cluster.transactional(name)
    cluster.transactional(name)
    failed = []
    first.begin_transaction()
    first.produce(topic, b"zombie's", partition=0, on_delivery=lambda error, _: failed.append(error))
    assert error_of(first.commit_transaction, 20).fatal()
    eventually(lambda: first.poll(0.05) or failed)
    assert failed[0] is not None
    assert cluster.values(topic, EVERYTHING) == []


def test_a_transaction_that_nobody_ends_is_aborted_after_its_timeout(cluster):
    topic = cluster.topic()
    producer = cluster.transactional(transaction_timeout_ms=1_000)
    producer.begin_transaction()
    cluster.send(topic, b"forgotten", producer=producer)
    cluster.send(topic, b"behind")
    assert cluster.values(topic) == []
    eventually(lambda: cluster.values(topic) == [b"behind"], deadline=15)
    error = error_of(producer.commit_transaction, 20)
    assert error.fatal() or error.txn_requires_abort()


def test_a_producer_may_go_on_after_an_abort(cluster):
    topic = cluster.topic()
    producer = cluster.transactional()
    for n in range(4):
        producer.begin_transaction()
        cluster.send(topic, b"%d" % n, producer=producer)
        (producer.abort_transaction if n % 2 else producer.commit_transaction)(20)
    eventually(lambda: cluster.values(topic) == [b"0", b"2"])


async def test_aiokafka_commits_aborts_and_reads_alike(cluster):
    topic = await asyncio.to_thread(cluster.topic)
    async with AIOKafkaProducer(
        bootstrap_servers=cluster.address, transactional_id=cluster.name("x"), enable_idempotence=True
    ) as producer:
        async with producer.transaction():
            await producer.send_and_wait(topic, b"kept", partition=0)
        await producer.begin_transaction()
        await producer.send_and_wait(topic, b"dropped", partition=0)
        await producer.abort_transaction()
        async with producer.transaction():
            await producer.send_and_wait(topic, b"kept too", partition=0)
    eventually(lambda: cluster.values(topic) == [b"kept", b"kept too"])
    consumer = AIOKafkaConsumer(bootstrap_servers=cluster.address, isolation_level="read_committed")
    async with consumer:
        consumer.assign([AioPartition(topic, 0)])
        await consumer.seek_to_beginning()
        found = [(await asyncio.wait_for(consumer.getone(), 20)).value for _ in range(2)]
    assert found == [b"kept", b"kept too"]


def member(cluster, group, topic, **options):
    """A consumer that has joined and holds the topic's partition."""
    consumer = cluster.consumer(group, session_timeout_ms=6_000, heartbeat_interval_ms=200, **options)
    consumer.subscribe([topic])
    until = time.monotonic() + 20
    while not consumer.assignment():
        assert time.monotonic() < until, "nothing was assigned"
        consumer.poll(0.05)
    return consumer


@pytest.mark.parametrize("commit", [True, False])
def test_offsets_sent_with_a_transaction_are_committed_or_dropped_with_it(cluster, commit):
    topic, group = cluster.topic(), cluster.name("g")
    consumer = member(cluster, group, topic)
    producer = cluster.transactional()
    producer.begin_transaction()
    metadata = consumer.consumer_group_metadata()
    producer.send_offsets_to_transaction([TopicPartition(topic, 0, 7)], metadata, 20)
    (unstable,) = cluster.consumer(group, isolation_level=EVERYTHING).committed([TopicPartition(topic, 0)], timeout=20)
    assert unstable.offset < 0
    with pytest.raises(KafkaException):  # a reader of committed data waits for what is stable (KIP-447)
        cluster.consumer(group).committed([TopicPartition(topic, 0)], timeout=0.5)
    (producer.commit_transaction if commit else producer.abort_transaction)(20)
    assert cluster.committed(group, topic) == (7 if commit else None)


def test_a_zombie_of_an_older_generation_commits_no_offsets(cluster):
    topic, group = cluster.topic(), cluster.name("g")
    consumer = member(cluster, group, topic)
    stale = consumer.consumer_group_metadata()
    consumer.close()
    cluster._consumers.remove(consumer)
    successor = member(cluster, group, topic)
    zombie, rightful = cluster.transactional(), cluster.transactional()
    offsets = [TopicPartition(topic, 0, 3)]
    zombie.begin_transaction()
    error = error_of(zombie.send_offsets_to_transaction, offsets, stale, 20)
    assert error.txn_requires_abort()
    assert error.name() in {"UNKNOWN_MEMBER_ID", "ILLEGAL_GENERATION"}
    zombie.abort_transaction(20)
    assert cluster.committed(group, topic) is None
    rightful.begin_transaction()
    rightful.send_offsets_to_transaction(offsets, successor.consumer_group_metadata(), 20)
    rightful.commit_transaction(20)
    assert cluster.committed(group, topic) == 3


def test_records_and_offsets_of_a_copier_are_one(cluster):
    source, target, group = cluster.topic(), cluster.topic(), cluster.name("g")
    cluster.send(source, *(b"%d" % n for n in range(10)))
    consumer, producer = member(cluster, group, source), cluster.transactional()
    for attempt in (0, 1):
        consumer.seek(TopicPartition(source, 0, 0))
        found, until = [], time.monotonic() + 20
        while len(found) < 10 and time.monotonic() < until:
            found += [message for message in consumer.consume(10, 0.2) if message.error() is None]
        producer.begin_transaction()
        cluster.send(target, *(message.value() for message in found), producer=producer)
        producer.send_offsets_to_transaction(
            [TopicPartition(source, 0, found[-1].offset() + 1)], consumer.consumer_group_metadata(), 20
        )
        (producer.commit_transaction if attempt else producer.abort_transaction)(20)
    eventually(lambda: cluster.values(target) == [b"%d" % n for n in range(10)])
    assert len(cluster.values(target, EVERYTHING)) == 20
    assert cluster.committed(group, source) == 10
