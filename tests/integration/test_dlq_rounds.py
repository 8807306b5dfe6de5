"""Letters of a running application: indexed as they come, sent again, and parked when that helps nothing."""

from __future__ import annotations

import asyncio
import logging
import sys

import pytest

from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.failure.replay import Errand, Selection, Workbench
from kafkaboot.testing.app import TestApp
from kafkaboot.testing.probes import eventually_async

pytestmark = pytest.mark.timeout(120)

PACKAGE = "dlqrounds"
LETTERS = "orders.dlqrounds.dlt"
HANDLERS = """
from pydantic import BaseModel
from kafkaboot import event, event_handler

MENDED = False
HANDLED = []

@event("order.placed")
class OrderPlaced(BaseModel):
    order_id: str

@event_handler("orders")
async def bill(order: OrderPlaced) -> None:
    if order.order_id == "bad" and not MENDED:
        raise ValueError("never")
    HANDLED.append(order.order_id)
"""
YAML = f"""
kafkaboot:
  application: {{name: {PACKAGE}, packages: [{PACKAGE}]}}
  kafka: {{broker: embedded}}
  retry: {{default: {{attempts: 1}}}}
  consumer: {{commit-interval: 50ms}}
"""


@pytest.fixture
async def shop(tmp_path):
    (tmp_path / PACKAGE).mkdir()
    (tmp_path / PACKAGE / "__init__.py").write_text(HANDLERS)
    (tmp_path / "application.yaml").write_text(YAML)
    path, handlers = list(sys.path), list(logging.getLogger().handlers)
    sys.path.insert(0, str(tmp_path))
    with EmbeddedKafka() as broker:
        async with TestApp(broker, directory=tmp_path) as app:
            yield app
    sys.path[:] = path
    logging.getLogger().handlers[:] = handlers
    sys.modules.pop(PACKAGE)


@pytest.fixture
def clients(shop):
    return ConfluentClients(KafkaSettings(), bootstrap_servers=shop.broker.bootstrap_servers)


def redriven(clients):
    with Workbench(clients, LETTERS, by="ada@desk") as bench:
        found = bench.catalogue()
        plan = bench.plan(Errand("redrive", Selection()), found)
        absent = bench.absent(plan.groups)
        return absent, bench.work(bench.begin(plan, found)).counts


def letters(clients, topic=LETTERS):
    with Workbench(clients, topic) as bench:
        found = bench.catalogue()
    return found, sum(one.cause.count for one in found.groups())


async def test_a_record_that_fails_again_and_again_is_parked_after_three_rounds(shop, clients):
    await shop.publish("orders", {"order_id": "bad"}, key="bad")
    for rounds in range(1, 5):
        await eventually_async(lambda n=rounds: letters_in(shop, clients, n), 30, f"{rounds} letters")
        absent, counts = await asyncio.to_thread(redriven, clients)
        assert absent == [], "the application runs: somebody takes the records"
        if "parked" in counts:
            break
    assert (rounds, counts) == (4, {"parked": 1})
    _, parked = await asyncio.to_thread(letters, clients, f"{LETTERS}.parked")
    assert parked == 1


async def test_a_mended_handler_handles_what_is_sent_again(shop, clients):
    await shop.publish("orders", {"order_id": "bad"}, key="bad")
    await eventually_async(lambda: letters_in(shop, clients, 1), 30, "the letter")
    sys.modules[PACKAGE].MENDED = True
    assert (await asyncio.to_thread(redriven, clients))[1] == {"retried": 1}
    await eventually_async(lambda: sys.modules[PACKAGE].HANDLED == ["bad"], 30, "it is handled")


async def test_the_application_indexes_its_letters(shop, clients):
    for _ in range(20):
        await shop.publish("orders", {"order_id": "bad"}, key="bad")
    await eventually_async(lambda: letters_in(shop, clients, 20), 30, "20 letters")

    def covered():
        found, count = letters(clients)
        return found.indexed and found.read == 0 and count == 20

    await eventually_async(lambda: asyncio.to_thread(covered), 30, "the index covers them all")


def letters_in(shop, clients, count):
    async def look():
        admin = clients.admin()
        try:
            there = await asyncio.to_thread(lambda: LETTERS in admin.topics(10))
        finally:
            admin.close()
        return there and (await asyncio.to_thread(letters, clients))[1] == count

    return look()
