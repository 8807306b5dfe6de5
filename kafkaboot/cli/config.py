"""`kafkaboot config`: what is configured, from where, and whether it can be used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kafkaboot.cli.lazy_group import examples
from kafkaboot.cli.options import Choice, as_json, which_application

if TYPE_CHECKING:
    from kafkaboot.config import Entry, Problem
    from kafkaboot.errors import KafkabootError


@click.group(epilog=examples("kafkaboot config show --profile prod", "kafkaboot config explain kafkaboot.kafka.broker"))
def config() -> None:
    """Show every value with its origin, check them, explain one, write the JSON schema."""


@config.command(epilog=examples("kafkaboot config show", "kafkaboot config show --defaults kafkaboot.consumer"))
@click.argument("prefix", required=False)
@which_application(argument=False)
@click.option("--defaults", is_flag=True, help="Also the values that nobody set.")
@as_json
def show(choice: Choice, *, prefix: str | None, defaults: bool, as_json: bool) -> None:
    """Show every value with its origin, secrets masked; those below PREFIX where it is given.

    It also works where the configuration is wrong: `config check` says what is.
    """
    from kafkaboot.cli.output import say, table, write_json
    from kafkaboot.errors import KafkabootError

    application = choice.application()
    configuration = application.configure()
    try:
        application.wire()
    except KafkabootError:
        say("this application would not start: `kafkaboot config check` says why", fg="yellow")
    entries = [
        entry
        for entry in configuration.entries(defaults=defaults)
        if prefix is None or entry.key == prefix or entry.key.startswith(f"{prefix}.")
    ]
    if as_json:
        write_json([_plain(entry) for entry in entries])
        return
    table(("key", "value", "origin"), [(entry.key, _shown(entry), str(entry.origin)) for entry in entries])


@config.command(epilog=examples("kafkaboot config check --profile prod"))
@which_application(argument=True)
@as_json
def check(choice: Choice, *, as_json: bool) -> None:
    """Say everything that is wrong with the configuration; exit code 3 if anything is.

    The application's packages are read as well, since its own sections and its handlers' options are in them. Nothing
    is started.
    """
    from kafkaboot.boot.analysis import CONFIGURATION
    from kafkaboot.cli.narrate import telling
    from kafkaboot.cli.output import write_json
    from kafkaboot.config import InvalidConfigurationError
    from kafkaboot.errors import KafkabootError

    application = choice.application()
    try:
        wired = application.wire()
    except KafkabootError as error:
        problems = error.problems if isinstance(error, InvalidConfigurationError) else [_problem(error)]
        if as_json:
            write_json([{"key": one.key, "where": one.where, "text": one.text, "todo": one.todo} for one in problems])
        else:
            for one in problems:
                click.echo(str(one), err=True)
            count = len(problems)
            click.secho(f"{count} problem{'' if count == 1 else 's'}", fg="red", err=True)
        click.get_current_context().exit(CONFIGURATION)
    if as_json:
        write_json([])
    else:
        click.secho(f"the configuration is right: {telling(wired.sources)}", fg="green")


@config.command(epilog=examples("kafkaboot config explain kafkaboot.consumer.drain-timeout --profile prod"))
@click.argument("key")
@which_application(argument=False)
@as_json
def explain(choice: Choice, *, key: str, as_json: bool) -> None:
    """Say where the value of KEY comes from, and what it overrode; for a section: so for each key in it."""
    from kafkaboot.cli.output import say, write_json
    from kafkaboot.errors import KafkabootError

    application = choice.application()
    configuration = application.configure()
    try:
        application.wire()
    except KafkabootError:
        say("this application would not start: `kafkaboot config check` says why", fg="yellow")
    entries = configuration.explain(key)
    if as_json:
        write_json([_plain(entry) for entry in entries])
        return
    for entry in entries:
        if entry.wins:
            click.echo(f"{click.style(entry.key, bold=True)} = {_shown(entry)}  ({entry.origin})")
        else:
            click.secho(f"  instead of {_shown(entry)}  ({entry.origin})", dim=True)


@config.command(epilog=examples("kafkaboot config schema --output config/application.schema.json"))
@which_application(argument=True)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="A file instead of standard output.")
def schema(choice: Choice, *, output: Path | None) -> None:
    """Write the JSON schema (draft-07) of application.yaml, the application's own sections included.

    Editors read it where the file begins with: # yaml-language-server: $schema=application.schema.json
    """
    from kafkaboot.cli.output import write_json

    found = schema_of(choice)
    if output is None:
        write_json(found)
    else:
        output.write_text(schema_text(found), encoding="utf-8")
        click.echo(f"wrote {output}")


def schema_of(choice: Choice) -> dict[str, Any]:
    """The schema: of the application where there is one, else of kafkaboot's own sections."""
    from kafkaboot.boot.blueprint import sections_of
    from kafkaboot.boot.starters import load
    from kafkaboot.cli.output import say
    from kafkaboot.config import json_schema
    from kafkaboot.errors import KafkabootError

    application = choice.application()
    try:
        application.wire()
    except KafkabootError as error:
        say(f"without the application's own sections: {error.what}", fg="yellow")
    if application.blueprint is not None:
        return json_schema(application.blueprint.sections)
    return json_schema(sections_of(load(())[0]))


def schema_text(schema: dict[str, Any]) -> str:
    """The schema as its file has it."""
    import json

    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _problem(error: KafkabootError) -> Problem:
    """What keeps the application from being read, in the form of the other problems."""
    from kafkaboot.config import Origin, Problem

    return Problem("", Origin("file", error.where) if error.where else None, error.what, error.todo)


def _plain(entry: Entry) -> dict[str, Any]:
    return {
        "key": entry.key,
        "value": entry.value,
        "origin": str(entry.origin),
        "masked": entry.masked,
        "wins": entry.wins,
    }


def _shown(entry: Entry) -> str:
    from kafkaboot.message import printable

    if isinstance(entry.value, list):
        return printable(f"[{', '.join(map(str, entry.value))}]")
    if isinstance(entry.value, bool):
        return str(entry.value).lower()
    return "null" if entry.value is None else printable(str(entry.value))
