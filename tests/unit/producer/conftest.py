"""A producer with transactions, on a Kafka in memory."""

from __future__ import annotations

import pytest

from kafkaboot.client.memory import MemoryClients
from kafkaboot.producer import Producer, ProducerSettings, Transactions


class Bench:
    """One cluster, and processes that publish to it."""

    def __init__(self):
        self.clients = MemoryClients()
        self.kafka = self.clients.kafka
        for topic in ("orders", "invoices"):
            self.kafka.create(topic)
        self.made = []
        make = self.clients.transactional
        self.clients.transactional = lambda *args: self.made.append(make(*args)) or self.made[-1]

    def producer(self, slot="x", size=2, timeout=10.0, **options):
        settings = ProducerSettings.model_validate({"transaction": {"timeout": timeout}})
        pool = Transactions(
            self.clients,
            settings.transaction_properties(),
            prefix=f"shop-{slot}",
            size=size,
            timeout=timeout,
            make=Producer,
            **options,
        )
        return Producer(self.clients.producer(settings.client_properties()), transactions=pool)

    def visible(self, topic="orders"):
        return [record.value() for record in self.kafka.records(topic, committed=True)]

    def written(self, topic="orders"):
        return [record.value() for record in self.kafka.records(topic)]


@pytest.fixture
def bench():
    return Bench()
