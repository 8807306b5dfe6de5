"""The measurements of a broker: `kafkaboot bench produce`, `consume`, `latency`, `transactions`, and all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

from kafkaboot.cli.bench_options import Wish, batches, measured, rate, rounds, sizes
from kafkaboot.cli.bench_shown import show
from kafkaboot.config import written_size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kafkaboot.testing.bench import Ground, Measured, Plan, Progress

KB = 1024
FOUR = (100, KB, 10 * KB, 100 * KB)
ONE = (KB,)
MANY = "192 MB, 300,000 at most"
SIX = "6s"


@click.command(short_help="the four measurements of a broker, one after the other")
@measured(MANY, f"{SIX} for each side of each")
@sizes("100B,1KB,10KB,100KB for produce, 1KB for the others")
@rate
@batches
@rounds
def everything(wish: Wish, *, sizes: list[int] | None, rate: float, batches: list[int], rounds: int) -> None:
    """Produce, consume, latency and transactions of the broker, one after the other."""
    few = sizes or ONE
    work = [*map(_produce, sizes or FOUR), *map(_consume, few), *map(_latency, few)]
    _run(wish, [*work, *(_transact(size, batch) for size in few for batch in batches)], rounds=rounds, rate=rate)


@click.command(short_help="how many records get out, and how long each takes")
@measured(MANY, f"{SIX} for each side of each size")
@sizes("100B,1KB,10KB,100KB")
@rounds
def produce(wish: Wish, *, sizes: list[int] | None, rounds: int) -> None:
    """Records of raw bytes through `producer.send`, as the application's producer is configured.

    Up to 5,000, or 16 MB, are on their way at once; the times are those until each is acknowledged, under that load.
    Values are random digits that do not repeat within a batch.
    """
    _run(wish, list(map(_produce, sizes or FOUR)), rounds=rounds)


@click.command(short_help="how many records a handler takes that does nothing")
@measured(MANY, f"{SIX} for each side of each size")
@sizes("1KB")
@rounds
def consume(wish: Wish, *, sizes: list[int] | None, rounds: int) -> None:
    """Records through an `async def` handler of `bytes` that does nothing, in groups of its own.

    The bare side awaits the same function for each record, and commits as often.
    """
    _run(wish, list(map(_consume, sizes or ONE)), rounds=rounds)


@click.command(short_help="from producer.send to the handler's first line, at a rate")
@measured("as many as the time allows", SIX)
@sizes("1KB")
@rate
def latency(wish: Wish, *, sizes: list[int] | None, rate: float) -> None:
    """How old a record is when its handler begins, with producer and handler in this process.

    A producer's linger is part of it: `--preset low-latency` shows what goes without.
    """
    _run(wish, list(map(_latency, sizes or ONE)), rate=rate)


@click.command(short_help="producer.transaction(), by the number of its records")
@measured("60,000", f"{SIX} for each side of each batch")
@sizes("1KB")
@batches
@rounds
def transactions(wish: Wish, *, sizes: list[int] | None, batches: list[int], rounds: int) -> None:
    """Transactions of some records each, one after the other, from before each begins until it is committed."""
    _run(wish, [_transact(size, batch) for size in sizes or ONE for batch in batches], rounds=rounds)


class Step(NamedTuple):
    """One line of one table.

    Attributes:
        kind: Whose table.
        name: How it is called where it fails.
        written: Bytes at most.
        measure: The measurement.
    """

    kind: str
    name: str
    written: Callable[[Plan], float]
    measure: Callable[[Ground, Plan, Progress], Measured]


def _produce(size: int) -> Step:
    from kafkaboot.testing import bench

    return Step(
        "produce",
        f"produce {written_size(size)}",
        lambda plan: 2 * plan.rounds * plan.records_of_round(size) * size,
        lambda ground, plan, progress: bench.produce(ground, plan, size, progress),
    )


def _consume(size: int) -> Step:
    from kafkaboot.testing import bench

    return Step(
        "consume",
        f"consume {written_size(size)}",
        lambda plan: plan.records_of_round(size) * size,
        lambda ground, plan, progress: bench.consume(ground, plan, size, progress),
    )


def _latency(size: int) -> Step:
    from kafkaboot.testing import bench

    return Step(
        "latency",
        f"latency {written_size(size)}",
        lambda plan: plan.rate * plan.seconds * size,
        lambda ground, plan, progress: bench.latency(ground, plan, size, progress),
    )


def _transact(size: int, batch: int) -> Step:
    from kafkaboot.testing import bench

    return Step(
        "transactions",
        f"transactions of {batch} x {written_size(size)}",
        lambda plan: 2 * plan.rounds * plan.records_of_round(size, bench.MOST_IN_TRANSACTIONS) * size,
        lambda ground, plan, progress: bench.transactions(ground, plan, size, batch, progress),
    )


def _run(wish: Wish, work: Sequence[Step], *, rounds: int = 3, rate: float = 1000.0) -> None:
    """Measure them, one table for each kind, shown when it is whole."""
    from kafkaboot.cli.bench_session import Session

    session = Session(wish, rounds=rounds, rate=rate)

    def measure() -> None:
        for kind in dict.fromkeys(step.kind for step in work):
            lines: list[Measured] = []
            try:
                for step in work:
                    if step.kind == kind:
                        lines += session.one(step.name, step.measure)
            finally:  # what is known when Ctrl-C comes is shown as well
                if not wish.as_json:
                    show(lines)

    session.run(measure, sum(step.written(session.plan) for step in work) / 1e6)
