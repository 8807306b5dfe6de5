"""`kafkaboot database ddl`: the SQL that makes the house's tables."""

from __future__ import annotations

import click

from kafkaboot.cli.lazy_group import examples
from kafkaboot.cli.options import Choice, which_application


@click.command(
    short_help="print the SQL that makes the house's tables",
    epilog=examples(
        "kafkaboot database ddl",
        "kafkaboot database ddl main --inbox --profile prod",
    ),
)
@which_application(argument=False)
@click.argument("name", required=False, metavar="[NAME]")
@click.option("--inbox", is_flag=True, help="The inbox's tables only.")
@click.option("--outbox", is_flag=True, help="The outbox's tables only.")
def ddl(choice: Choice, *, name: str | None, inbox: bool, outbox: bool) -> None:
    """Print the SQL that makes the house's tables in the database NAME of kafkaboot.databases; none is connected to.

    A start makes what is missing by itself, unless `tables` of the database says `validate` or `off`.
    """
    from kafkaboot.boot.wiring.sql import DATABASES
    from kafkaboot.sql import Databases, need_sqlalchemy

    need_sqlalchemy("`kafkaboot database ddl`")
    from kafkaboot.sql import INBOX_TABLES, OUTBOX_TABLES

    configuration = choice.application().configure()
    databases = Databases(configuration.bind("kafkaboot.databases", DATABASES.sections["databases"]))
    wanted = [] if outbox and not inbox else [*INBOX_TABLES]
    wanted += [] if inbox and not outbox else [*OUTBOX_TABLES]
    click.echo(databases.get(name, what="`kafkaboot database ddl`").ddl(wanted), nl=False)
