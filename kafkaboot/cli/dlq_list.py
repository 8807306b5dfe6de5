"""`kafkaboot dlq list`: letters by cause."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from kafkaboot.cli.dlq_options import STATE_NAMES, cluster, workbench
from kafkaboot.cli.lazy_group import examples
from kafkaboot.cli.options import Choice, as_json, which_application

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.cli.connection import Connection
    from kafkaboot.failure.replay import Catalogue, Group

BARS = "▁▂▃▄▅▆▇█"
HOURS = 12
"""Hours that the little chart goes back."""
SHOWN = 60
"""Characters of what an exception said."""


@click.command(
    "list",
    short_help="letters by cause, with what has become of them",
    epilog=examples(
        "kafkaboot dlq list",
        "kafkaboot dlq list orders.shop.dlt --state new",
        "kafkaboot dlq list orders.shop.dlt --exception CardRefused --json",
    ),
)
@click.argument("topic", required=False)
@which_application(argument=False)
@click.option("--state", "states", multiple=True, type=click.Choice(STATE_NAMES), help="Causes with letters in it.")
@click.option("--exception", metavar="E", help="Of this exception, with its module or without.")
@click.option("--handler", metavar="H", help="That this handler failed on.")
@as_json
def list_(
    choice: Choice,
    *,
    topic: str | None,
    states: tuple[str, ...],
    exception: str | None,
    handler: str | None,
    as_json: bool,
) -> None:
    """Show the letters of TOPIC by cause: how many, since when, the last one, and what has become of them.

    Comes from the index that the application keeps as it writes letters; the topic is not read. Without TOPIC: the
    topics of letters that there are.
    """
    from kafkaboot.cli.output import say, write_json
    from kafkaboot.failure.replay import Selection

    connection = cluster(choice)
    if topic is None:
        _topics(connection, as_json=as_json)
        return
    with workbench(connection, topic) as bench:
        found = bench.catalogue()
    meant = Selection(exception=exception, handler=handler)
    groups = [
        one
        for one in found.groups()
        if meant.cause(one.fingerprint, one.cause.exception, one.cause.handler)
        and (not states or "any" in states or any(one.states.get(state) for state in states))
    ]
    if as_json:
        write_json(_plain(found, groups))
        return
    if not found.indexed and found.read:
        say(
            f"there is no index: all {found.read:,} letters were read; `kafkaboot dlq index {topic}` makes one",
            dim=True,
        )
    if found.contents.strange:
        say(f"{found.contents.strange} rows of the index were written by another version and are left out", fg="yellow")
    _show(topic, found, groups)


def _show(topic: str, found: Catalogue, groups: Sequence[Group]) -> None:
    from kafkaboot.cli.output import table
    from kafkaboot.failure.replay.commands import command

    everything = sum(one.cause.count for one in found.groups())
    if not everything:
        click.echo(f"{topic} holds no letters: nothing to do. They come when a handler gives a record up.")
        return
    if not groups:
        click.echo(f"none of the {everything:,} letters is of that kind; all causes: {command('list', topic)}")
        return
    now = int(time.time() * 1000)
    rows = [
        (
            one.fingerprint,
            one.cause.exception or "(not told)",
            one.cause.handler or "-",
            f"{one.cause.count:,}",
            _states(one.states),
            ago(now - one.cause.first),
            ago(now - one.cause.last),
            chart(one.cause.hours, now // 3_600_000),
            f"{one.cause.sample[0]}@{one.cause.sample[1]}",
            _short(one.cause.message),
        )
        for one in groups
    ]
    headings = ("cause", "exception", "handler", "letters", "states", "first", "last", f"{HOURS} h", "sample", "said")
    table(headings, rows, numbers=("letters", "first", "last"))
    fresh = [one for one in groups if one.states.get("new")]
    if fresh:
        first = fresh[0]
        oldest = min(one.oldest for one in fresh if one.oldest is not None)
        click.echo(
            f"{sum(one.states['new'] for one in fresh):,} new, the oldest {ago(now - oldest)} old. "
            f"Next: {command('show', topic, None, [f'{first.cause.sample[0]}@{first.cause.sample[1]}'])}"
        )
    else:
        click.echo(f"none is new. To delete what is done with: {command('purge', topic)}")


def _plain(found: Catalogue, groups: Sequence[Group]) -> dict[str, Any]:
    states: dict[str, int] = {}
    for one in groups:
        for state, count in one.states.items():
            states[state] = states.get(state, 0) + count
    return {
        "topic": found.topic,
        "indexed": found.indexed,
        "letters_read": found.read,
        "letters": sum(one.cause.count for one in groups),
        "states": states,
        "causes": [
            {
                "fingerprint": one.fingerprint,
                "exception": one.cause.exception,
                "handler": one.cause.handler,
                "message": one.cause.message,
                "letters": one.cause.count,
                "states": one.states,
                "first": one.cause.first,
                "last": one.cause.last,
                "oldest_new": one.oldest,
                "sample": {"partition": one.cause.sample[0], "offset": one.cause.sample[1]},
                "hours": {str(hour * 3_600_000): count for hour, count in sorted(one.cause.hours.items())},
                "sources": one.cause.targets,
            }
            for one in groups
        ],
    }


def _topics(connection: Connection, *, as_json: bool) -> None:
    """The topics that hold letters: those with an index, and those that are named like one."""
    from kafkaboot.cli.connection import TIMEOUT
    from kafkaboot.cli.output import table, write_json
    from kafkaboot.client import TP
    from kafkaboot.failure.replay.catalogue import letter_topics

    admin = connection.clients.admin()
    try:
        known = admin.topics(TIMEOUT)
        topics = letter_topics(known)
        partitions = [TP(name, at) for name in topics for at in range(known[name].partitions)]
        begins, ends = admin.begin_offsets(partitions, TIMEOUT), admin.end_offsets(partitions, TIMEOUT)
    finally:
        admin.close()
    counts = {name: sum(ends[tp] - begins[tp] for tp in partitions if tp.topic == name) for name in topics}
    if as_json:
        write_json([{"topic": name, "offsets": count} for name, count in counts.items()])
    elif counts:
        table(("topic", "letters"), [(name, f"{count:,}") for name, count in counts.items()], numbers=("letters",))
        click.echo("By cause: kafkaboot dlq list TOPIC")
    else:
        click.echo("there are no topics of dead letters. One is made when a handler gives its first record up.")


def chart(hours: dict[int, int], now: int) -> str:
    """The letters of the last hours, the latest at the right, each bar against the highest."""
    counts = [hours.get(hour, 0) for hour in range(now - HOURS + 1, now + 1)]
    most = max(counts)
    return "".join(BARS[min(7, count * 8 // (most + 1))] if count else "·" for count in counts)


def ago(milliseconds: int) -> str:
    """An age in its largest unit."""
    seconds = max(0, milliseconds // 1000)
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _states(states: dict[str, int]) -> str:
    from kafkaboot.failure.replay import STATES

    return " ".join(f"{states[state]:,} {state}" for state in STATES if states.get(state))


def _short(text: str) -> str:
    from kafkaboot.message import printable

    return printable(text, SHOWN)
