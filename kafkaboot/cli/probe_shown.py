"""What a probe found, for people and for programs."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import click

from kafkaboot.cli.shown import LONGEST, Reader
from kafkaboot.message import encode, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.boot.blueprint import Blueprint
    from kafkaboot.cli.probe_records import Given
    from kafkaboot.testing.probing import Captured, Probed

ENVELOPE = ("ce_", "content-type")
"""Headers that each event has: people see the others."""
COLOURS = {"returned": "green", "filtered": "green", "skipped": "yellow"}


def plain(probed: Probed, given: Sequence[Given], blueprint: Blueprint) -> dict[str, Any]:
    """All of it as one JSON object."""
    reader = Reader(blueprint)
    return {
        "handler": probed.handler,
        "group": probed.group,
        "where": probed.where,
        "records": [
            {
                **reader.plain(raw),
                "source": one.source,
                "dead_letter": None
                if one.letter is None
                else f"{one.letter.topic}[{one.letter.partition}]@{one.letter.offset}",
            }
            for raw, one in zip(probed.records, given, strict=True)
        ],
        "outcome": probed.outcome,
        "error": None if probed.error is None else _error(probed),
        "returned": _value(probed.returned),
        "fate": probed.fate,
        "next_attempt_in": probed.delay,
        "captured": {
            "published": [_published(one, reader) for one in probed.published],
            "commits": [
                {"group": probed.group, "topic": tp.topic, "partition": tp.partition, "offset": offset}
                for tp, offset in probed.commits.items()
            ],
        },
        "logs": [
            {"level": one.levelname, "logger": one.name, "message": _message(one), "time": one.created}
            for one in probed.logs
        ],
        "seconds": probed.seconds,
        "notes": list(probed.notes),
    }


def show(probed: Probed, given: Sequence[Given], blueprint: Blueprint) -> None:
    """The same in lines."""
    reader = Reader(blueprint)
    for raw, one in zip(probed.records, given, strict=True):
        from_letter = "" if one.letter is None else ", the record of this dead letter"
        click.secho(f"record   ({one.source}{from_letter})", dim=True)
        click.echo("  ", nl=False)
        for text, style in reader.parts(raw):
            click.secho(text, nl=False, **style)
        click.echo()
    click.echo(f"handler  {probed.handler} ({probed.where})")
    click.secho(f"outcome  {probed.outcome}", fg=COLOURS.get(probed.outcome, "red"), nl=False)
    click.echo(f" in {_took(probed.seconds)}")
    if probed.error is not None:
        for line in (probed.traceback or f"{type(probed.error).__name__}: {probed.error}").splitlines():
            click.echo(f"  {printable(line, LONGEST)}")
    elif probed.returned is not None:
        click.echo(f"  {_line(_value(probed.returned))}")
    click.echo(f"fate     {probed.fate}")
    for note in probed.notes:
        click.secho(f"note     {note}", fg="yellow")
    for record in probed.logs:
        click.echo(f"log      {record.levelname} {record.name}: {printable(_message(record), LONGEST)}")
    click.secho("captured, not done", bold=True)
    for captured in probed.published:
        _show_published(_published(captured, reader))
    for tp, offset in probed.commits.items():
        click.echo(f"  commit   {tp.topic}[{tp.partition}] -> {offset}  (group {probed.group})")
    if not probed.published and not probed.commits:
        click.echo("  nothing would be published or committed")


def _show_published(found: dict[str, Any]) -> None:
    during = "" if found["during"] == "handler" else f"  (at {found['during']})"
    key = "" if found["key"] is None else f"  key {_line(found['key'])}"
    kind = "" if found["type"] is None else f"  {printable(found['type'])}"
    click.echo(f"  publish  {found['topic']}{key}{kind}  {_line(found['value'])}{during}")
    others = [one for one in found["headers"] if not one[0].startswith(ENVELOPE)]
    if others:
        click.secho(f"           {'  '.join(f'{printable(name)}={_line(value)}' for name, value in others)}", dim=True)


def _published(captured: Captured, reader: Reader) -> dict[str, Any]:
    found = reader.plain(captured.record)
    del found["offset"]  # it is made up
    found["partition"] = None if found["partition"] < 0 else found["partition"]
    return {"during": captured.during, **found}


def _error(probed: Probed) -> dict[str, Any]:
    kind = type(probed.error)
    return {
        "type": f"{kind.__module__}.{kind.__qualname__}",
        "message": str(probed.error),
        "traceback": probed.traceback,
    }


def _value(returned: Any) -> Any:
    """What was returned, as JSON has it where it can be encoded."""
    if isinstance(returned, list | tuple):
        return [_value(one) for one in returned]
    try:
        return None if returned is None else json.loads(encode(returned) or b"null")
    except Exception:  # it is not published, so that nobody promised that it can be encoded
        return repr(returned)


def _message(record: logging.LogRecord) -> str:
    trace = logging.Formatter().formatException(record.exc_info) if record.exc_info and record.exc_info[0] else ""
    return f"{record.getMessage()}\n{trace}".rstrip()


def _line(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return printable(text, LONGEST)


def _took(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"
