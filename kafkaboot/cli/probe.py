"""`kafkaboot probe`: a record through the real handler, with nothing published and nothing committed."""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kafkaboot.cli.lazy_group import examples
from kafkaboot.cli.options import Choice, as_json, header_pairs, which_application

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.cli.probe_records import Given, Options
    from kafkaboot.testing.probing import Probe


@click.command(
    short_help="a record through the real handler, and nothing gets out",
    epilog=examples(
        'kafkaboot probe bill \'{"order_id": "o-1", "total": "30.00"}\' --key o-1',
        "kafkaboot probe bill 'orders[3]@1042' --pdb",
        "kafkaboot probe bill 'orders.shop.dlt[0]@7' --save-test tests/test_bill_o_1.py",
        "kafkaboot tail orders --from 7 --count 1 --json | kafkaboot probe bill -",
    ),
)
@click.argument("handler")
@click.argument("records", metavar="[RECORD]...", nargs=-1)
@which_application(argument=False)
@click.option("--key", help="The record's key, where it is pasted.")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", callback=header_pairs, help="A header.")
@click.option("--type", "type_name", metavar="NAME", help="The event's name; default: what the handler takes.")
@click.option("--no-start", is_flag=True, help="Build the handler's components, and run none of their start hooks.")
@click.option("--pdb", "stop_in", is_flag=True, help="Stop in the handler's first line, and where it raises.")
@click.option("--save-test", type=click.Path(path_type=Path, dir_okay=False), help="Write a pytest of it to this file.")
@click.option("--force", is_flag=True, help="Replace the file of --save-test if it is there.")
@as_json
@click.pass_context
def probe(
    ctx: click.Context,
    choice: Choice,
    *,
    handler: str,
    records: tuple[str, ...],
    key: str | None,
    headers: list[tuple[str, str]],
    type_name: str | None,
    no_start: bool,
    stop_in: bool,
    save_test: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Call HANDLER with RECORD as the application would, and show what it did and what would have become of it.

    RECORD is the value itself, "-" for standard input, @FILE, or a record's place in Kafka, topic[partition]@offset:
    of a dead letter the handler gets the record that it was. A JSON object with "value" and one of "key", "headers" and
    "topic" is a whole record, as `kafkaboot tail --json` writes it. Without RECORD, on a terminal, a sample of the
    handler's type is made. A handler that takes batches takes several.

    What the handler needs is built and started, with its decoding, filter, timeout and components. Records that go
    through the application's Producer and @publishers are captured and shown; no group is joined and nothing is
    committed. Other effects really happen: those on a database, and of Kafka clients that the code makes itself. Ends
    with 1 if the record would not be settled by the handler.
    """
    from kafkaboot.cli.connection import hush
    from kafkaboot.cli.output import say, write_json
    from kafkaboot.cli.probe_records import Options
    from kafkaboot.cli.probe_shown import plain, show
    from kafkaboot.cli.probe_test import refuse_existing, save
    from kafkaboot.testing.probing.debugger import Left

    if stop_in and as_json:
        raise click.UsageError("--pdb talks on standard output, where --json writes its answer; give one of them")
    if stop_in and "-" in records:
        raise click.UsageError("--pdb listens to standard input, so that the record cannot come from there")
    if save_test is not None:
        refuse_existing(save_test, force=force)
    options = Options(key, headers, type_name)
    texts = records or (() if stop_in or on_keyboard() else ("-",))
    probing, given = _prepared(choice, handler, texts, options)
    hush()
    try:
        with redirect_stdout(sys.stderr) if as_json else nullcontext():
            probed = probing(handler, *(one.record for one in given), start=not no_start, stop_in=stop_in)
    except Left:
        say("left in the debugger; nothing was published or committed", dim=True)
        ctx.exit(1)
    if as_json:
        write_json(plain(probed, given, probing.blueprint))
    else:
        show(probed, given, probing.blueprint)
    if save_test is not None:
        save(save_test, probed, choice.app, start=not no_start)
        will = "it passes as the handler is" if probed.settled else "it fails until the handler is mended"
        say(f"{save_test} is written: {will}; the record's bytes are in it", dim=True)
        if choice.profiles or choice.overrides or choice.config:
            say("--profile, --set and --config are not in it: tests run with the profile test", fg="yellow")
    ctx.exit(0 if probed.settled else 1)


def on_keyboard() -> bool:
    """Whether a person, and no other program, is at standard input."""
    return sys.stdin.isatty()


def _prepared(choice: Choice, handler: str, texts: Sequence[str], options: Options) -> tuple[Probe, list[Given]]:
    """The application, and the records."""
    from kafkaboot.cli.connection import connect, found
    from kafkaboot.cli.probe_fetch import fetched
    from kafkaboot.cli.probe_records import address, made, written
    from kafkaboot.testing import Probe

    places = [address(text) for text in texts]
    clients = None
    if any(places):
        if options.given:
            raise click.UsageError(
                "--key, --header and --type are for pasted records; one that stands in Kafka has its own"
            )
        connection = connect(choice)
        if connection.trouble is not None:
            raise connection.trouble
        application, clients = connection.application, connection.clients
    else:
        application, _ = found(choice)
    probing = Probe(application)
    try:
        wanted = probing.handler(handler)
    except LookupError as error:
        raise click.UsageError(str(error.args[0])) from error
    if len(texts) > 1 and wanted.batch is None:
        raise click.UsageError(f"{handler} takes one record at a time, and {len(texts)} are given")
    if not texts:
        return probing, [made(wanted, options)]
    return probing, [
        fetched(clients, at) if at is not None and clients is not None else written(text, wanted, options)
        for text, at in zip(texts, places, strict=True)
    ]
