"""Offsets: where they are found, what becomes of those out of range, how they are committed."""

import asyncio
import time

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata
from aiokafka.structs import TopicPartition as AioPartition
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import OffsetSpec

from kafkaboot.testing import eventually

BASE = 1_700_000_000_000


@pytest.fixture
def timed(cluster):
    """A topic whose records' times are BASE plus 0, 10, 20, 50, 30; the third one twice in one batch's middle."""
    topic = cluster.topic()
    for delta in (0, 10, 20, 50, 30):
        cluster.send(topic, b"%d" % delta, timestamp=BASE + delta)
    return topic


def listed(cluster, topic, spec, isolation=IsolationLevel.READ_UNCOMMITTED):
    partition = TopicPartition(topic, 0)
    (found,) = cluster.admin.list_offsets({partition: spec}, isolation_level=isolation, request_timeout=20).values()
    result = found.result(20)
    return result.offset, result.timestamp


def test_the_earliest_the_next_and_the_newest_by_time_are_found(cluster, timed):
    assert listed(cluster, timed, OffsetSpec.earliest()) == (0, -1)
    assert listed(cluster, timed, OffsetSpec.latest()) == (5, -1)
    assert listed(cluster, timed, OffsetSpec.max_timestamp()) == (3, BASE + 50)


@pytest.mark.parametrize(("delta", "offset", "found"), [(-5, 0, 0), (0, 0, 0), (1, 1, 10), (20, 2, 20), (21, 3, 50)])
def test_by_time_the_first_record_that_is_not_older_is_found(cluster, timed, delta, offset, found):
    assert listed(cluster, timed, OffsetSpec.for_timestamp(BASE + delta)) == (offset, BASE + found)


def test_by_a_time_after_every_record_nothing_is_found(cluster, timed):
    assert listed(cluster, timed, OffsetSpec.for_timestamp(BASE + 51)) == (-1, -1)


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_by_time_a_record_inside_a_batch_is_found_whatever_its_codec(cluster, codec):
    topic = cluster.topic()
    producer = cluster.producer(compression_type=codec, linger_ms=100)
    for n in range(20):
        producer.produce(topic, b"same " * 20, partition=0, timestamp=BASE + 10 * n)
    assert producer.flush(20) == 0
    assert listed(cluster, topic, OffsetSpec.for_timestamp(BASE + 95)) == (10, BASE + 100)
    assert listed(cluster, topic, OffsetSpec.max_timestamp()) == (19, BASE + 190)


def test_an_empty_partition_begins_and_ends_at_zero_and_has_no_newest_record(cluster):
    topic = cluster.topic()
    assert listed(cluster, topic, OffsetSpec.earliest())[0] == 0
    assert listed(cluster, topic, OffsetSpec.latest())[0] == 0
    assert listed(cluster, topic, OffsetSpec.max_timestamp()) == (-1, -1)


async def test_aiokafka_finds_the_same_offsets(cluster):
    topic = await asyncio.to_thread(cluster.topic)
    for delta in (0, 10, 20):
        await asyncio.to_thread(cluster.send, topic, b"%d" % delta, timestamp=BASE + delta)
    one = AioPartition(topic, 0)
    async with AIOKafkaConsumer(bootstrap_servers=cluster.address) as consumer:
        assert await consumer.beginning_offsets([one]) == {one: 0}
        assert await consumer.end_offsets([one]) == {one: 3}
        found = await consumer.offsets_for_times({one: BASE + 5})
        assert (found[one].offset, found[one].timestamp) == (1, BASE + 10)
        assert await consumer.offsets_for_times({one: BASE + 21}) == {one: None}


def test_while_a_transaction_is_open_committed_readers_end_before_it(cluster):
    topic = cluster.topic()
    cluster.send(topic, b"before", timestamp=BASE)
    producer = cluster.transactional()
    producer.begin_transaction()
    cluster.send(topic, b"open", producer=producer, timestamp=BASE + 10)
    committed = IsolationLevel.READ_COMMITTED
    assert listed(cluster, topic, OffsetSpec.latest()) == (2, -1)
    assert listed(cluster, topic, OffsetSpec.latest(), committed) == (1, -1)
    assert listed(cluster, topic, OffsetSpec.for_timestamp(BASE + 5)) == (1, BASE + 10)
    assert listed(cluster, topic, OffsetSpec.for_timestamp(BASE + 5), committed) == (-1, -1)
    producer.commit_transaction(20)
    eventually(lambda: listed(cluster, topic, OffsetSpec.for_timestamp(BASE + 5), committed) == (1, BASE + 10))


@pytest.mark.parametrize(("reset", "expected"), [("earliest", b"2"), ("latest", b"new")])
@pytest.mark.parametrize("offset", [0, 100])
def test_a_reader_out_of_range_is_reset_as_it_wishes(cluster, reset, expected, offset):
    topic = cluster.topic()
    cluster.send(topic, *(b"%d" % n for n in range(4)))
    cluster.admin.delete_records([TopicPartition(topic, 0, 2)])[TopicPartition(topic, 0, 2)].result(20)
    consumer = cluster.consumer(auto_offset_reset=reset)
    consumer.assign([TopicPartition(topic, 0, offset)])
    message, until = None, time.monotonic() + 15
    while time.monotonic() < until:
        message = consumer.poll(0.2)
        if message is not None and message.error() is None:
            break
        if message is not None and message.error().code() == KafkaError._PARTITION_EOF and reset == "latest":
            cluster.send(topic, b"new")
    assert message is not None
    assert message.value() == expected


