"""A cluster in memory, and plans for it."""

from __future__ import annotations

import pytest

from kafkaboot.client.memory import MemoryClients
from kafkaboot.topics import TopicSettings, TopicUse, draw, wanted_topics

TAKES = TopicUse("orders", "handler bill takes it", "shop/handlers.py:21")
LETTERS = TopicUse("orders.shop.dlt", "handler bill writes its dead letters to it", "shop/handlers.py:21",
                   source="orders", aligned=True)  # fmt: skip
RETRY = TopicUse("orders.shop.retry.5s", "handler bill sends records there for a later attempt", "shop/handlers.py:21",
                 source="orders", aligned=True)  # fmt: skip


@pytest.fixture
def clients() -> MemoryClients:
    return MemoryClients()


@pytest.fixture
def kafka(clients):
    return clients.kafka


@pytest.fixture
def admin(clients):
    return clients.admin()


@pytest.fixture
def plan_for(admin):
    """`plan_for({"orders": {"partitions": 3}}, TAKES, consent=["orders"])`."""

    def make(declared, *uses, places=None, **options):
        settings = {name: TopicSettings.model_validate(said) for name, said in declared.items()}
        return draw(admin, wanted_topics(uses, settings, places), **options)

    return make
