"""Retries after a connection was cut between a request and its answer: stored once, and never in another order."""

import asyncio

from aiokafka import AIOKafkaProducer

from kafkaboot.testing import eventually

PRODUCE, ADD_OFFSETS, END_TXN, INIT_PRODUCER_ID, ADD_PARTITIONS = 0, 25, 26, 22, 24
QUICK = {"reconnect_backoff_ms": 10, "reconnect_backoff_max_ms": 50, "retry_backoff_ms": 20}


def producer_through(cluster, proxy, **config):
    return cluster.producer(bootstrap_servers=proxy.address, **QUICK, **config)


def test_an_idempotent_producers_retry_is_stored_once(cluster, proxy):
    topic = cluster.topic()
    producer = producer_through(cluster, proxy, enable_idempotence=True)
    cluster.send(topic, b"0", producer=producer)
    for n in (1, 2, 3):
        proxy.cut(PRODUCE)
        (sent,) = cluster.send(topic, b"%d" % n, producer=producer)
        assert sent.offset() == n
    assert proxy.cuts == 3
    assert cluster.values(topic) == [b"0", b"1", b"2", b"3"]


def test_without_idempotence_the_retry_is_stored_twice(cluster, proxy):
    topic = cluster.topic()
    producer = producer_through(cluster, proxy, enable_idempotence=False)
    cluster.send(topic, b"0", producer=producer)
    proxy.cut(PRODUCE)
    cluster.send(topic, b"1", producer=producer)
    assert cluster.values(topic) == [b"0", b"1", b"1"]


def test_many_batches_in_flight_are_stored_once_and_in_order(cluster, proxy):
    topic = cluster.topic()
    producer = producer_through(cluster, proxy, enable_idempotence=True, batch_num_messages=5)
    cluster.send(topic, b"0", producer=producer)
    proxy.cut(PRODUCE, times=2)
    cluster.send(topic, *(b"%d" % n for n in range(1, 200)), producer=producer)
    assert proxy.cuts >= 1
    assert cluster.values(topic) == [b"%d" % n for n in range(200)]


async def test_aiokafkas_retry_is_stored_once(cluster, proxy):
    topic = await asyncio.to_thread(cluster.topic)
    async with AIOKafkaProducer(bootstrap_servers=proxy.address, enable_idempotence=True) as producer:
        await producer.send_and_wait(topic, b"0", partition=0)
        proxy.cut(PRODUCE)
        await producer.send_and_wait(topic, b"1", partition=0)
        await producer.send_and_wait(topic, b"2", partition=0)
    assert proxy.cuts == 1
    assert await asyncio.to_thread(cluster.values, topic) == [b"0", b"1", b"2"]


def test_a_transaction_survives_the_loss_of_each_answer(cluster, proxy):
    topic = cluster.topic()
    producer = producer_through(cluster, proxy, transactional_id=cluster.name("x"))
    proxy.cut(INIT_PRODUCER_ID)
    producer.init_transactions(30)
    for n, key in enumerate((ADD_PARTITIONS, PRODUCE, END_TXN)):
        producer.begin_transaction()
        proxy.cut(key)
        cluster.send(topic, b"%d" % n, producer=producer)
        producer.commit_transaction(30)
        assert proxy.cuts == n + 2
    eventually(lambda: cluster.values(topic) == [b"0", b"1", b"2"])


def test_an_abort_whose_answer_was_lost_is_an_abort(cluster, proxy):
    topic = cluster.topic()
    producer = producer_through(cluster, proxy, transactional_id=cluster.name("x"))
    producer.init_transactions(30)
    producer.begin_transaction()
    cluster.send(topic, b"dropped", producer=producer)
    proxy.cut(END_TXN)
    producer.abort_transaction(30)
    producer.begin_transaction()
    cluster.send(topic, b"kept", producer=producer)
    producer.commit_transaction(30)
    eventually(lambda: cluster.values(topic) == [b"kept"])
    assert proxy.cuts == 1
