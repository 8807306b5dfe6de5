"""What `kafkaboot run` says: banner, profile, sources, handlers, broker, ready; at the end a line a handler."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING

import click

from kafkaboot.cli.output import on_terminal, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kafkaboot.boot.facts import HandlerTally
    from kafkaboot.boot.pipeline import HandlerRow

RARE = ("filtered", "skipped", "retried_later", "dead_lettered")
"""What is told of a handler only where it happened."""

HEADINGS = ("handler", "topics", "group", "ordering", "retry", "defined at")

ENDINGS = {
    0: "drained and stopped",
    5: "stopped with records undrained at the deadline: they were not committed and will be handled again",
    6: "stopped: a subscription died",
}
"""How it ended, by exit code."""


def banner(name: str, profiles: Sequence[str], sources: Sequence[str]) -> None:
    """Say what runs, and where its configuration comes from."""
    import kafkaboot

    click.echo()
    click.echo(
        f"{click.style('kafkaboot', bold=True)} {kafkaboot.__version__}  {click.style(name, fg='cyan', bold=True)}"
    )
    fact("profile", ", ".join(profiles))
    fact("config", telling(sources))


def telling(sources: Sequence[str]) -> str:
    """The sources that say something."""
    return ", ".join(source for source in sources if not source.endswith("(0 variables)"))


def fact(name: str, value: str) -> None:
    """One line of what is so."""
    if on_terminal():
        indent = " " * 12
        value = textwrap.fill(
            value, shutil.get_terminal_size().columns, initial_indent=indent, subsequent_indent=indent
        )
        value = value.lstrip()
    click.echo(f"  {click.style(f'{name:<8}', dim=True)}  {value}")


def handlers(rows: Iterable[HandlerRow]) -> None:
    """The table of handlers."""
    shown = [cells(row) for row in rows]
    if shown:
        click.echo()
        table(HEADINGS, shown)
        click.echo()
    else:
        fact("handlers", "none: nothing is consumed")


def cells(row: HandlerRow) -> tuple[str, ...]:
    """A handler's cells under `HEADINGS`."""
    topics = ", ".join(row.topics) or f"/{row.pattern}/"
    if row.publishes:
        topics += f" -> {', '.join(row.publishes)}"
    if row.reply:
        topics += " -> (the asker)"
    ordering = row.ordering if row.batch is None else f"{row.ordering}, batch {row.batch}"
    if row.transactional:
        ordering += ", transactional"
    retry = row.retry
    if row.retry_delays:
        retry += f", topics {' '.join(row.retry_delays)}"
    if row.keep_order is not None:
        retry += f", keep-order {row.keep_order}"
    if row.circuit is not None:
        retry += f", circuit {row.circuit}"
    if row.inbox is not None:
        retry += f", inbox {row.inbox}"
    return row.id, topics, row.group, ordering, retry, row.where


def starting(kind: str) -> None:
    """Say that a broker of this kind starts, where that takes longer than a moment."""
    if kind in {"local", "container"}:
        fact("broker", f"{kind}: starting")


def ready(broker: str, seconds: float, how: str = "") -> None:
    """Say that records may come."""
    if broker:
        fact("broker", broker)
    click.secho(f"ready in {seconds * 1000:.0f} ms{how}", fg="green", bold=True)


def stopping(reason: str, patience: float) -> None:
    """Say that the end has begun, and what a second signal does."""
    if reason in {"SIGINT", "SIGTERM", "q"}:
        shown = "Ctrl-C" if reason == "SIGINT" else reason
        click.echo(f"{shown}: finishing the records at work, {patience:g} s at most; once more ends at once")
    else:
        click.secho(f"stopping: {reason}", fg="red")


def tallies(counted: Sequence[HandlerTally]) -> None:
    """One line a handler."""
    width = max((len(one.id) for one in counted), default=0)
    for one in counted:
        rest = [f"{name.replace('_', ' ')} {getattr(one, name)}" for name in RARE if getattr(one, name)]
        usual = f"{one.id:<{width}}  handled {one.handled}  retried {one.retried}  failed {one.failed}"
        click.echo("  ".join([usual, *rest]))


def ended(code: int) -> None:
    """Say how it ended."""
    click.secho(ENDINGS.get(code, f"stopped with exit code {code}"), fg=None if code == 0 else "red")
