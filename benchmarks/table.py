"""The report in plain text and as JSON."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from benchmarks.cases.sizes import PROMISES

if TYPE_CHECKING:
    from benchmarks.run import Check, Result

COLUMNS = {
    "rate": ("records/s", "{:,.0f}"),
    "mb": ("MB/s", "{:,.1f}"),
    "cpu": ("CPU us", "{:.2f}"),
    "peak": ("peak MB", "{:.0f}"),
    "start": ("start s", "{:.2f}"),
    "taken": ("taken in/s", "{:,.0f}"),
    "given": ("given out/s", "{:,.0f}"),
    "cpu_in": ("CPU us in", "{:.2f}"),
    "cpu_out": ("CPU us out", "{:.2f}"),
    "listening": ("listening s", "{:.2f}"),
    "write": ("write s", "{:.2f}"),
    "restart": ("restart s", "{:.2f}"),
    "reread": ("reread s", "{:.2f}"),
    "new": ("new s", "{:.2f}"),
    "p50": ("p50 ms", "{:.2f}"),
    "p95": ("p95 ms", "{:.2f}"),
    "p99": ("p99 ms", "{:.2f}"),
}
PACKAGES = ("kafkaboot", "confluent-kafka", "pydantic", "msgspec", "aiokafka", "faststream")


def machine() -> dict[str, str]:
    """What the figures were taken on."""
    found = {"python": platform.python_version(), "system": platform.platform(), "cores": str(os.cpu_count())}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def text(result: Result) -> str:
    """One case: medians by side, then the checks."""
    case, medians = result.case, result.medians()
    width = max(len(side.label) for side in case.sides) + 2
    lines = [f"{case.name}: {case.title} ({len(result.rounds)} rounds)"]
    lines.append(" " * width + "".join(f"{COLUMNS[c][0]:>12}" for c in case.columns))
    for label, figures in medians.items():
        lines.append(
            f"  {label:{width - 2}}" + "".join(f"{COLUMNS[c][1].format(figures[c]):>12}" for c in case.columns)
        )
    for check, values, median in result.verdicts():
        lines.append(
            f"  {describe(check):52} {median:8.2f}  ({min(values):.2f} to {max(values):.2f})"
            f"   {verdict(check, median, 'bar')}   {verdict(check, median, 'aim')}".rstrip()
        )
    return "\n".join(lines + [f"  note: {note}" for note in result.notes])


def promises(results: dict[str, Result]) -> str:
    """The brief's table: what it promises beside what was measured in this run, by the size of a record."""
    lines = [f"{'records of':>12}{'':12}{'messages/s':>12}{'MB/s':>10}{'p95 ms':>10}"]
    for promise in PROMISES:
        result = results.get(f"size-{promise.name}")
        if result is None:
            continue
        lines.append(f"{promise.name:>12}  {'promised':10}{promise.rate:12,}{promise.mb:10,.1f}{promise.p95:10.1f}")
        for label, figures in result.medians().items():
            lines.append(f"{'':12}  {label:10}{figures['rate']:12,.0f}{figures['mb']:10,.1f}{figures['p95']:10.1f}")
    return "\n".join(lines) if len(lines) > 1 else ""


def describe(check: Check) -> str:
    """`records/s, kafkaboot / bare`."""
    name = COLUMNS[check.figure][0]
    if check.how == "value" or check.against is None:
        return f"{name}, {check.of}"
    return f"{name}, {check.of} {'/' if check.how == 'ratio' else '-'} {check.against}"


def verdict(check: Check, value: float, which: str) -> str:
    """`bar >= 0.85 holds`."""
    limit = check.bar if which == "bar" else check.aim
    if limit is None:
        return ""
    words = {True: "holds", False: "MISSED" if which == "bar" else "missed", None: ""}
    return f"{which} {'<=' if check.most else '>='} {limit:g} {words[check.holds(value, limit)]}".ljust(20)


def as_json(result: Result) -> dict[str, object]:
    """The same for programs, with every round."""
    return {
        "name": result.case.name,
        "title": result.case.title,
        "medians": result.medians(),
        "checks": [
            {
                "what": describe(check),
                "median": median,
                "rounds": values,
                "bar": check.bar,
                "bar holds": check.holds(median, check.bar),
                "aim": check.aim,
                "aim holds": check.holds(median, check.aim),
            }
            for check, values, median in result.verdicts()
        ],
        "rounds": result.rounds,
        "notes": result.notes,
    }
