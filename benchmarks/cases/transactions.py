"""Exactly once: orders in, invoices out, offsets and outputs in one transaction."""

from __future__ import annotations

from benchmarks.backlog import Shape
from benchmarks.cases.sides import bare, kafkaboot
from benchmarks.run import Case, Check

SECONDS = 20


def cases(records: int) -> list[Case]:
    plain = Shape(min(records, 300_000))
    trickle = Shape(min(records, 100 * SECONDS))
    return [
        Case(
            "transactional",
            "transactional handler + @publisher, 500 records a transaction",
            (kafkaboot("once", plain, out=4), bare("transactions", "backlog", plain, out=4)),
            (
                Check("rate", "kafkaboot", "bare", bar=0.80, aim=0.95),
                Check("cpu", "kafkaboot", "bare", most=True),
            ),
        ),
        Case(
            "transactional-trickle",
            "a transactional handler at 100 records/s: from the sender to a reader of committed invoices",
            (
                kafkaboot("once_trickle", trickle, rate=100, out=4),
                bare("transactions", "trickle", trickle, rate=100, out=4),
            ),
            (
                Check("p50", "kafkaboot", how="value", bar=10, aim=5, most=True),
                Check("p99", "kafkaboot", how="value", bar=40, aim=20, most=True),
            ),
            ("p50", "p95", "p99", "cpu"),
        ),
    ]
