"""`kafkaboot handlers`: what is wired. No broker is needed."""

from __future__ import annotations

from dataclasses import asdict

import click

from kafkaboot.cli.lazy_group import examples
from kafkaboot.cli.options import Choice, as_json, which_application


@click.command(
    short_help="what is wired, and where it is defined",
    epilog=examples("kafkaboot handlers", "kafkaboot handlers shop --profile prod --json"),
)
@which_application(argument=True)
@as_json
def handlers(choice: Choice, *, as_json: bool) -> None:
    """Show every handler: id, topics, group, ordering, retry, where it is defined.

    Everything is checked as at a start; nothing is started, and no broker is needed.
    """
    from kafkaboot.cli.narrate import HEADINGS, cells
    from kafkaboot.cli.output import table, write_json

    rows = choice.application().describe_handlers()
    if as_json:
        write_json([asdict(row) for row in rows])
    elif rows:
        table(HEADINGS, [cells(row) for row in rows])
    else:
        click.echo("there are no handlers")
