"""`kafkaboot lag`: how far behind each group is."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

from kafkaboot.cli.lazy_group import examples
from kafkaboot.cli.options import Choice, as_json, which_application

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.boot.blueprint import Blueprint
    from kafkaboot.client import AdminPort


class Line(NamedTuple):
    """One partition of one group; -1 where the group has never committed."""

    group: str
    topic: str
    partition: int
    committed: int
    end: int
    lag: int


@click.command(
    short_help="how far behind each group is",
    epilog=examples("kafkaboot lag", "kafkaboot lag --group billing --json"),
)
@which_application(argument=False)
@click.option("--group", "groups", multiple=True, help="A group to look at; by default those of the handlers.")
@as_json
def lag(choice: Choice, *, groups: tuple[str, ...], as_json: bool) -> None:
    """Show, for each group and partition, what is committed, the end, and the records in between.

    Records that wait in a retry topic are behind in the group that takes it, GROUP.retry.

    A dash (-1 in JSON) says that the group has never committed there; such a partition is in no sum.
    """
    from kafkaboot.cli.connection import connect
    from kafkaboot.cli.output import table, write_json

    connection = connect(choice)
    wanted = _wanted(connection.blueprint)
    if groups:
        wanted = {group: wanted.get(group, ()) for group in groups}
    if not wanted:
        if connection.trouble is not None:
            raise connection.trouble
        raise click.UsageError("The application has no handlers. Name a group: --group NAME")
    admin = connection.clients.admin()
    try:
        lines = [line for group, topics in wanted.items() for line in measured(admin, group, topics)]
    finally:
        admin.close()
    if as_json:
        sums = {group: _sum(lines, group) for group in wanted}
        write_json({"partitions": [line._asdict() for line in lines], "lag": sums})
        return
    if lines:
        rows = [tuple("-" if one == -1 else str(one) for one in line) for line in lines]
        table(Line._fields, rows, numbers=("partition", "committed", "end", "lag"))
    for group in wanted:
        if not any(line.group == group for line in lines):
            click.echo(f"{group}  has committed nothing, and its topics are not there")
        else:
            click.echo(f"{click.style(group, bold=True)}  {_told([line for line in lines if line.group == group])}")


def measured(admin: AdminPort, group: str, topics: Sequence[str]) -> list[Line]:
    """The lines of one group: the partitions of its handlers' topics, and wherever it has committed."""
    from kafkaboot.cli.connection import TIMEOUT
    from kafkaboot.client import TP

    known = admin.topics(TIMEOUT)
    committed = admin.group_offsets(group, TIMEOUT)
    there = [TP(topic, at) for topic in topics if topic in known for at in range(known[topic].partitions)]
    partitions = sorted({*there, *(tp for tp in committed if tp.topic in known)})
    ends = admin.end_offsets(partitions, TIMEOUT)
    lines = []
    for tp in partitions:
        offset = committed[tp].offset if tp in committed else None
        behind = -1 if offset is None else max(0, ends[tp] - offset)
        lines.append(Line(group, tp.topic, tp.partition, -1 if offset is None else offset, ends[tp], behind))
    return lines


def _wanted(blueprint: Blueprint | None) -> dict[str, tuple[str, ...]]:
    """The topics that each group of the application takes by name, retry topics by those that take them."""
    from kafkaboot.boot.failing import retry_group, retry_topics

    found: dict[str, dict[str, None]] = {}  # a dict keeps the order
    for handler in blueprint.handlers if blueprint is not None else ():
        found.setdefault(handler.group, {}).update(dict.fromkeys(handler.spec.topics))
        retries = [topic for source in handler.spec.topics for topic in retry_topics(handler, source)]
        if retries:
            found.setdefault(retry_group(handler.group), {}).update(dict.fromkeys(retries))
    return {group: tuple(topics) for group, topics in found.items()}


def _told(lines: Sequence[Line]) -> str:
    """What a group's lines come to. Never "lag 0" for what it has yet to begin."""
    fresh = sum(line.committed == -1 and line.end > 0 for line in lines)
    if all(line.committed == -1 for line in lines):
        return "has committed nothing yet"
    said = f"lag {sum(max(0, line.lag) for line in lines)}"
    return f"{said}, and nothing committed yet on {fresh} of {len(lines)} partitions" if fresh else said


def _sum(lines: Sequence[Line], group: str) -> int:
    return sum(line.lag for line in lines if line.group == group and line.lag >= 0)
