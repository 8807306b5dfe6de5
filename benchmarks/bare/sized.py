"""Bare loops that publish payloads of one size: `python -m benchmarks.bare.sized`. Deliveries are checked, and awaited by batch."""

from __future__ import annotations

import time
from functools import partial

from benchmarks import sized
from benchmarks.bare.client import producer
from benchmarks.bare.publish import refuse
from benchmarks.measure import OUT, RECORDS, Stopwatch

HEADERS = [("content-type", b"application/octet-stream")]
watch = Stopwatch()


def in_batches() -> None:
    sink = producer(**{"linger.ms": 10})
    prepared = sized.batches(RECORDS)
    sink.list_topics(OUT, timeout=10)
    watch.begin()
    for payloads in prepared:
        for place, payload in enumerate(payloads):
            while True:
                try:
                    sink.produce(OUT, payload, headers=HEADERS, on_delivery=refuse)
                except BufferError:
                    sink.poll(0.01)
                else:
                    break
            if not place % 500:
                sink.poll(0)
        sink.flush()
    watch.lap()


def at_a_steady_rate() -> None:
    sink = producer(**{"linger.ms": 0, "socket.nagle.disable": True})
    pool, rate = sized.payloads(), sized.steady()
    sink.list_topics(OUT, timeout=10)

    def aged(began: int, error: object, _: object) -> None:
        refuse(error, None)
        watch.samples.append(time.monotonic_ns() - began)

    began = time.monotonic()
    for place in range(rate * sized.SECONDS):
        while (wait := began + place / rate - time.monotonic()) > 0:
            sink.poll(wait)
        on_delivery = partial(aged, time.monotonic_ns())
        sink.produce(OUT, pool[place % len(pool)], headers=HEADERS, on_delivery=on_delivery)
        sink.poll(0)
    sink.flush()


if __name__ == "__main__":
    in_batches()
    at_a_steady_rate()
    watch.finish()
