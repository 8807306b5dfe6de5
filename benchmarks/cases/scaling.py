"""What a record costs must not depend on how many partitions or records there are.

The bare loop's own change stands beside: what both share is the client's and the broker's doing.
"""

from __future__ import annotations

from benchmarks.backlog import Shape
from benchmarks.cases.sides import bare, kafkaboot
from benchmarks.run import Case, Check, Side

FLAT = 1.10


def pair(shape: Shape, suffix: str) -> tuple[Side, Side]:
    return (
        kafkaboot("async_pydantic", shape, f"kafkaboot {suffix}"),
        bare("consume", "thin", shape, f"thin loop {suffix}"),
    )


def change(of: str, against: str) -> tuple[Check, Check]:
    """The engine's change, with the bar, and the bare loop's, without."""
    return (
        Check("cpu", f"kafkaboot {of}", f"kafkaboot {against}", bar=FLAT, most=True),
        Check("cpu", f"thin loop {of}", f"thin loop {against}", most=True),
    )


def cases(records: int) -> list[Case]:
    counts = (1, 4, 16, 64)
    sizes = sorted({min(10_000, records), min(100_000, records), records})
    return [
        Case(
            "partitions",
            "CPU a record from 1 to 64 partitions",
            tuple(side for n in counts for side in pair(Shape(records, n), f"{n}p")),
            tuple(check for n in counts[1:] for check in change(f"{n}p", "1p")),
        ),
        Case(
            "backlog",
            f"CPU a record, backlog of {sizes[0]:,} to {sizes[-1]:,}",
            tuple(side for n in sizes for side in pair(Shape(n), f"{n:,}")),
            # Both ways: neither may a long backlog cost more by the record, nor a short one.
            tuple(
                check
                for n in sizes[:-1]
                for pair_of in ((sizes[-1], n), (n, sizes[-1]))
                for check in change(*(f"{size:,}" for size in pair_of))
            ),
        ),
    ]
