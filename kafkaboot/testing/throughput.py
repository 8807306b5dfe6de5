"""How many records a producer delivers, and how long each takes."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, NamedTuple

from kafkaboot.testing.noise import Noise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kafkaboot.producer import Producer

WINDOW, WINDOW_BYTES = 5_000, 16 * 2**20
"""Records, and bytes, on their way at once: fewer than a client buffers, so that no record waits for room."""
BURST = 256
"""Records after which reports are served, so that they come as they would to a busy program."""
_SERVE = 0.003
"""Seconds that reports are waited for: a client's own thread may have taken the last one, and then none comes."""


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

    Up to 5,000 records, or 16 MiB, are on their way at once, so that the latencies are those under load.

    Args:
        producer: Delivers them.
        topic: Must exist.
        count: Records, at least one.
        size: Bytes of each value; random digits, which do not repeat within a batch.

    Raises:
        PublishError: A record was not delivered.
        ValueError: `count` or `size` is out of range.
    """
    if count < 1 or size < 0:
        raise ValueError(f"at least one record of at least no bytes is wanted, not {count} of {size}")
    return await asyncio.to_thread(_measure, producer, topic, count, size)


def _measure(producer: Producer, topic: str, count: int, size: int) -> Throughput:
    port, flight = producer.outbox.port, Flight()
    produce, now = port.produce, time.perf_counter

    def hand(value: bytes) -> None:
        produce(topic, value, None, None, -1, flight.due(now()))

    seconds = pump(hand, port.serve, port.hurry, flight, Noise(size), count, window=window_of(size))
    if flight.failures:
        raise producer.outbox.failure(flight.failures[0], topic, None)
    return _summary(flight.latencies, size, seconds)


class Flight:
    """Records on their way.

    Attributes:
        latencies: Seconds of each that was delivered; grows.
        failures: The client's error of each that was not; grows.
    """

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.failures: list[object] = []

    def due(self, begun: float) -> Callable[[object | None, object], None]:
        """What is called with the report of a record that was handed over at a time of `time.perf_counter`."""
        latencies, failures, now = self.latencies, self.failures, time.perf_counter

        def delivered(error: object | None, _: object) -> None:
            if error is None:
                latencies.append(now() - begun)
            else:
                failures.append(error)

        return delivered


def pump(
    hand: Callable[[bytes], object],
    serve: Callable[[float], object],
    hurry: Callable[[], object],
    flight: Flight,
    values: Callable[[int], bytes],
    count: int,
    seconds: float = math.inf,
    window: int = WINDOW,
) -> float:
    """Hand over as fast as the window allows, and wait until all is known; a failure ends it.

    Args:
        hand: Hands one value over, with what `Flight.due` answers as its callback; a `BufferError` means "no room".
        serve: Runs the callbacks that are due; waits up to so many seconds for the first.
        hurry: Called when the last one is handed over.
        flight: Fresh for each call.
        values: The value of each number.
        count: Records, at most.
        seconds: After these no more is handed over.
        window: Records on their way at once.

    Returns:
        Seconds from the first record to the last report.
    """
    latencies, failures, now = flight.latencies, flight.failures, time.perf_counter
    begin, number = now(), 0
    while number < count and not failures:
        if not number % BURST:
            serve(0)
            if now() - begin > seconds:
                break
        while number - len(latencies) >= window and not failures:
            serve(_SERVE)
        try:
            hand(values(number))
        except BufferError:
            serve(_SERVE)
        else:
            number += 1
    hurry()
    while len(latencies) < number and not failures:
        serve(_SERVE)
    return now() - begin


def window_of(size: int) -> int:
    """Records of so many bytes that are on their way at once."""
    return min(WINDOW, max(1, WINDOW_BYTES // max(1, size)))


def percentile(ranked: Sequence[float], share: float) -> float:
    """The value below which so large a share of the ascending ones lies; the last one where there is none above."""
    return ranked[min(len(ranked) - 1, int(len(ranked) * share))]


def _summary(latencies: Sequence[float], size: int, seconds: float) -> Throughput:
    ranked = sorted(latency * 1000 for latency in latencies)
    count = len(ranked)
    p50, p95, p99 = (percentile(ranked, share) for share in (0.5, 0.95, 0.99))
    return Throughput(
        count, size, seconds, count / seconds, count * size / seconds / 1e6, sum(ranked) / count, p50, p95, p99
    )