def test_a_reader_out_of_range_that_wishes_no_reset_is_told(cluster):
    topic = cluster.topic()
    cluster.send(topic, b"1")
    consumer = cluster.consumer(auto_offset_reset="error")
    consumer.assign([TopicPartition(topic, 0, 9)])
    message, until = None, time.monotonic() + 15
    while message is None and time.monotonic() < until:
        message = consumer.poll(0.2)
    assert message is not None
    assert message.error().name() == "_AUTO_OFFSET_RESET"


def test_offsets_are_committed_with_their_metadata_and_fetched_by_both_clients(cluster):
    topic, group = cluster.topic(partitions=2), cluster.name("g")
    consumer = cluster.consumer(group)
    consumer.commit(offsets=[TopicPartition(topic, 0, 5, "five ü")], asynchronous=False)

    async def aio():
        first, second = AioPartition(topic, 0), AioPartition(topic, 1)
        async with AIOKafkaConsumer(
            bootstrap_servers=cluster.address, group_id=group, enable_auto_commit=False
        ) as consumer:
            consumer.assign([first, second])
            assert await consumer.committed(first) == 5
            assert await consumer.committed(second) is None
            await consumer.commit({second: OffsetAndMetadata(7, "seven")})
        admin = AIOKafkaAdminClient(bootstrap_servers=cluster.address)
        await admin.start()
        try:  # confluent-kafka writes and reads a byte too many of metadata
            found = await admin.list_consumer_group_offsets(group)
        finally:
            await admin.close()
        assert {one.partition: (at.offset, at.metadata.rstrip("\0")) for one, at in found.items()} == {
            0: (5, "five ü"),
            1: (7, "seven"),
        }

    asyncio.run(aio())
    found = consumer.committed([TopicPartition(topic, 0), TopicPartition(topic, 1)], timeout=20)
    assert [p.offset for p in found] == [5, 7]


def test_a_commit_may_go_back_and_another_group_does_not_see_it(cluster):
    topic, group = cluster.topic(), cluster.name("g")
    consumer = cluster.consumer(group)
    for offset in (5, 2):
        consumer.commit(offsets=[TopicPartition(topic, 0, offset)], asynchronous=False)
        assert cluster.committed(group, topic) == offset
    assert cluster.committed(cluster.name("other"), topic) is None


def test_a_commit_for_a_partition_that_is_not_there_is_refused(cluster):
    topic = cluster.topic()
    with pytest.raises(KafkaException) as refused:
        cluster.consumer().commit(offsets=[TopicPartition(topic, 9, 1)], asynchronous=False)
    assert refused.value.args[0].name() == "UNKNOWN_TOPIC_OR_PART"


def test_a_groups_offsets_are_listed_and_altered_by_the_administrator(cluster):
    topic, group = cluster.topic(partitions=2), cluster.name("g")
    cluster.consumer(group).commit(offsets=[TopicPartition(topic, 1, 4)], asynchronous=False)

    def offsets():
        asked = [ConsumerGroupTopicPartitions(group)]
        found = cluster.admin.list_consumer_group_offsets(asked)[group].result(20)
        return {(p.topic, p.partition): p.offset for p in found.topic_partitions}

    assert offsets() == {(topic, 1): 4}
    altered = [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 3), TopicPartition(topic, 1, 1)])]
    cluster.admin.alter_consumer_group_offsets(altered)[group].result(20)
    assert offsets() == {(topic, 0): 3, (topic, 1): 1}


def test_deleted_records_are_gone_and_later_ones_keep_their_offsets(cluster):
    topic = cluster.topic()
    cluster.send(topic, *(b"%d" % n for n in range(6)))
    asked = TopicPartition(topic, 0, 4)
    assert cluster.admin.delete_records([asked])[asked].result(20).low_watermark == 4
    assert [(m.offset(), m.value()) for m in cluster.read(topic, offset=4)] == [(4, b"4"), (5, b"5")]
    assert cluster.consumer().get_watermark_offsets(TopicPartition(topic, 0), timeout=20) == (4, 6)
    asked = TopicPartition(topic, 0, OFFSET_END)
    assert cluster.admin.delete_records([asked])[asked].result(20).low_watermark == 6
    assert cluster.read(topic, offset=OFFSET_BEGINNING) == []


def test_records_beyond_the_end_cannot_be_deleted(cluster):
    topic = cluster.topic()
    cluster.send(topic, b"1")
    asked = TopicPartition(topic, 0, 2)
    with pytest.raises(KafkaException) as refused:
        cluster.admin.delete_records([asked])[asked].result(20)
    assert refused.value.args[0].name() == "OFFSET_OUT_OF_RANGE"
