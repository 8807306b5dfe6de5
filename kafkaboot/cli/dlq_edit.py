"""`kafkaboot dlq edit`: mend one record, and send it again."""

from __future__ import annotations

import difflib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kafkaboot.cli.dlq_options import as_whom, cluster, letter_of, unasked, workbench
from kafkaboot.cli.lazy_group import examples
from kafkaboot.cli.options import Choice, header_pairs, which_application

if TYPE_CHECKING:
    from kafkaboot.cli.dlq_letter import Read
    from kafkaboot.failure.letter import Letter


@click.command(
    short_help="mend one record, and send it again",
    epilog=examples(
        "kafkaboot dlq edit orders.shop.dlt 0@17",
        "kafkaboot dlq edit orders.shop.dlt 0@17 --value mended.json --yes",
        "kafkaboot dlq edit orders.shop.dlt 0@17 --header tenant=north --without trace",
        "jq '.total = \"30.00\"' letter.json | kafkaboot dlq edit orders.shop.dlt 0@17 --value - --yes",
    ),
)
@click.argument("topic")
@click.argument("record", required=False, metavar="PARTITION@OFFSET")
@which_application(argument=False)
@click.option("--value", "source", metavar="FILE", help='The new value; "-": standard input. Default: $EDITOR.')
@click.option("--header", "set_", multiple=True, metavar="NAME=VALUE", callback=header_pairs, help="Set a header.")
@click.option("--without", multiple=True, metavar="NAME", help="Take a header away.")
@click.option("--to", metavar="TOPIC", help="Send it there, not to where it came from.")
@as_whom
@unasked
def edit(
    choice: Choice,
    *,
    topic: str,
    record: str | None,
    source: str | None,
    set_: list[tuple[str, str]],
    without: tuple[str, ...],
    to: str | None,
    by: str | None,
    yes: bool,
) -> None:
    """Change a letter's value, check it by the handler's own type, show what changed, and send the record again.

    Its key stays, and every header that is not named; the record says who changed it (kb-edited-by). The letter itself
    stays as it is, with the state "edited". With --header or --without the value is left as it is unless --value says
    otherwise.
    """
    from kafkaboot.cli.dlq_letter import annotation_of, called, refusal, shown
    from kafkaboot.cli.output import say, tell
    from kafkaboot.failure.replay.commands import command
    from kafkaboot.message import printable

    topic, place = letter_of(topic, record)
    if source == "-" and not yes:
        raise click.UsageError("The value comes from standard input, where nobody can answer: add --yes")
    changed: dict[str, bytes | None] = {**dict.fromkeys(without), **{name: text.encode() for name, text in set_}}
    connection = cluster(choice)
    with workbench(connection, topic, by) as bench:
        letter = bench.letter(place)
        annotation = annotation_of(connection.blueprint, letter)
        before = shown(letter.value, annotation)
        mended = letter.value
        if source is not None:
            mended = _given(source)
        elif not changed:
            mended = _written(letter, before)
        own = dict(letter.original_headers())
        changed = {
            name: value for name, value in changed.items() if (name in own if value is None else own.get(name) != value)
        }
        if mended == letter.value and not changed:
            click.echo("nothing was changed, and nothing was sent")
            return
        problem = refusal(mended, annotation, letter.where) if annotation is not None else None
        if problem is not None:
            raise problem
        say(f"checked as {called(annotation)}" if annotation is not None else f"unchecked: {called(None)}", dim=True)
        mark = bench.mark(place)
        if mark is not None:
            say(f"this letter is {mark.state} already, by {mark.by}", fg="yellow")
        _tell_changes(before, shown(mended, None))
        for name, value in changed.items():
            if name in own:
                tell(f"-header {name}: {str(own[name] or b'', 'utf-8', 'backslashreplace')}", fg="red")
            if value is not None:
                tell(f"+header {name}: {value.decode()}", fg="green")
        target = to or letter.original.topic or "nowhere"
        if not yes:
            click.confirm(printable(f"Send the mended record to {target}?"), abort=True)
        click.echo(f"sent: {bench.send_edited(letter, mended, to, changed)}")
        say(f"see it: {command('show', topic, None, [str(place)])}", dim=True)


def _given(source: str) -> bytes:
    # What a shell or an editor appends to a file is no part of the value.
    content = sys.stdin.buffer.read() if source == "-" else _file(source)
    return content.removesuffix(b"\n")


def _file(source: str) -> bytes:
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise click.BadParameter(f"cannot read {source!r}: {error.strerror}", param_hint="--value") from error


def _written(letter: Letter, before: Read) -> bytes | None:
    """What somebody made of it in an editor; the value itself where it was left as it was."""
    if before.text is None and letter.value is not None:
        raise click.UsageError("The value is no text: give the new one with --value FILE")
    text: Any = click.edit(before.text or "", extension=".json" if before.json else ".txt")
    if text is None or text.rstrip("\n") == (before.text or ""):
        return letter.value
    if not before.json:
        return str(text).removesuffix("\n").encode()
    try:
        return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":")).encode()
    except ValueError as error:
        raise click.UsageError(f"What you wrote is not JSON: {error}. Nothing was sent.") from error


def _tell_changes(before: Read, after: Read) -> None:
    lines = difflib.unified_diff(
        (before.text or "").splitlines(), (after.text or "").splitlines(), "letter", "mended", lineterm=""
    )
    from kafkaboot.cli.output import tell

    colours = {"+": "green", "-": "red", "@": "cyan"}
    for line in lines:
        tell(line, fg=colours.get(line[:1]))
