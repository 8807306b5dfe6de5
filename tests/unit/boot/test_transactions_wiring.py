"""Transactions of an application: its ids, who hears of them, and what is checked at start."""

from __future__ import annotations

import socket

import pytest

from kafkaboot.boot.application import Application
from kafkaboot.client.memory import MemoryClients
from kafkaboot.errors import ConfigurationError
from kafkaboot.health import HealthIndicator
from kafkaboot.producer import Producer

CODE = """
from kafkaboot.client import ClientFactory
from kafkaboot.client.memory import MemoryClients

HEARD = []
KAFKA = MemoryClients()
for topic in ("orders", "invoices"):
    KAFKA.kafka.create(topic)

@component
def clients() -> ClientFactory:
    return KAFKA

@component
class Board:
    def on_transaction(self, outcome, seconds):
        HEARD.append(outcome)

@component
class Desk:
    def __init__(self, producer: Producer) -> None:
        self.producer = producer
"""


@pytest.fixture
def started(shop, monkeypatch):
    (shop.package / "clients.py").unlink()
    shop.handlers(CODE)
    monkeypatch.chdir(shop.folder)
    monkeypatch.delenv("KB_WORKER", raising=False)

    async def start(section="", worker=None):
        shop.yaml(f"  producer:\n    envelope: none\n{section}")
        if worker is not None:
            monkeypatch.setenv("KB_WORKER", worker)
        application = Application()
        await application.start()
        return application

    return start


def ids(shop):
    return sorted(shop.module("handlers").KAFKA.kafka.transactional)


@pytest.mark.parametrize("worker", [None, "3"])
async def test_ids_are_the_applications_name_its_slot_and_a_number_and_a_client_is_made_when_it_is_needed(
    shop, started, worker
):
    application = await started(worker=worker)
    try:
        assert ids(shop) == []
        producer = application.blueprint.container.get(Producer)
        await producer.publish_batch("orders", [{"n": 1}], transactional=True)
        assert ids(shop) == [f"{shop.name}-{socket.gethostname()}-{worker or 0}-0"]
    finally:
        await application.stop()


async def test_a_section_of_its_own_makes_all_clients_at_start_and_listeners_hear_of_transactions(shop, started):
    application = await started("    transaction: {slot: left, pool: 3, timeout: 5s}\n")
    try:
        assert ids(shop) == [f"{shop.name}-left-{n}" for n in range(3)]
        container = application.blueprint.container
        producer = container.get(Producer)
        await producer.publish_batch("orders", [{"n": 1}], transactional=True)
        with pytest.raises(ZeroDivisionError):
            async with producer.transaction() as tx:
                tx.send("orders", {"n": 2})
                _ = 1 / 0
        assert shop.module("handlers").HEARD == ["committed", "aborted"]
        health = next(one for one in container.providing(HealthIndicator) if "Producer" in str(one))
        details = container.instance(health).health().details
        assert details["transactions"] == {"clients": 3, "lent": 0, "waiting": 0, "committed": 1, "aborted": 1}
        kafka = shop.module("handlers").KAFKA.kafka
        assert [record.value() for record in kafka.records("orders", committed=True)] == [b'{"n":1}']
    finally:
        await application.stop()


async def test_a_timeout_that_the_broker_does_not_allow_fails_the_start(shop, started):
    with pytest.raises(ConfigurationError, match="1200 s") as caught:
        await started("    transaction: {timeout: 20m}\n")
    assert "900 s at most" in str(caught.value)
    assert caught.value.where == "kafkaboot.producer.transaction.timeout"
    assert isinstance(shop.module("handlers").KAFKA, MemoryClients)
