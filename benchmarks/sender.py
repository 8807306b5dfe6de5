"""Sends orders at a steady rate, each stamped with the moment it was sent: `python -m benchmarks.sender RATE`.

Idempotent, so that at most five requests are under way: a broker that is late gets batches instead of an ever longer
queue of single records, whose age would be measured in place of the reader.

The first order is repeated until the reader has handled one, so that joining a group is no part of the latency.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from confluent_kafka import Producer

from benchmarks import measure


def main(rate: int) -> None:
    producer = Producer(
        {
            "bootstrap.servers": measure.BOOTSTRAP,
            "linger.ms": 0,
            "enable.idempotence": True,
            "socket.nagle.disable": True,
        }
    )

    def send(place: int) -> None:
        order = b'{"order":%d,"buyer":"b%04d","total":1.25,"currency":"EUR","status":"new","ts":%d}'
        producer.produce(measure.TOPIC, order % (place, place % 1000, time.monotonic_ns()))
        producer.poll(0)

    ready, patience = Path(os.environ["BENCH_READY"]), time.monotonic() + 60
    while not ready.exists() and time.monotonic() < patience:
        send(0)
        time.sleep(0.05)
    began = time.monotonic()
    for place in range(1, measure.RECORDS + 1):
        wait = began + place / rate - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        send(place)
    producer.flush(10)


if __name__ == "__main__":
    main(int(sys.argv[1]))
