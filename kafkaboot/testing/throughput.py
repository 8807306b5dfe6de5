"""How many records a producer delivers, and how long each takes."""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kafkaboot.producer import Producer

WINDOW = 5_000
"""Records on their way at once: fewer than a client buffers, so that no record waits for room."""
_NOISE = 2**16
_SERVE = 0.05


class Throughput(NamedTuple):
    """What was measured. Times are milliseconds from handing a record over to its acknowledgement."""

    records: int
    size: int
    seconds: float
    messages_per_second: float
    megabytes_per_second: float
    average: float
    p50: float
    p95: float
    p99: float

    def __str__(self) -> str:
        return (
            f"{self.records} records of {self.size} bytes in {self.seconds:.2f} s: {self.messages_per_second:,.0f}/s, "
            f"{self.megabytes_per_second:.1f} MB/s; latency average {self.average:.2f} ms, p50 {self.p50:.2f} ms, "
            f"p95 {self.p95:.2f} ms, p99 {self.p99:.2f} ms"
        )


async def measure_throughput(producer: Producer, topic: str, count: int, size: int) -> Throughput:
    """Publish `count` records of `size` bytes and measure until all of them are acknowledged.

    Up to 5,000 records are on their way at once, so that the latencies are those under load.

    Args:
        producer: Delivers them.
        topic: Must exist.
        count: Records, at least one.
        size: Bytes of each value; they hardly compress.

    Raises:
        PublishError: A record was not delivered.
        ValueError: `count` or `size` is out of range.
    """
    if count < 1 or size < 0:
        raise ValueError(f"at least one record of at least no bytes is wanted, not {count} of {size}")
    return await asyncio.to_thread(_measure, producer, topic, count, size)


def _measure(producer: Producer, topic: str, count: int, size: int) -> Throughput:
    port, now = producer.outbox.port, time.perf_counter
    noise = random.Random(size).randbytes(size + _NOISE)
    latencies: list[float] = []
    failures: list[object] = []

    def due(begun: float) -> Callable[[object | None, object], None]:
        def delivered(error: object | None, _: object) -> None:
            if error is None:
                latencies.append(now() - begun)
            else:
                failures.append(error)

        return delivered

    begin = now()
    for number in range(count):
        while number - len(latencies) >= WINDOW and not failures:
            port.serve(_SERVE)
        if failures:
            break
        at = number * 7919 % (_NOISE + 1)
        while True:
            try:
                port.produce(topic, noise[at : at + size], None, None, -1, due(now()))
                break
            except BufferError:
                port.serve(_SERVE)
    port.hurry()
    while len(latencies) < count and not failures:
        port.serve(_SERVE)
    if failures:
        raise producer.outbox.failure(failures[0], topic, None)
    return _summary(latencies, size, now() - begin)


def _summary(latencies: Sequence[float], size: int, seconds: float) -> Throughput:
    ranked = sorted(latency * 1000 for latency in latencies)
    count = len(ranked)
    p50, p95, p99 = (ranked[min(count - 1, int(count * share))] for share in (0.5, 0.95, 0.99))
    return Throughput(
        count, size, seconds, count / seconds, count * size / seconds / 1e6, sum(ranked) / count, p50, p95, p99
    )
