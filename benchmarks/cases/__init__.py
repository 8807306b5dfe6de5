"""The cases, one file a family. Bars and aims are those that the project holds itself to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.cases import (
    consume,
    desk,
    failing,
    footprint,
    latency,
    ordering,
    peers,
    publish,
    scaling,
    sizes,
    transactions,
)

if TYPE_CHECKING:
    from benchmarks.run import Case


def all_cases(records: int) -> dict[str, Case]:
    """By name; `records` is the length of a run where speed is measured on a backlog."""
    families = (consume, ordering, failing, publish, sizes, transactions, latency, footprint, scaling, peers, desk)
    return {case.name: case for family in families for case in family.cases(records)}
