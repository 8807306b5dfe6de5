"""A whole application on a Kafka in memory: its handlers are the text that a user would write."""

from __future__ import annotations

import itertools
import logging
import sys
import textwrap
import time
from contextlib import asynccontextmanager

import pytest

from kafkaboot.boot import Component
from kafkaboot.boot.application import Application
from kafkaboot.client import TP, ClientFactory
from kafkaboot.client.memory import MemoryClients, MemoryKafka
from kafkaboot.clock import SystemClock
from kafkaboot.failure import DeadLetters, read
from kafkaboot.testing import eventually_async

NUMBERS = itertools.count(1)
QUICK = ("kafkaboot.consumer.commit-interval=10ms", "kafkaboot.consumer.drain-timeout=2s",
         "kafkaboot.retry.default.backoff.initial=5ms")  # fmt: skip


class Clients(MemoryClients):
    """An empty poll takes a moment, as everywhere but in memory."""

    def consumer(self, group, overrides):
        made = super().consumer(group, overrides)
        poll = made.poll_chunk

        def poll_chunk(limit, timeout):
            chunk = poll(limit, timeout)
            if not chunk:
                time.sleep(0.002)
            return chunk

        made.poll_chunk = poll_chunk
        return made


class Shop:
    """The application, its cluster, and what became of its records.

    Attributes:
        group: The application's name, its group and its package.
        letters_topic: The dead letters of `orders`.
    """

    def __init__(self, folder):
        self.folder = folder
        self.group = f"failshop{next(NUMBERS)}"
        self.letters_topic = f"orders.{self.group}.dlt"
        self.kafka = MemoryKafka(SystemClock())
        self.clients = Clients(self.kafka)
        self.yaml = ""
        (folder / self.group).mkdir()

    def handlers(self, text):
        head = "from kafkaboot import *\n"
        (self.folder / self.group / "__init__.py").write_text(head + textwrap.dedent(text).lstrip())

    def application(self, *overrides, clients=True):
        own = Component.holding(self.clients, where="the test", source="the test", provides=ClientFactory)
        (self.folder / "application.yaml").write_text(self.yaml)
        return Application(
            directory=self.folder,
            environ={},
            overrides=[
                f"kafkaboot.application.name={self.group}",
                f"kafkaboot.application.packages={self.group}",
                *QUICK,
                *overrides,
            ],
            components=[own] if clients else [],
        )

    @asynccontextmanager
    async def running(self, *overrides, clients=True):
        """Started and stopped again, whatever was broken meanwhile."""
        made = self.application(*overrides, clients=clients)
        await made.start()
        try:
            yield made.blueprint.container
        finally:
            self.kafka.faults.heal()
            self.kafka.denied.clear()
            self.kafka.deliver()
            await made.stop()

    @property
    def module(self):
        return sys.modules[self.group]

    def publish(self, value, key=b"k", headers=None, *, topic="orders", partition=0):
        return self.kafka.append(topic, value, key, headers, partition)

    def committed(self, partition=0):
        return self.kafka.committed(self.group, TP("orders", partition)).offset

    async def commits(self, offset, partition=0, within=5.0):
        await eventually_async(
            lambda: self.committed(partition) == offset, within, f"orders[{partition}] is committed up to {offset}"
        )

    def letters(self):
        return [read(record) for record in self.kafka.records(self.letters_topic)]

    @staticmethod
    def writer(container):
        return container.get(DeadLetters)


@pytest.fixture
def shop(tmp_path):
    root = logging.getLogger()
    before = list(root.handlers), root.level, list(sys.path)
    made = Shop(tmp_path)
    made.kafka.create("orders", 2)
    made.kafka.create("invoices", 1)
    yield made
    root.handlers[:], root.level, sys.path[:] = before
    sys.modules.pop(made.group, None)
