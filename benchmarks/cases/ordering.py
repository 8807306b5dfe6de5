"""Order by key against order by partition."""

from __future__ import annotations

from benchmarks.backlog import Shape
from benchmarks.cases.sides import kafkaboot
from benchmarks.run import Case, Check


def cases(records: int) -> list[Case]:
    plain, single = Shape(records), Shape(min(records, 100_000), partitions=1)
    return [
        Case(
            "key-busy",
            "ordered by key, 1,000 keys, a handler that does not wait",
            (kafkaboot("by_key", plain, "by key"), kafkaboot("async_pydantic", plain, "by partition")),
            (
                Check("rate", "by key", "by partition", bar=0.60, aim=0.85),
                Check("cpu", "by key", "by partition", most=True),
            ),
        ),
        Case(
            "key-waiting",
            "ordered by key, a handler that waits 1 ms, 100 at once, one partition",
            (
                kafkaboot("waiting_by_key", single, "by key"),
                kafkaboot("waiting_by_partition", single, "by partition", records=1000),
            ),
            (Check("rate", "by key", "by partition", bar=60, aim=90),),
        ),
    ]
