"""From the producer's call to the handler's first line, at a steady rate."""

from __future__ import annotations

from benchmarks.backlog import Shape
from benchmarks.cases.sides import bare, kafkaboot
from benchmarks.run import Case, Check

SECONDS = 8


def cases(records: int) -> list[Case]:
    return [
        Case(
            f"latency-{rate}",
            f"producer to handler at {rate:,} records/s",
            (
                kafkaboot("latency", Shape(min(records, rate * SECONDS)), rate=rate),
                bare("latency", "", Shape(min(records, rate * SECONDS)), rate=rate),
            ),
            (
                Check("p50", "kafkaboot", "bare", "difference", bar=0.3, most=True),
                Check("p99", "kafkaboot", "bare", "difference", bar=2.0, aim=0.5, most=True),
                Check("cpu", "kafkaboot", "bare", most=True),
            ),
            ("p50", "p95", "p99", "cpu"),
        )
        for rate in (1000, 5000)
    ]
