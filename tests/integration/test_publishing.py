import asyncio
import time

import pytest
from pydantic import BaseModel

from kafkaboot.client.confluent.producer import ConfluentProducer
from kafkaboot.clients import (
    high_throughput_consumer,
    high_throughput_producer,
    low_latency_consumer,
    low_latency_producer,
    safe_consumer,
    safe_producer,
)
from kafkaboot.declare import event
from kafkaboot.errors import BatchPublishError, ClientError, PublishError
from kafkaboot.producer import Producer, ProducerSettings


@event("order.placed")
class OrderPlaced(BaseModel):
    order_id: str
    total: int = 0


def read(consumer, topic, count, seconds=30):
    records, until = [], time.monotonic() + seconds
    consumer.subscribe([topic])
    while len(records) < count and time.monotonic() < until:
        records += consumer.poll(timeout=0.2)
    return records


@pytest.mark.parametrize(
    ("make_producer", "make_consumer"),
    [
        (high_throughput_producer, high_throughput_consumer),
        (low_latency_producer, low_latency_consumer),
        (safe_producer, safe_consumer),
    ],
)
async def test_every_preset_publishes_and_consumes_without_boot(kafka, topic, make_producer, make_consumer):
    name = topic(partitions=2)
    async with make_producer([kafka.bootstrap_servers], "importer") as producer:
        one = await producer.publish(name, OrderPlaced(order_id="o-1", total=3), key="o-1", headers={"origin": "shop"})
        many = await producer.publish_batch(
            name, [OrderPlaced(order_id=f"o-{n}") for n in range(2, 2002)], key="order_id"
        )
        assert (await producer.send(name, {"note": 1}, key=7)).topic == name
    assert len({(receipt.partition, receipt.offset) for receipt in [one, *many]}) == 2001

    def consume():
        with make_consumer(kafka.bootstrap_servers, "reader", group=f"{name}-group") as consumer:
            records = read(consumer, name, 2002)
            consumer.commit()
            return records

    records = await asyncio.to_thread(consume)
    placed = {(record.partition, record.offset): record for record in records}
    assert len(placed) == len(records) == 2002
    first = placed[one.partition, one.offset]
    assert (first.key, first.value) == (b"o-1", b'{"order_id":"o-1","total":3}')
    assert first.timestamp == one.timestamp
    assert first.header("ce_type") == b"order.placed"
    assert first.header("ce_source") == b"/importer"
    assert first.header("origin") == b"shop"
    for n, receipt in enumerate(many, 2):
        assert placed[receipt.partition, receipt.offset].key == f"o-{n}".encode()
    assert len({record.header("ce_id") for record in records if record.key != b"7"}) == 2001

    def consume_again():
        with make_consumer(kafka.bootstrap_servers, "reader", group=f"{name}-group") as consumer:
            return read(consumer, name, 1, seconds=3)

    assert await asyncio.to_thread(consume_again) == []


def test_what_was_polled_and_not_committed_comes_again(kafka, topic):
    name = topic()
    with safe_producer(kafka.bootstrap_servers, "importer") as producer:
        producer.sync.publish(name, {"n": 1})
    for _ in range(2):
        with safe_consumer(kafka.bootstrap_servers, "reader", group=f"{name}-group") as consumer:
            assert len(read(consumer, name, 1)) == 1


async def test_a_batch_larger_than_the_buffer_is_delivered_whole(kafka, topic):
    name = topic(partitions=3)
    settings = ProducerSettings.model_validate({"max-buffered": 500})
    client = ConfluentProducer({"bootstrap.servers": kafka.bootstrap_servers, **settings.client_properties()})
    async with Producer(client) as producer:
        receipts = await producer.publish_batch(name, [{"n": n} for n in range(20_000)], key="n")
    assert len({(receipt.partition, receipt.offset) for receipt in receipts}) == 20_000


async def test_sends_beyond_the_buffer_wait_a_moment_or_are_refused_as_retriable_and_none_is_lost(kafka, topic):
    name = topic()
    settings = ProducerSettings.model_validate({"max-buffered": 200, "linger": 0})
    client = ConfluentProducer({"bootstrap.servers": kafka.bootstrap_servers, **settings.client_properties()})
    async with Producer(client) as producer:
        deliveries = []
        for n in range(5000):
            while True:
                try:
                    deliveries.append(producer.send(name, {"n": n}))
                    break
                except PublishError as error:
                    if not error.retriable:
                        raise
                    await deliveries[-1]
        assert [(await delivery).offset for delivery in deliveries] == list(range(5000))


async def test_an_unknown_topic_is_named_within_seconds(kafka):
    began = time.monotonic()
    async with safe_producer(kafka.bootstrap_servers, "importer") as producer:
        with pytest.raises(PublishError, match="the topic 'nobody-made-this' does not exist"):
            await producer.publish("nobody-made-this", {})
    assert time.monotonic() - began < 15


async def test_a_record_that_is_too_large_is_refused_and_the_others_of_its_batch_are_delivered(kafka, topic):
    async with safe_producer(kafka.bootstrap_servers, "importer") as producer:
        with pytest.raises(BatchPublishError) as caught:
            await producer.publish_batch(topic(), ["a", "x" * 2_000_000, "b"])
    assert [index for index, _ in caught.value.failed] == [1]
    assert caught.value.failed[0][1].code == "MSG_SIZE_TOO_LARGE"
    assert [receipt and receipt.offset for receipt in caught.value.receipts] == [0, None, 1]


def test_closing_without_a_broker_gives_up_in_time_and_tells_whoever_waits():
    producer = safe_producer(["127.0.0.1:1"], "importer", {"log_level": 0})
    delivery = producer.send("orders", {"n": 1})
    began = time.monotonic()
    assert producer.sync.close(0.5) == 1
    assert time.monotonic() - began < 5
    with pytest.raises(PublishError, match="orders: "):
        delivery.result(5)


def test_a_closed_client_refuses(kafka, topic):
    client = ConfluentProducer({"bootstrap.servers": kafka.bootstrap_servers})
    assert client.close(5) == 0
    assert client.close(5) == 0
    with pytest.raises(ClientError, match="closed"):
        client.produce("orders", b"", None, None, -1, None)


def test_a_callback_that_raises_does_not_silence_the_others(kafka, topic, caplog):
    client = ConfluentProducer({"bootstrap.servers": kafka.bootstrap_servers, "linger.ms": 50})
    name, heard = topic(), []

    def broken(error, record):
        raise ValueError("a mistake")

    for n in range(10):
        client.produce(name, b"%d" % n, None, None, -1, broken if n == 3 else lambda *_: heard.append(1))
    until = time.monotonic() + 20
    while len(heard) < 9 and time.monotonic() < until:
        time.sleep(0.01)
    assert client.close(5) == 0
    assert len(heard) == 9
    assert "a delivery callback raised" in caplog.text
