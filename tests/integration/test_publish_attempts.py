"""Attempts beyond the client's own: the brokers are out of reach for longer than a record is tried."""

from __future__ import annotations

import asyncio

import pytest

from kafkaboot.client import TP, TopicSpec
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.errors import PublishError
from kafkaboot.producer import Attempts, Producer, ProducerSettings
from kafkaboot.testing import ChaosProxy

SETTINGS = ProducerSettings.model_validate(
    {"delivery-timeout": "1s", "retry": {"attempts": 20}, "properties": {"reconnect.backoff.max.ms": 100}}
)


@pytest.fixture(scope="module")
def embedded():
    with EmbeddedKafka() as broker:
        yield broker


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.real_kafka)])
def broker(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def clients(broker):
    with ChaosProxy(broker.bootstrap_servers) as proxy:
        made = ConfluentClients(KafkaSettings(), bootstrap_servers=proxy.bootstrap_servers)
        made.proxy = proxy
        yield made


def records(clients, topic):
    reader, found = clients.reader(), []
    admin = clients.admin()
    at = TP(topic, 0)
    end = admin.end_offsets([at], 30)[at]
    reader.begin({at: 0})
    while reader.positions[at] < end:
        found += reader.poll(100, 1.0)
    reader.close()
    admin.close()
    return found


@pytest.mark.parametrize("form", ["await", "sync"])
async def test_publish_outlasts_an_outage_that_is_longer_than_the_client_tries(clients, request, form):
    topic = f"attempts-{form}-{request.node.callspec.id}"
    admin = clients.admin()
    admin.create_topics([TopicSpec(topic, 1, 1)], 30)
    failed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def delay(attempt):
        loop.call_soon_threadsafe(failed.set)
        return 0.05

    patient = Producer(
        clients.producer(SETTINGS.client_properties()), attempts=Attempts(attempts=60, delay=delay, time_limit=60.0)
    )
    plain = Producer(clients.producer(SETTINGS.client_properties()))
    for producer in (patient, plain):
        await producer.publish(topic, {"first": 1}, headers={"ce_id": "first"})
    clients.proxy.refuse()
    headers = {"ce_id": "outlasted"}
    task = asyncio.create_task(
        patient.publish(topic, {"n": 1}, headers=headers)
        if form == "await"
        else asyncio.to_thread(patient.sync.publish, topic, {"n": 1}, headers=headers)
    )
    with pytest.raises(PublishError) as caught:  # the control: without attempts it is given up
        await plain.publish(topic, {"n": 2})
    assert caught.value.retriable
    await asyncio.wait_for(failed.wait(), 30)
    assert not task.done()
    clients.proxy.heal()
    receipt = await asyncio.wait_for(task, 60)
    ids = [dict(record.headers())["ce_id"] for record in await asyncio.to_thread(records, clients, topic)]
    assert ids[receipt.offset] == b"outlasted"
    await patient.close()
    await plain.close()
    admin.close()
