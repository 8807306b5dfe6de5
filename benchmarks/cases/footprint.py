"""Memory, and the time to the first record."""

from __future__ import annotations

from benchmarks.backlog import Shape
from benchmarks.cases.sides import bare, kafkaboot
from benchmarks.run import Case, Check


def cases(records: int) -> list[Case]:
    backlog, single = Shape(min(records, 500_000)), Shape(1, partitions=1)
    return [
        Case(
            "memory",
            f"peak memory on a backlog of {backlog.records:,}",
            (kafkaboot("async_pydantic", backlog), bare("consume", "pydantic", backlog)),
            (
                Check("peak", "kafkaboot", how="value", bar=140, most=True),
                Check("peak", "kafkaboot", "bare", "difference", aim=20, most=True),
            ),
        ),
        Case(
            "startup",
            "process start to first handled record, broker up",
            (kafkaboot("async_pydantic", single), bare("consume", "pydantic", single)),
            (
                Check("start", "kafkaboot", how="value", bar=0.8, aim=0.5, most=True),
                Check("start", "kafkaboot", "bare", "difference", most=True),
            ),
            ("start", "peak"),
        ),
    ]
