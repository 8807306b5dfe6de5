"""`kafkaboot dlq show`: one letter."""

from __future__ import annotations

import base64
import shlex
from typing import TYPE_CHECKING, Any

import click

from kafkaboot.cli.dlq_options import cluster, letter_of, workbench
from kafkaboot.cli.lazy_group import examples
from kafkaboot.cli.options import Choice, as_json, which_application

if TYPE_CHECKING:
    from kafkaboot.cli.dlq_letter import Read
    from kafkaboot.failure.letter import Letter
    from kafkaboot.failure.replay.marks import Mark

PREVIEW = 256
"""Bytes of a value that is no text that are shown."""


@click.command(
    short_help="one letter: why, where from, its value, its traceback",
    epilog=examples(
        "kafkaboot dlq show orders.shop.dlt 0@17",
        "kafkaboot dlq show 'orders.shop.dlt[0]@17' --json",
    ),
)
@click.argument("topic")
@click.argument("record", required=False, metavar="PARTITION@OFFSET")
@which_application(argument=False)
@as_json
def show(choice: Choice, *, topic: str, record: str | None, as_json: bool) -> None:
    """Show a letter of TOPIC: what failed and where, its state, its headers, its value by the application's own type.

    A letter is named as PARTITION@OFFSET, or in TOPIC's place as topic[partition]@offset.
    """
    from kafkaboot.cli.dlq_letter import annotation_of, called, shown
    from kafkaboot.cli.output import write_json

    topic, place = letter_of(topic, record)
    connection = cluster(choice)
    with workbench(connection, topic) as bench:
        letter = bench.letter(place)
        mark = bench.mark(place)
    annotation = annotation_of(connection.blueprint, letter)
    value = shown(letter.value, annotation)
    if as_json:
        write_json(_plain(letter, mark, value, called(annotation)))
        return
    _tell(letter, mark)
    kind = "" if annotation is None else f" as {called(annotation)}"
    click.secho(f"value{kind}, {len(letter.value or b'')} bytes", dim=True)
    _tell_value(letter, value)
    _tell_next(letter)


def _tell(letter: Letter, mark: Mark | None) -> None:
    from kafkaboot.message import printable

    click.secho(letter.where, bold=True)
    rows = [
        ("failed with", letter.exception or "(not told)"),
        ("", letter.message),
        ("handler", letter.handler),
        ("group", letter.group),
        ("came from", str(letter.original)),
        ("attempts", "" if letter.attempts is None else str(letter.attempts)),
        ("first failed", "" if letter.first_failed is None else letter.first_failed.isoformat()),
        ("last failed", "" if letter.last_failed is None else letter.last_failed.isoformat()),
        ("sent again", f"{letter.redrives} times" if letter.redrives else ""),
        ("cause", letter.fingerprint),
        ("state", "new" if mark is None else f"{mark.state} by {mark.by} (job {mark.job})"),
        ("written by", letter.dialect or "nobody known"),
        ("key", "" if letter.key is None else str(letter.key, "utf-8", "backslashreplace")),
    ]
    for name, text in rows:
        if text:
            click.echo(f"  {click.style(f'{name:<12}', dim=True)}  {printable(text, 2000)}")
    for doubt in letter.doubts:
        click.secho(f"  doubtful: {printable(doubt, 400)}", fg="yellow")
    own = letter.original_headers()
    if own:
        click.secho("headers", dim=True)
        for name, value in own:
            shown = "(null)" if value is None else str(value, "utf-8", "backslashreplace")
            click.echo(f"  {printable(name)}: {printable(shown, 400)}")
    if letter.traceback:
        click.secho("traceback", dim=True)
        for line in letter.traceback.rstrip().splitlines():
            click.echo(f"  {printable(line, 400)}")


def _tell_value(letter: Letter, value: Read) -> None:
    from kafkaboot.message import printable

    if value.trouble:
        click.secho(f"  {printable(value.trouble, 400)}", fg="yellow")
    if letter.value is None:
        click.echo("  (null)")
    elif value.text is None:
        click.echo(f"  {letter.value[:PREVIEW].hex(' ')}{' ...' if len(letter.value) > PREVIEW else ''}")
    else:
        for line in value.text.splitlines() or [""]:
            click.echo(f"  {printable(line, 4000)}")


def _tell_next(letter: Letter) -> None:
    from kafkaboot.cli.output import tell
    from kafkaboot.failure.replay import Place, Selection
    from kafkaboot.failure.replay.commands import command

    here = Place(letter.partition, letter.offset)
    click.secho("next", dim=True)
    if letter.handler:
        tell(f"  see it fail:       {shlex.join(['kafkaboot', 'probe', letter.handler, letter.where])}")
    click.echo(f"  mend and send it:  {command('edit', letter.topic, None, [str(here)])}")
    click.echo(f"  send it as it is:  {command('replay', letter.topic, Selection(record=here))}")
    tell(f"  all of its cause:  {command('replay', letter.topic, Selection(fingerprint=letter.fingerprint))}")


def _plain(letter: Letter, mark: Mark | None, value: Read, kind: str) -> dict[str, Any]:
    import json

    return {
        "letter": letter.where,
        "state": "new" if mark is None else mark.state,
        "marked": None if mark is None else {"by": mark.by, "at": mark.at, "job": mark.job},
        "dialect": letter.dialect,
        "original": letter.original._asdict(),
        "group": letter.group,
        "handler": letter.handler,
        "attempts": letter.attempts,
        "first_failed": letter.first_failed,
        "last_failed": letter.last_failed,
        "exception": letter.exception,
        "message": letter.message,
        "traceback": letter.traceback,
        "fingerprint": letter.fingerprint,
        "redrives": letter.redrives,
        "key": _text(letter.key),
        "headers": [[name, _text(content)] for name, content in letter.original_headers()],
        "type": kind,
        "value": json.loads(value.text) if value.json and value.text is not None else _text(letter.value),
        "trouble": value.trouble,
        "doubts": letter.doubts,
    }


def _text(content: bytes | None) -> Any:
    if content is None:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}
