"""`kafkaboot database`: databases with an inbox or an outbox in them."""

from __future__ import annotations

import click

from kafkaboot.cli.lazy_group import Entry, LazyGroup, examples

SECTIONS = {
    "Look": {
        "ddl": Entry("kafkaboot.cli.database_ddl:ddl", "print the SQL that makes the house's tables"),
    },
}


@click.group(
    cls=LazyGroup,
    sections=SECTIONS,
    short_help="databases with an inbox or an outbox: ddl",
    epilog=examples("kafkaboot database ddl", "kafkaboot database ddl main --inbox | psql shop"),
)
def database() -> None:
    """Databases under kafkaboot.databases, which inboxes and the outbox are in."""
