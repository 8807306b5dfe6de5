"""Measurements as people and programs read them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from kafkaboot.cli.output import table, tell
from kafkaboot.config import written_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kafkaboot.testing.bench import HandlerMeasured, Measured, Spread

SCHEMA = 1
"""Goes up when something that a program may rely on changes."""
TITLES = {
    "produce": "producer.send as fast as it goes; ms until acknowledged, under that load",
    "consume": "an async def handler that does nothing",
    "latency": "ms from before producer.send to the handler's first line",
    "transactions": "producer.transaction(), one after the other; ms until committed",
}


def number(value: float | None, *, digits: int = 0) -> str:
    """A number with as many digits behind the point, or a dash for none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def ms(spread: Spread | None, which: str) -> str:
    """One of the times, with about three digits."""
    if spread is None:
        return "-"
    value = getattr(spread, which)
    return number(value, digits=0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3)


class Column(NamedTuple):
    """A column: its heading, and its cell of a line."""

    heading: str
    cell: Callable[[Measured], str]


_SIZE = Column("size", lambda one: written_size(one.size))
_RATE = Column("records/s", lambda one: number(one.kafkaboot.records_per_second))
_MEGABYTES = Column("MB/s", lambda one: number(one.kafkaboot.megabytes_per_second, digits=1))
_P50 = Column("p50 ms", lambda one: ms(one.kafkaboot.ms, "p50"))
_P95 = Column("p95 ms", lambda one: ms(one.kafkaboot.ms, "p95"))
_P99 = Column("p99 ms", lambda one: ms(one.kafkaboot.ms, "p99"))
_MAX = Column("max ms", lambda one: ms(one.kafkaboot.ms, "max"))
_CPU = Column("CPU us", lambda one: number(one.kafkaboot.cpu_us_per_record, digits=2))
_BARE = Column("vs bare", lambda one: number(one.vs_bare, digits=2))
COLUMNS: Mapping[str, Sequence[Column]] = {
    "produce": (_SIZE, _RATE, _MEGABYTES, _P50, _P95, _P99, _MAX, _CPU, _BARE),
    "consume": (_SIZE, _RATE, _MEGABYTES, _CPU, _BARE),
    "latency": (_SIZE, Column("rate", lambda one: f"{number(one.rate)}/s"), _P50, _P95, _P99, _MAX, _CPU),
    "transactions": (
        _SIZE,
        Column("batch", lambda one: number(one.batch)),
        Column("tx/s", lambda one: number(one.kafkaboot.transactions_per_second)),
        _RATE,
        _P50,
        _P95,
        _P99,
        _MAX,
        _BARE,
    ),
}


def show(found: Sequence[Measured]) -> None:
    """One table of lines of one measurement; none where there are none."""
    if not found:
        return
    kind = found[0].measurement
    _heading(kind, TITLES[kind])
    columns = COLUMNS[kind]
    headings = [column.heading for column in columns]
    table(headings, [[column.cell(one) for column in columns] for one in found], numbers=headings)
    for one in found:
        for note in one.notes:
            tell(f"  {note}", fg="yellow")
    click.echo()


def show_handler(found: HandlerMeasured) -> None:
    """What one handler came to."""
    _heading(f"handler {found.handler}", found.where)
    whole, own = found.cpu_us_per_record, found.handler_cpu_us_per_record
    share = own / whole if whole else 0.0
    call = "call" if found.batch is None else f"call of up to {found.batch} records"
    spread = "  ".join(f"{name} {ms(found.ms, name)}" for name in ("p50", "p95", "p99", "max"))
    lines = [
        (
            "records",
            f"{found.records:,} in {found.seconds:.2f} s: {number(found.records_per_second)}/s ({found.source})",
        ),
        ("CPU us a record", f"{whole:.2f}: {own:.2f} in the handler ({share:.0%}), {whole - own:.2f} around it"),
        (f"ms a {call}", spread),
        ("failed attempts", _counted(found.failures)),
        ("not handled", _counted(found.became)),
        ("published", _counted(found.published)),
    ]
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        tell(f"  {name:<{width}}  {text}")
    for note in found.notes:
        tell(f"  {note}", fg="yellow")
    click.echo()


def _heading(name: str, rest: str) -> None:
    click.echo(f"{click.style(name, bold=True)}  {click.style(rest, dim=True)}")


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items()) or "none"


def plain(found: Measured | HandlerMeasured) -> dict[str, Any]:
    """The line for programs."""
    return asdict(found)
