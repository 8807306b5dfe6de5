"""Bare publishing loops: `python -m benchmarks.bare.publish KIND`.

They write what kafkaboot writes: the same JSON, the same headers, every delivery known before the next step.
"""

from __future__ import annotations

import itertools
import secrets
import sys
from datetime import UTC, datetime

from confluent_kafka import Message
from pydantic import BaseModel, TypeAdapter

from benchmarks.bare.client import CHUNK, Commits, consumer, decode, producer
from benchmarks.measure import OUT, RECORDS, Stopwatch
from benchmarks.orders import Order, batches

watch = Stopwatch()


class Envelope:
    """CloudEvents headers; ids count up behind a random prefix, since a UUID for each costs more than all the rest."""

    def __init__(self, type_: str) -> None:
        self._prefix, self._next = secrets.token_hex(8).encode() + b"-", itertools.count(1).__next__
        self._fixed = [
            ("ce_specversion", b"1.0"),
            ("ce_source", b"/benchmarks-bare"),
            ("ce_type", type_.encode()),
            ("content-type", b"application/json"),
        ]

    def stamp(self) -> None:
        """The time of the records that follow, taken once a chunk: they are written within milliseconds."""
        self._time = ("ce_time", datetime.now(UTC).isoformat(timespec="milliseconds").encode())

    def headers(self) -> list[tuple[str, bytes]]:
        return [("ce_id", b"%b%d" % (self._prefix, self._next())), self._time, *self._fixed]

    def caused_by(self, message: Message) -> list[tuple[str, bytes]]:
        """The headers of a record that another one is the cause of: they carry its ids."""
        correlation = cause = None
        for name, value in message.headers() or ():
            if name == "kb-correlation-id":
                correlation = value
            elif name == "ce_id":
                cause = value
        if cause is None:
            cause = f"{message.topic()}[{message.partition()}]@{message.offset()}".encode()
        return [
            ("ce_id", b"%b%d" % (self._prefix, self._next())),
            self._time,
            *self._fixed,
            ("kb-correlation-id", correlation or cause),
            ("kb-causation-id", cause),
        ]


class Invoice(BaseModel):
    order: int
    buyer: str
    amount: float


def consume_publish() -> None:
    """Reads orders, writes invoices; each second it flushes, then commits."""
    source, sink = consumer(), producer(**{"delivery.report.only.error": True}, on_delivery=refuse)
    envelope, encode, commits = Envelope("invoice.issued"), TypeAdapter(Invoice).serializer.to_json, Commits(source)
    handled = 0
    while not watch.over:
        chunk = source.consume(CHUNK, 0.1)
        if not chunk:
            continue
        watch.begin()
        envelope.stamp()
        for message in chunk:
            if message.error() is None:
                order = decode(message.value())
                invoice = Invoice(order=order.order, buyer=order.buyer, amount=order.total)
                produce(sink, encode(invoice), invoice.buyer.encode(), envelope.caused_by(message))
        sink.poll(0)
        handled += len(chunk)
        if commits.due() or handled >= RECORDS:
            sink.flush()
            commits.commit()
        watch.add(len(chunk))
    source.close()


def publish(on_delivery: object) -> None:
    """Writes batches, each delivered before the next begins."""
    sink, envelope, encode = producer(), Envelope("order.placed"), TypeAdapter(Order).serializer.to_json
    prepared = batches(Order, RECORDS)
    watch.begin()
    for orders in prepared:
        envelope.stamp()
        for place, order in enumerate(orders):
            produce(sink, encode(order), order.buyer.encode(), envelope.headers(), on_delivery)
            if place % CHUNK == 0:
                sink.poll(0)
        sink.flush()
    watch.finish()


def produce(sink: object, value: bytes, key: bytes, headers: object, on_delivery: object = None) -> None:
    while True:
        try:
            sink.produce(OUT, value, key, headers=headers, on_delivery=on_delivery)
        except BufferError:
            sink.poll(0.01)
        else:
            return


def refuse(error: object, _: object) -> None:
    if error is not None:
        raise SystemExit(str(error))


if __name__ == "__main__":
    {"consume-publish": consume_publish, "publish": lambda: publish(refuse)}[sys.argv[1]]()
