"""How the bare loops are tuned: as PERFORMANCE figures are, so that kafkaboot is held against the best there is."""

from __future__ import annotations

import time

from confluent_kafka import Consumer, Producer
from pydantic import TypeAdapter

from benchmarks import measure
from benchmarks.orders import Order

CHUNK = 500

decode = TypeAdapter(Order).validator.validate_json
"""Bound once: `TypeAdapter.validate_json` adds a Python frame to each record."""


def consumer(**more: object) -> Consumer:
    """A subscribed consumer. `fetch.queue.backoff.ms` is 1000 by default, which caps it near 120,000 records/s."""
    made = Consumer(
        {
            "bootstrap.servers": measure.BOOTSTRAP,
            "group.id": measure.GROUP,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.queue.backoff.ms": 2,
            **more,
        }
    )
    made.subscribe([measure.TOPIC])
    return made


def producer(**more: object) -> Producer:
    """An idempotent producer with room for a large backlog."""
    return Producer(
        {
            "bootstrap.servers": measure.BOOTSTRAP,
            "enable.idempotence": True,
            "linger.ms": 5,
            "queue.buffering.max.messages": 1_000_000,
            **more,
        }
    )


class Commits:
    """Once a second, not waiting. Without offsets a commit takes the positions after the last `consume`."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer, self._next = consumer, time.monotonic() + 1

    def due(self) -> bool:
        return time.monotonic() >= self._next

    def commit(self) -> None:
        self._consumer.commit(asynchronous=True)
        self._next = time.monotonic() + 1
