"""Bare loops that copy exactly once: `python -m benchmarks.bare.transactions KIND`."""

from __future__ import annotations

import sys
import uuid

from pydantic import TypeAdapter

from benchmarks.bare.client import consumer, decode, producer
from benchmarks.bare.publish import Envelope, Invoice, produce
from benchmarks.committed import watched
from benchmarks.measure import Stopwatch
from benchmarks.orders import Order

MOST = 500
watch = Stopwatch()


def clients():
    """A reader of committed records, and a writer of transactions that does not wait 100 ms for the one before."""
    source = consumer(**{"isolation.level": "read_committed"})
    sink = producer(
        **{
            "transactional.id": f"bench-{uuid.uuid4().hex[:8]}",
            "retry.backoff.ms": 2,
            "retry.backoff.max.ms": 10,
            "linger.ms": 0,
        }
    )
    sink.init_transactions(30)
    return source, sink


def ended(source, sink) -> None:
    """Offsets and outputs become visible together."""
    sink.send_offsets_to_transaction(source.position(source.assignment()), source.consumer_group_metadata(), 30)
    sink.commit_transaction(30)


def backlog() -> None:
    (source, sink), envelope = clients(), Envelope("invoice.issued")
    encode = TypeAdapter(Invoice).serializer.to_json
    while not watch.over:
        chunk = source.consume(MOST, 0.1)
        if not chunk:
            continue
        watch.begin()
        envelope.stamp()
        sink.begin_transaction()
        for message in chunk:
            if message.error() is None:
                order = decode(message.value())
                invoice = Invoice(order=order.order, buyer=order.buyer, amount=order.total)
                produce(sink, encode(invoice), invoice.buyer.encode(), envelope.caused_by(message))
        ended(source, sink)
        watch.add(len(chunk))
    source.close()


def trickle() -> None:
    (source, sink), envelope = clients(), Envelope("order.billed")
    encode = TypeAdapter(Order).serializer.to_json
    watched(watch)
    while not watch.over:
        chunk = [message for message in source.consume(MOST, 0.005) if message.error() is None]
        if not chunk:
            continue
        envelope.stamp()
        sink.begin_transaction()
        for message in chunk:
            order = decode(message.value())
            produce(sink, encode(order), order.buyer.encode(), envelope.caused_by(message))
        ended(source, sink)
    source.close()


if __name__ == "__main__":
    {"backlog": backlog, "trickle": trickle}[sys.argv[1]]()
