"""What YAML says of publishing, up to the client: attempts, circuits, compression; mistakes with their line."""

from __future__ import annotations

import pytest

from kafkaboot.boot.application import Application
from kafkaboot.errors import CircuitOpenError, ConfigurationError, PublishError
from kafkaboot.failure import Circuits
from kafkaboot.producer import Producer

CODE = """
from kafkaboot.client import ClientFactory
from kafkaboot.client.memory import MemoryClients

KAFKA, MADE = MemoryClients(), []
KAFKA.kafka.create("orders")

class Clients(MemoryClients):
    def producer(self, overrides):
        MADE.append(dict(overrides))
        return super().producer(overrides)

@component
def clients() -> ClientFactory:
    return Clients(KAFKA.kafka)
"""


@pytest.fixture
def started(shop, monkeypatch):
    (shop.package / "clients.py").unlink()
    shop.handlers(CODE)
    monkeypatch.chdir(shop.folder)

    async def start(section):
        shop.yaml(section)
        application = Application()
        await application.start()
        return application

    return start


def producer_of(application):
    return application.blueprint.container.get(Producer)


async def test_retry_and_circuit_go_around_publish(shop, started):
    application = await started(
        "  producer:\n    delivery-timeout: 1s\n    circuit: kafka\n"
        "    retry: {attempts: 3, backoff: {initial: 1ms, max: 2ms}}\n"
        "  circuits:\n    kafka: {consecutive: 4, open-for: 60s}\n"
    )
    try:
        producer, faults = producer_of(application), shop.module("handlers").KAFKA.kafka.faults
        faults.fail_deliveries("_MSG_TIMED_OUT", 2)
        await producer.publish("orders", {"n": 1})
        circuit = application.blueprint.container.get(Circuits).get("kafka")
        assert (circuit.calls, circuit.failures, circuit.state) == (3, 2, "closed")
        faults.fail_deliveries("_MSG_TIMED_OUT", 10)
        with pytest.raises(PublishError, match="3 attempts") as caught:
            await producer.publish("orders", {"n": 2})
        assert caught.value.retriable
        with pytest.raises(CircuitOpenError):
            await producer.publish("orders", {"n": 3})
        assert circuit.state == "open"
    finally:
        await application.stop()


async def test_by_default_there_are_no_attempts_beyond_the_clients_own(shop, started):
    application = await started("")
    try:
        faults = shop.module("handlers").KAFKA.kafka.faults
        faults.fail_deliveries("_MSG_TIMED_OUT", 1)
        with pytest.raises(PublishError):
            await producer_of(application).publish("orders", {"n": 1})
        assert not application.blueprint.container.get(Circuits).all()
    finally:
        await application.stop()


async def test_compression_and_its_level_reach_the_client(shop, started):
    application = await started("  producer: {compression: zstd, compression-level: 9}\n")
    await application.stop()
    made = shop.module("handlers").MADE[0]
    assert (made["compression.type"], made["compression.level"]) == ("zstd", 9)


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ("  producer:\n    compression: brotli\n", "'none', 'lz4', 'zstd', 'snappy' or 'gzip'"),
        ("  producers:\n    audit:\n      compression: zst\n", "'none', 'lz4', 'zstd', 'snappy' or 'gzip'"),
        ("  producer:\n    compression: gzip\n    compression-level: 10\n", "gzip has levels from 1 to 9"),
        ("  producer:\n    compression: snappy\n    compression-level: 1\n", "snappy has no levels"),
        ("  producer:\n    compression-level: 3\n", "none has no levels"),
        ("  producer:\n    retry: {attempts: 2}\n", "nothing would ever be tried again"),
        ("  producer:\n    retry: {attempts: 0}\n", "at least 1 is wanted"),
        ("  producer:\n    retry: {attempt: 2}\n", "did you mean `attempts`"),
        ("  producer:\n    circuit: two words\n", "circuit"),
        ("  requests:\n    topic: a topic\n", "topic"),
        ("  requests:\n    reply-topics: '('\n", "no regular expression"),
        ("  requests:\n    topic: __replies\n", "topic"),
        ("  requests:\n    dialect: sprin\n", "'kafkaboot' or 'spring'"),
    ],
)
async def test_what_cannot_be_meant_fails_the_start_with_its_line(started, section, says):
    with pytest.raises(ConfigurationError) as caught:
        await started(section)
    text = str(caught.value)
    assert says in text
    assert "application.yaml:" in text


async def test_a_circuit_without_circuits_is_told(started):
    with pytest.raises(ConfigurationError, match="`circuits` is excluded"):
        await started("  producer: {circuit: kafka}\n  autoconfigure: {exclude: [circuits]}\n")
