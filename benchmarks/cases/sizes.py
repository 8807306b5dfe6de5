"""The producer by the size of its records: speed in batches, and the age of an acknowledgement at a steady rate."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.backlog import Shape
from benchmarks.cases.sides import bare, kafkaboot
from benchmarks.run import Case, Check


@dataclass(frozen=True)
class Promise:
    """What the project's brief promises for records of a size: messages and megabytes a second, p95 in milliseconds."""

    name: str
    size: int
    rate: int
    mb: float
    p95: float


PROMISES = (
    Promise("100B", 100, 125_000, 12.2, 1.2),
    Promise("1KB", 1024, 85_000, 85, 2.1),
    Promise("10KB", 10_240, 25_000, 250, 5.8),
    Promise("100KB", 102_400, 5_000, 500, 12.3),
)
MOST = 512 * 1024 * 1024
"""Bytes of one run: what a broker on the same disk can take in again and again."""


def cases(records: int) -> list[Case]:
    trigger = Shape(1, partitions=1)
    made = []
    for promise in PROMISES:
        count = min(records, 500_000, MOST // promise.size)
        sides = (
            kafkaboot("publish_sized", trigger, records=count, out=4),
            bare("sized", "", trigger, records=count, out=4),
        )
        for side in sides:
            side.environ["BENCH_SIZE"] = str(promise.size)
        made.append(
            Case(
                f"size-{promise.name}",
                f"records of {promise.name}: publish_batch, idempotent, acks=all; then the age of acknowledgements, low-latency",
                sides,
                (
                    Check("rate", "kafkaboot", "bare", bar=0.75, aim=0.95),
                    Check("p95", "kafkaboot", "bare", "difference", bar=2.0, aim=0.5, most=True),
                ),
                ("rate", "mb", "p50", "p95", "p99", "cpu"),
            )
        )
    return made
