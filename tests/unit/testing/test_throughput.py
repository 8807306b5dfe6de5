"""How much a producer delivers."""

from __future__ import annotations

import pytest

from kafkaboot.client import TopicSpec
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.errors import PublishError
from kafkaboot.producer import Producer
from kafkaboot.testing import measure_throughput


@pytest.fixture
def clients(embedded):
    made = ConfluentClients(KafkaSettings(), bootstrap_servers=embedded.bootstrap_servers)
    admin = made.admin()
    admin.create_topics([TopicSpec("t", 2, 1), TopicSpec("small", 1, 1, {"max.message.bytes": "5000"})], 30)
    admin.close()
    return made


async def test_every_record_is_delivered_and_counted(clients):
    async with Producer(clients.producer({"linger.ms": 5})) as producer:
        found = await measure_throughput(producer, "t", 12_000, 100)
    reader = clients.reader()
    assert reader.add("t", 10)
    seen = []
    while chunk := reader.poll(10_000, 2.0):
        seen += chunk
    reader.close()
    assert len(seen) == 12_000
    assert {len(record.value()) for record in seen} == {100}
    assert (found.records, found.size) == (12_000, 100)
    assert found.messages_per_second == pytest.approx(12_000 / found.seconds)
    assert 0 < found.p50 <= found.p95 <= found.p99 <= found.seconds * 1000
    assert found.p50 * 0.1 < found.average < found.p99 * 1.1
    assert "12000 records of 100 bytes" in str(found)


async def test_a_record_that_is_refused_is_raised(clients):
    async with Producer(clients.producer({})) as producer:
        with pytest.raises(PublishError):
            await measure_throughput(producer, "small", 3, 50_000)


async def test_nothing_cannot_be_measured(clients):
    async with Producer(clients.producer({})) as producer:
        with pytest.raises(ValueError, match="at least one record"):
            await measure_throughput(producer, "t", 0, 10)
