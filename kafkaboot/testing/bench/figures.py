"""What a measurement comes to, and the arithmetic behind it."""

from __future__ import annotations

import resource
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from kafkaboot.testing.throughput import percentile

if TYPE_CHECKING:
    from collections.abc import Sequence

SHORT = 0.1
"""Seconds below which a round says little: a client's thread sleeps for parts of that."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How times are spread, in milliseconds."""

    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread | None:
        """Of times in seconds, in any order; `None` where there are none."""
        if not seconds:
            return None
        ranked = sorted(one * 1000 for one in seconds)
        return cls(percentile(ranked, 0.5), percentile(ranked, 0.95), percentile(ranked, 0.99), ranked[-1])


@dataclass(frozen=True, slots=True)
class Round:
    """One side once: records, and the seconds and microseconds of CPU that they took.

    Attributes:
        transactions: Where they were counted.
        times: Seconds of each record, or of each transaction.
    """

    records: int
    seconds: float
    cpu_us: float
    transactions: int = 0
    times: Sequence[float] = ()

    @property
    def rate(self) -> float:
        """Records a second."""
        return self.records / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a measurement: medians of its rounds, and the times of all rounds together.

    Attributes:
        records: Of all rounds.
        cpu_us_per_record: Of this process, the client library's threads included; `None` where it says nothing.
        ms: Times in milliseconds.
    """

    records: int
    records_per_second: float
    megabytes_per_second: float
    transactions_per_second: float | None
    cpu_us_per_record: float | None
    ms: Spread | None

    @classmethod
    def of(cls, rounds: Sequence[Round], size: int) -> Side:
        """Of at least one round of values of so many bytes."""
        rate = median(one.rate for one in rounds)
        counted = [one.transactions / one.seconds for one in rounds if one.transactions]
        return cls(
            sum(one.records for one in rounds),
            rate,
            rate * size / 1e6,
            median(counted) if counted else None,
            median(one.cpu_us / max(1, one.records) for one in rounds),
            Spread.of([time for one in rounds for time in one.times]),
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of a table.

    Attributes:
        measurement: `produce`, `consume`, `latency` or `transactions`.
        size: Bytes of a value.
        batch: Records of a transaction.
        rate: Records a second that were asked for.
        kafkaboot: This library.
        bare: confluent-kafka alone, in the same rounds.
        vs_bare: The median of the rounds' ratios of records a second.
        notes: What else is to be known, one sentence each.
    """

    measurement: str
    size: int
    kafkaboot: Side
    bare: Side | None = None
    vs_bare: float | None = None
    batch: int | None = None
    rate: float | None = None
    notes: list[str] = field(default_factory=list)


def compared(
    measurement: str, size: int, ours: Sequence[Round], bare: Sequence[Round], batch: int | None = None
) -> Measured:
    """Of rounds that were taken in pairs."""
    notes = []
    if (lasted := min(one.seconds for one in (*ours, *bare))) < SHORT:
        notes.append(
            f"a round lasted {lasted * 1000:.0f} ms only, too short to go by: more --records, or larger values"
        )
    ratios = [one.rate / other.rate for one, other in zip(ours, bare, strict=True) if other.rate]
    found = median(ratios) if ratios else None
    return Measured(measurement, size, Side.of(ours, size), Side.of(bare, size), found, batch, notes=notes)


def cpu_us() -> float:
    """Microseconds of CPU that this process has used, in all of its threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return (used.ru_utime + used.ru_stime) * 1e6
