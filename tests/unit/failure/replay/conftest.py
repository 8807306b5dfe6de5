"""A topic of letters in memory, and a workbench on it."""

from __future__ import annotations

import struct
import time

import pytest

from kafkaboot.client.memory import MemoryClients
from kafkaboot.failure.replay import Workbench

LETTERS = "orders.shop.dlt"
NOON = 1_764_000_000_000


class Desk:
    def __init__(self):
        self.clients = MemoryClients()
        self.kafka = self.clients.kafka
        self.kafka.create("orders", 4)
        self.kafka.create(LETTERS, 2)

    def letter(
        self,
        value=b"{}",
        *,
        partition=0,
        cause="card",
        exception="shop.CardRefused",
        topic="orders",
        at=NOON,
        key=b"k",
        redrives=0,
        origin=0,
        handler="bill",
        more=(),
    ):
        if topic is None:
            return self.kafka.append(LETTERS, value, key, [("own", b"1")], partition, NOON)
        iso = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at / 1000)) + f".{at % 1000:03d}Z"
        headers = [
            ("own", b"1"),
            ("kb-original-topic", topic.encode()),
            ("kb-original-partition", str(origin).encode()),
            ("kb-original-offset", b"7"),
            ("kb-group", b"shop"),
            ("kb-handler", handler.encode()),
            ("kb-last-failed-at", iso.encode()),
            ("kb-exception", exception.encode()),
            ("kb-message", b"no " + value),
            ("kb-fingerprint", cause.encode()),
            *more,
        ]
        if redrives:
            headers.append(("kb-redrives", str(redrives).encode()))
        return self.kafka.append(LETTERS, value, key, headers, partition, NOON)

    def springs(self, value=b'{"order_id": "s-1"}', key=b"s-1", topic=b"orders", partition=3):
        headers = [
            ("own", b"java"),
            ("kafka_dlt-original-topic", topic),
            ("kafka_dlt-original-partition", struct.pack(">i", partition)),
            ("kafka_dlt-original-offset", struct.pack(">q", 4711)),
            ("kafka_dlt-original-timestamp", struct.pack(">q", NOON)),
            ("kafka_dlt-original-timestamp-type", b"CreateTime"),
            ("kafka_dlt-original-consumer-group", b"billing"),
            ("kafka_dlt-exception-fqcn", b"org.springframework.kafka.listener.ListenerExecutionFailedException"),
            ("kafka_dlt-exception-cause-fqcn", b"java.lang.IllegalStateException"),
            ("kafka_dlt-exception-message", b"Listener failed; card refused"),
            ("kafka_dlt-exception-stacktrace", b"java.lang.IllegalStateException: card refused\n\tat shop.Bill"),
        ]
        return self.kafka.append(LETTERS, value, key, headers, 0, NOON)

    def bench(self, topic=LETTERS):
        return Workbench(self.clients, topic, by="ada@desk")

    def states(self):
        with self.bench() as bench:
            return {one.fingerprint: one.states for one in bench.catalogue().groups()}

    def do(self, errand, name=None, **options):
        with self.bench() as bench:
            found = bench.catalogue()
            return bench.work(bench.begin(bench.plan(errand, found), found, name), **options)

    def sent(self, topic="orders"):
        return self.kafka.records(topic)


@pytest.fixture
def desk():
    return Desk()
