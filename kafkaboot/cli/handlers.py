"""`kafkaboot handlers`: what is wired. No broker is needed."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from kafkaboot.cli.lazy_group import examples
from kafkaboot.cli.options import Choice, as_json, which_application

if TYPE_CHECKING:
    from kafkaboot.boot.pipeline import HandlerRow


@click.command(
    short_help="what is wired, and where it is defined",
    epilog=examples("kafkaboot handlers", "kafkaboot handlers shop --profile prod --json"),
)
@which_application(argument=True)
@as_json
def handlers(choice: Choice, *, as_json: bool) -> None:
    """Show every handler: id, topics, group, ordering, retry, dead letters, where it is defined.

    Everything is checked as at a start; nothing is started, and no broker is needed.
    """
    from kafkaboot.cli.narrate import HEADINGS, cells
    from kafkaboot.cli.output import table, write_json

    rows = choice.application().describe_handlers()
    if as_json:
        write_json([asdict(row) for row in rows])
    elif rows:
        # At a start the table stands without the dead letters: it is as wide as a terminal then.
        lines = [(*(shown := cells(row))[:-1], _dead_letters(row), shown[-1]) for row in rows]
        table((*HEADINGS[:-1], "dead letters", HEADINGS[-1]), lines)
    else:
        click.echo("there are no handlers")


def _dead_letters(row: HandlerRow) -> str:
    return ", ".join(row.dead_letters) or ("none" if row.on_exhausted == "dead-letter" else row.on_exhausted)
