"""The admin client on a real Kafka."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from kafkaboot.client import TP, TopicSpec
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.dev.ports import free_port
from kafkaboot.errors import BrokerUnreachableError, ClientError


@pytest.fixture
def admin(kafka):
    client = ConfluentClients(KafkaSettings(), bootstrap_servers=kafka.bootstrap_servers).admin()
    yield client
    client.close()


def test_topics_are_created_once_and_left_alone_when_they_exist(admin, topic):
    existing = topic(partitions=2)
    name = f"{existing}-new"
    admin.create_topics([TopicSpec(existing, 7), TopicSpec(name, 3, 1, {"retention.ms": "60000"})], 20)
    found = admin.topics(10)
    assert (found[existing].partitions, found[name].partitions) == (2, 3)


def test_end_offsets_and_group_offsets_are_what_was_written_and_committed(admin, kafka, topic):
    name = topic(partitions=2)
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers})
    for _ in range(3):
        producer.produce(name, b"x", partition=1)
    assert producer.flush(20) == 0
    assert admin.end_offsets([TP(name, 0), TP(name, 1)], 10) == {TP(name, 0): 0, TP(name, 1): 3}
    assert admin.end_offsets([], 10) == {}
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": name})
    try:
        consumer.commit(offsets=[TopicPartition(name, 1, 2, "map")], asynchronous=False)
    finally:
        consumer.close()
    assert admin.group_offsets(name, 10) == {TP(name, 1): (2, "map")}
    assert admin.group_offsets(f"{name}-nobody", 10) == {}


def test_what_the_broker_refuses_says_what_to_do(admin, topic):
    with pytest.raises(ClientError) as caught:
        admin.create_topics([TopicSpec(f"{topic()}-x", 1, 5)], 20)
    assert caught.value.code == "INVALID_REPLICATION_FACTOR"
    assert "fewer brokers" in caught.value.todo
    with pytest.raises(ClientError, match="creating topic not good"):
        admin.create_topics([TopicSpec("not good")], 20)


CALLS = [
    lambda admin: admin.topics(1.5),
    lambda admin: admin.end_offsets([TP("x", 0)], 1.5),
    lambda admin: admin.group_offsets("g", 1.5),
    lambda admin: admin.create_topics([TopicSpec("x", 1)], 1.5),
]


@pytest.mark.parametrize("call", CALLS)
def test_a_broker_that_is_not_there_is_unreachable_for_every_call(call):
    admin = ConfluentClients(KafkaSettings(bootstrap_servers=[f"127.0.0.1:{free_port()}"])).admin()
    with pytest.raises(BrokerUnreachableError, match="Connection refused") as caught:
        call(admin)
    assert caught.value.retriable
    assert "bootstrap-servers" in caught.value.todo


@pytest.mark.parametrize(
    ("security", "said"),
    [
        ({"protocol": "ssl"}, "speaks plain text and this client TLS"),
        (
            {"protocol": "sasl_plaintext", "sasl": {"mechanism": "PLAIN", "username": "u", "password": "canary"}},
            "does not ask for SASL",
        ),
    ],
)
def test_a_client_that_speaks_another_security_protocol_is_told_so(kafka, security, said):
    settings = KafkaSettings.model_validate({"security": security})
    admin = ConfluentClients(settings, bootstrap_servers=kafka.bootstrap_servers).admin()
    with pytest.raises(BrokerUnreachableError, match=said) as caught:
        admin.topics(1.5)
    assert "security.protocol" in caught.value.todo
    assert "canary" not in str(caught.value)


def test_a_closed_admin_client_says_so(admin):
    admin.close()
    admin.close()
    with pytest.raises(ClientError, match="closed"):
        admin.topics(1)
