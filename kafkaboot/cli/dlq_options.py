"""What the commands on dead letters have in common: which letters are meant, when, and who is at work."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kafkaboot.cli.connection import Connection
    from kafkaboot.cli.options import Choice
    from kafkaboot.failure.replay import Place, Workbench

_PLACE = re.compile(r"(?:(?P<topic>[^\[\]]+)\[(?P<inside>\d+)\]|(?P<partition>\d+))@(?P<offset>\d+)")
STATE_NAMES = ("new", "retried", "edited", "parked", "resolved", "any")


def place(text: str, topic: str) -> Place:
    """A letter's place from `3@17` or `topic[3]@17`.

    Raises:
        BadParameter: It is neither, or names another topic.
    """
    from kafkaboot.failure.replay import Place

    found = _PLACE.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is no PARTITION@OFFSET; write for example 3@17, or {topic}[3]@17")
    if found["topic"] not in (None, topic):
        raise click.BadParameter(f"{text!r} is a record of another topic than {topic}")
    return Place(int(found["inside"] or found["partition"] or 0), int(found["offset"]))


def letter_of(topic: str, record: str | None) -> tuple[str, Place]:
    """TOPIC and PARTITION@OFFSET, or `topic[partition]@offset` alone.

    Raises:
        UsageError: No letter is named.
    """
    whole = _PLACE.fullmatch(topic)
    if record is None and whole is not None and whole["topic"]:
        return whole["topic"], place(topic, whole["topic"])
    if record is None:
        raise click.UsageError(
            f"Name a letter: PARTITION@OFFSET, for example 0@17. See which there are: kafkaboot dlq list {topic}"
        )
    return topic, place(record, topic)


def moment(_: click.Context, parameter: click.Parameter, text: str | None) -> int | None:
    """Milliseconds since the epoch from `2h` (ago) or from ISO 8601; local time where it names no zone."""
    from kafkaboot.config.units import parse_duration

    if text is None:
        return None
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except ValueError:
        pass  # then it is a duration, or wrong
    try:
        return int((time.time() - parse_duration(text)) * 1000)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time; write for example {parameter.opts[0]} 2h (two hours ago), or "
            f"{parameter.opts[0]} 2026-01-31T08:00"
        ) from None


def which_letters(*, states: tuple[str, ...], whole: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the options that select letters; its function gets `selection` and whether any was said.

    Args:
        states: The states that are meant where none is named.
        whole: Whether there is `--all`.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, topic: str, **rest: Any) -> Any:
            from kafkaboot.failure.replay import Selection

            names = ("fingerprint", "exception", "handler", "since", "until")
            said = {name: rest.pop(name) for name in names}
            record, named = rest.pop("record"), rest.pop("states")
            wanted = () if "any" in named else tuple(dict.fromkeys(named)) or states
            meant = Selection(**said, record=place(record, topic) if record else None, states=wanted)
            narrowed = record is not None or any(value is not None for value in said.values())
            if whole:
                everything = rest.pop("all_")
                rest["narrowed"] = bool(narrowed or named or everything)
            return function(*args, topic=topic, selection=meant, **rest)

        default = ", ".join(states) or "any"
        for option in (
            click.option("--fingerprint", metavar="F", help="Of this cause; its first characters are enough."),
            click.option("--exception", metavar="E", help="Of this exception, with its module or without."),
            click.option("--handler", metavar="H", help="That this handler failed on."),
            click.option("--record", metavar="P@O", help="This one alone: PARTITION@OFFSET."),
            click.option("--since", callback=moment, metavar="TIME", help="Failed since: 2h, or 2026-01-31T08:00."),
            click.option("--until", callback=moment, metavar="TIME", help="Failed before."),
            click.option(
                "--state",
                "states",
                multiple=True,
                type=click.Choice(STATE_NAMES),
                help=f"In this state; may be repeated. Default: {default}.",
            ),
        ):
            call = option(call)
        if whole:
            call = click.option("--all", "all_", is_flag=True, help="All of them.")(call)
        return call

    return decorate


def cluster(choice: Choice) -> Connection:
    """The cluster and the application's types; why there are none is said."""
    from kafkaboot.cli.connection import connect
    from kafkaboot.cli.output import say

    connection = connect(choice)
    if connection.trouble is not None:
        say(f"without the application's types: {connection.trouble.what}", fg="yellow")
    return connection


@contextmanager
def workbench(connection: Connection, topic: str, by: str | None = None) -> Iterator[Workbench]:
    """The workbench on a topic; how much it has read is shown on a terminal."""
    from kafkaboot.cli.dlq_progress import Line
    from kafkaboot.failure.replay import Workbench

    line = Line()
    with Workbench(connection.clients, topic, by=by, heard=line.reading) as bench:
        try:
            yield bench
        finally:
            line.clear()


as_whom = click.option("--by", metavar="NAME", help="Who does it, for the audit; by default USER@HOST.")
unasked = click.option("--yes", is_flag=True, help="Don't ask.")
