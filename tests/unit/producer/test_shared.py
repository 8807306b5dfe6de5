"""One connection for several producers."""

from __future__ import annotations

import pytest

from kafkaboot.client import ServesBursts
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.memory import MemoryClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.producer import Producer, SharedPorts

SAME, OTHER = {"linger.ms": 5}, {"linger.ms": 6}


def test_only_equal_properties_share_and_a_connection_that_nobody_shares_is_used_as_it_is():
    clients, made = MemoryClients(), []

    def make(properties):
        made.append(clients.producer(properties))
        return made[-1]

    ports = SharedPorts(make, [SAME, dict(SAME), OTHER])
    one, two, three = ports.port(SAME), ports.port(dict(SAME)), ports.port(OTHER)
    assert len(made) == 2
    assert three is made[1]
    assert one is not two
    assert one.produce == two.produce == made[0].produce
    assert not isinstance(one, ServesBursts)


def test_it_closes_with_the_last_of_those_who_share_it():
    clients = MemoryClients()
    clients.kafka.create("orders")
    ports = SharedPorts(clients.producer, [SAME, SAME])
    one, two = Producer(ports.port(SAME)), Producer(ports.port(SAME))
    one.sync.close()
    two.sync.publish("orders", {"n": 1})
    two.sync.close()
    assert len(clients.kafka.records("orders")) == 1
    assert two.outbox.port.produce.__self__._closed
    again = Producer(ports.port(SAME))  # as in an application that is started once more
    again.sync.publish("orders", {"n": 2})


@pytest.mark.timeout(60)
async def test_who_awaits_on_one_of_them_is_woken_whoever_else_does():
    with EmbeddedKafka() as broker:
        clients = ConfluentClients(KafkaSettings(), bootstrap_servers=broker.bootstrap_servers)
        ports = SharedPorts(clients.producer, [SAME, SAME])
        one, two = Producer(ports.port(SAME)), Producer(ports.port(SAME))
        assert isinstance(one.outbox.port, ServesBursts)
        for producer in (one, two, one, two):
            assert (await producer.publish("orders", {"n": 1})).topic == "orders"
            assert len(await producer.publish_batch("orders", [{"n": n} for n in range(3)])) == 3
        await one.close()
        assert (await two.publish("orders", {"n": 1})).topic == "orders"
        await two.close()
