"""Producers by name: each with its own settings, given only to who asks for it, sharing what can be shared."""

from __future__ import annotations

import pytest

from kafkaboot.boot.application import Application
from kafkaboot.errors import ConfigurationError, WiringError
from kafkaboot.health import HealthIndicator, Status
from kafkaboot.producer import Producer

CODE = """
from typing import Annotated
from kafkaboot.client import ClientFactory
from kafkaboot.client.memory import MemoryClients

class Counting(MemoryClients):
    def __init__(self):
        super().__init__()
        self.made = []
    def producer(self, overrides):
        port = super().producer(overrides)
        self.made.append((overrides, port))
        return port

KAFKA = Counting()
for topic in ("orders", "invoices", "audit", "methods"):
    KAFKA.kafka.create(topic)

@component
def clients() -> ClientFactory:
    return KAFKA

@component
class Desk:
    def __init__(self, producer: Producer, audit: Annotated[Producer, Named("audit")]) -> None:
        self.producer, self.audit = producer, audit

    @publisher("methods", producer="audit")
    async def note(self, text: str) -> dict:
        return {"text": text}

@event_handler("orders")
@publisher("invoices")
@publisher("audit", producer="NAME")
async def bill(order: dict, desk: Desk) -> dict:
    await desk.note("billed")
    return order
"""
YAML = """
  producer: {envelope: none}
  producers:
    audit: {envelope: none, PROPERTIES}
    bulk: {preset: high-throughput}
"""


@pytest.fixture
def started(shop, monkeypatch):
    (shop.package / "clients.py").unlink()
    monkeypatch.chdir(shop.folder)

    async def start(properties="linger: 7ms", name="audit", yaml=YAML):
        shop.handlers(CODE.replace("NAME", name))
        shop.yaml(yaml.replace("PROPERTIES", properties))
        application = Application()
        await application.start()
        return application

    return start


def get(application, name=""):
    return application.blueprint.container.get(Producer, name)


async def test_each_name_has_its_settings_and_who_names_none_gets_the_applications_own(shop, started):
    application = await started()
    try:
        desk = application.blueprint.container.get(shop.module("handlers").Desk)
        assert desk.producer is get(application)
        assert desk.audit is get(application, "audit")
        assert desk.audit is not desk.producer
        made = [overrides.get("linger.ms") for overrides, _ in shop.module("handlers").KAFKA.made]
        assert made.count(7000 * 0.001) == 1
        assert len(application.blueprint.container.all(Producer)) == 3
        assert get(application, "bulk").outbox.envelope.kind == "cloudevents"
    finally:
        await application.stop()
    for name in ("", "audit", "bulk"):
        assert get(application, name).outbox.closed


async def test_publishers_take_the_producer_that_they_name(shop, started):
    application = await started()
    try:
        kafka = shop.module("handlers").KAFKA
        (group,) = application.groups.groups
        (route,) = group.routes
        own, audit = get(application), get(application, "audit")
        assert [(one.topic, one.outbox) for one in route.forwarding.bindings] == [
            ("invoices", own.outbox),
            ("audit", audit.outbox),
        ]
        desk = application.blueprint.container.get(shop.module("handlers").Desk)
        await desk.note("by hand")
        assert [record.value() for record in kafka.kafka.records("methods")] == [b'{"text":"by hand"}']
    finally:
        await application.stop()


async def test_where_settings_are_equal_the_connection_is_shared_and_closes_with_the_last(shop, started):
    application = await started(properties="flush-timeout: 3s")
    try:
        own, audit = get(application), get(application, "audit")
        kafka = shop.module("handlers").KAFKA
        assert len({id(port) for _, port in kafka.made}) == len(kafka.made)
        assert own.outbox.port is not audit.outbox.port
        assert own.outbox.port.produce == audit.outbox.port.produce
        audit.sync.close()
        await own.publish("orders", {"n": 1})
        assert kafka.kafka.records("orders")
    finally:
        await application.stop()
    assert own.outbox.port.produce.__self__._closed


async def test_health_is_told_by_name(started):
    application = await started()
    try:
        indicators = application.blueprint.container.all(HealthIndicator)
        assert {"producer", "producer audit", "producer bulk"} <= {one.name for one in indicators}
        await get(application, "audit").close()
        status = {one.name: one.health().status for one in indicators}
        assert (status["producer audit"], status["producer"]) == (Status.OUT_OF_SERVICE, Status.UP)
    finally:
        await application.stop()


async def test_transactions_of_a_named_one_have_ids_of_their_own(shop, started):
    application = await started(properties="transaction: {slot: left, pool: 1}")
    try:
        assert list(shop.module("handlers").KAFKA.kafka.transactional) == [f"{shop.name}-left-audit-0"]
    finally:
        await application.stop()


async def test_a_name_that_does_not_exist_fails_the_start_with_a_suggestion(started):
    with pytest.raises(WiringError) as caught:
        await started(name="audti")
    text = str(caught.value)
    assert "nothing named 'audti' provides Producer" in text
    assert "bill (" in text
    assert "did you mean 'audit'?" in text


@pytest.mark.parametrize(("name", "why"), [("two words", "cannot be a name"), ("producer", "the application's own")])
async def test_a_name_that_no_producer_can_have_is_refused(started, name, why):
    with pytest.raises(ConfigurationError, match=r"application\.yaml:\d+") as caught:
        await started(yaml=YAML.replace("bulk", name))
    assert why in str(caught.value)
