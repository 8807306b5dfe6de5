"""Records in and out, as both clients write and read them."""

import asyncio
import time

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.structs import TopicPartition as AioPartition
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, KafkaException, TopicPartition

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


async def aio_send(cluster, topic, *messages, **options):
    """Produce (key, value, headers, timestamp) with aiokafka, partition 0, and wait for their places."""
    async with AIOKafkaProducer(bootstrap_servers=cluster.address, **options) as producer:
        sending = [
            await producer.send(topic, value, key, partition=0, headers=headers, timestamp_ms=timestamp)
            for key, value, headers, timestamp in messages
        ]
        return list(await asyncio.gather(*sending))


async def aio_read(cluster, topic, count, **options):
    """The first `count` messages of partition 0, read by aiokafka."""
    consumer = AIOKafkaConsumer(bootstrap_servers=cluster.address, fetch_max_wait_ms=50, **options)
    async with consumer:
        consumer.assign([AioPartition(topic, 0)])
        await consumer.seek_to_beginning()
        return [await asyncio.wait_for(consumer.getone(), 20) for _ in range(count)]


@pytest.mark.parametrize("codec", CODECS)
async def test_each_codec_is_read_by_both_clients_whoever_wrote_it(cluster, codec):
    topic = cluster.topic()
    values = [b"%d " % n * 20 for n in range(40)]
    cluster.send(topic, *values[:20], producer=cluster.producer(compression_type=codec, linger_ms=20))
    compression = None if codec == "none" else codec
    messages = [(None, value, [], None) for value in values[20:]]
    await aio_send(cluster, topic, *messages, compression_type=compression, linger_ms=20)
    assert await asyncio.to_thread(cluster.values, topic) == values
    assert [record.value for record in await aio_read(cluster, topic, 40)] == values


async def test_headers_null_keys_and_values_and_times_arrive_as_they_were_sent(cluster):
    topic = cluster.topic()
    headers = [("a", b"1"), ("a", b""), ("b", None), ("ü", b"\xff\x00")]
    cluster.send(topic, None, key=b"gone", headers=headers, timestamp=1_700_000_000_123)
    cluster.send(topic, b"", key=b"", timestamp=1_700_000_000_122)
    await aio_send(cluster, topic, (None, b"keyless", headers, 1_700_000_000_124))
    expected = [
        (b"gone", None, headers, 1_700_000_000_123),
        (b"", b"", [], 1_700_000_000_122),
        (None, b"keyless", headers, 1_700_000_000_124),
    ]
    found = await asyncio.to_thread(cluster.read, topic)
    assert [(m.key(), m.value(), m.headers() or [], m.timestamp()[1]) for m in found] == expected
    assert {m.timestamp()[0] for m in found} == {TIMESTAMP_CREATE_TIME}
    found = await aio_read(cluster, topic, 3)
    assert [(r.key, r.value, list(r.headers), r.timestamp) for r in found] == expected
    assert [r.offset for r in found] == [0, 1, 2]


def test_a_topic_with_log_append_time_has_the_brokers_time(cluster):
    topic = cluster.topic(**{"message.timestamp.type": "LogAppendTime"})
    before = int(time.time() * 1000)
    cluster.send(topic, b"old", timestamp=1_000)
    kind, timestamp = cluster.read(topic)[0].timestamp()
    assert kind == TIMESTAMP_LOG_APPEND_TIME
    assert before - 1_000 <= timestamp <= time.time() * 1000 + 1_000


def test_the_order_of_a_partition_is_the_order_of_sending_over_many_batches(cluster):
    topic = cluster.topic(partitions=3)
    producer = cluster.producer(batch_num_messages=7, enable_idempotence=True)
    for partition in range(3):
        sent = cluster.send(topic, *(b"%d" % n for n in range(300)), partition=partition, producer=producer)
        assert [message.offset() for message in sent] == list(range(300))
    found = cluster.read(topic)
    for partition in range(3):
        own = [message for message in found if message.partition() == partition]
        assert [(m.offset(), m.value()) for m in own] == [(n, b"%d" % n) for n in range(300)]


async def test_a_reader_that_begins_in_the_middle_of_a_batch_gets_no_earlier_record(cluster):
    topic = cluster.topic()
    await aio_send(cluster, topic, *((None, b"%d" % n, [], None) for n in range(50)), linger_ms=50)
    found = await asyncio.to_thread(cluster.read, topic, offset=23)
    assert [m.offset() for m in found] == list(range(23, 50))


def test_a_reader_that_waits_is_answered_as_soon_as_a_record_arrives(cluster):
    topic = cluster.topic()
    consumer = cluster.consumer(fetch_wait_max_ms=10_000)
    consumer.assign([TopicPartition(topic, 0, 0)])
    producer = cluster.producer()
    cluster.send(topic, b"warm", producer=producer)
    assert next_value(consumer) == b"warm"
    assert consumer.poll(0.3) is None, "nothing is there, so the fetch waits at the broker"
    begin = time.monotonic()
    cluster.send(topic, b"awaited", producer=producer)
    assert next_value(consumer) == b"awaited"
    assert time.monotonic() - begin < 2


def next_value(consumer, seconds=10):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            return message.value()
    return None


def test_without_acknowledgement_a_record_arrives_all_the_same(cluster):
    topic = cluster.topic()
    producer = cluster.producer(acks=0)
    cluster.send(topic, b"1", b"2", producer=producer)
    cluster.send(topic, b"3")
    found = cluster.values(topic)
    assert sorted(found) == [b"1", b"2", b"3"]


@pytest.mark.parametrize("idempotent", [False, True])
def test_a_record_larger_than_the_topic_allows_is_refused_and_the_next_one_is_not(cluster, idempotent):
    topic = cluster.topic(**{"max.message.bytes": "2000"})
    producer = cluster.producer(enable_idempotence=idempotent)
    failed = []
    producer.produce(topic, b"x" * 3_000, partition=0, on_delivery=lambda error, _: failed.append(error))
    assert producer.flush(20) == 0
    assert failed[0].name() == "MSG_SIZE_TOO_LARGE"
    cluster.send(topic, b"small", producer=producer if not idempotent else None)
    assert cluster.values(topic) == [b"small"]


def test_a_record_of_several_mebibytes_passes_where_both_sides_allow_it(cluster):
    topic = cluster.topic(**{"max.message.bytes": "5000000"})
    producer = cluster.producer(message_max_bytes=5_000_000)
    value = bytes(range(256)) * 12_000
    cluster.send(topic, value, b"after", producer=producer)
    assert cluster.values(topic) == [value, b"after"]


def test_a_topic_or_partition_that_is_not_there_is_said_to_be_unknown(cluster):
    topic, missing = cluster.topic(), cluster.name("never")
    consumer = cluster.consumer(allow_auto_create_topics=False)
    with pytest.raises(KafkaException) as unknown:
        consumer.get_watermark_offsets(TopicPartition(topic, 7), timeout=3)
    assert unknown.value.args[0].name() == "_UNKNOWN_PARTITION"
    assert cluster.partitions(topic) == [0]
    consumer.subscribe([missing])
    message = None
    until = time.monotonic() + 15
    while message is None and time.monotonic() < until:
        message = consumer.poll(0.2)
    assert message is not None
    assert message.error().name() == "UNKNOWN_TOPIC_OR_PART"
