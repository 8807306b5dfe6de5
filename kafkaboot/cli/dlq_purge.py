"""`kafkaboot dlq purge`: delete letters that are done with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kafkaboot.cli.dlq_options import as_whom, cluster, unasked, which_letters, workbench
from kafkaboot.cli.lazy_group import examples
from kafkaboot.cli.options import Choice, as_json, which_application

if TYPE_CHECKING:
    from kafkaboot.failure.replay import Purge, Selection

DONE_ONLY = ("retried", "edited", "parked", "resolved")


@click.command(
    short_help="delete letters that are done with",
    epilog=examples(
        "kafkaboot dlq purge orders.shop.dlt --dry-run",
        "kafkaboot dlq purge orders.shop.dlt --until 30d",
        "kafkaboot dlq purge orders.shop.dlt --state any --yes",
    ),
)
@click.argument("topic")
@which_application(argument=False)
@which_letters(states=DONE_ONLY, whole=False)
@click.option("--dry-run", is_flag=True, help="Count and show; touch nothing.")
@as_whom
@unasked
@as_json
def purge(
    choice: Choice, *, topic: str, selection: Selection, dry_run: bool, by: str | None, yes: bool, as_json: bool
) -> None:
    """Delete letters of TOPIC: by default those that are not new any more.

    Kafka can delete only the beginning of a partition (DeleteRecords). So everything goes that stands before the first
    letter that is to stay; what is meant to go and stands behind it stays, and is counted. To get such a one out of the
    way, see to it (replay, edit, park or resolve it), and purge again. What is deleted is gone.
    """
    from kafkaboot.cli.output import write_json

    if as_json and not dry_run and not yes:
        raise click.UsageError("With --json nobody is asked: add --yes, or --dry-run")
    connection = cluster(choice)
    with workbench(connection, topic, by) as bench:
        found = bench.catalogue()
        counted = bench.purgeable(selection, found)
        if not as_json:
            _tell(topic, counted)
        if dry_run or not counted.letters:
            if as_json:
                write_json({**counted.as_json(), "deleted": 0})
            elif counted.letters:
                click.echo("dry run: nothing was touched")
            return
        fresh = counted.states.get("new", 0)
        warned = f", {fresh:,} of them new" if fresh else ""
        if not yes:
            click.confirm(f"Delete {counted.letters:,} letters for good{warned}?", abort=True)
        bench.purge(found, counted)
    if as_json:
        write_json({**counted.as_json(), "deleted": counted.letters})
    else:
        click.echo(f"deleted {counted.letters:,} letters")


def _tell(topic: str, counted: Purge) -> None:
    from kafkaboot.failure.replay import Place, Selection
    from kafkaboot.failure.replay.commands import command

    for partition, before in sorted(counted.before.items()):
        click.echo(f"  {topic}[{partition}]: all before offset {before}")
    if counted.letters:
        told = ", ".join(f"{count:,} {state}" for state, count in counted.states.items())
        click.echo(f"{counted.letters:,} letters can be deleted: {told}")
    if counted.kept:
        click.secho(
            f"{counted.kept:,} more are meant to go and stay: Kafka deletes beginnings only, and they stand behind",
            fg="yellow",
        )
        for partition, offset in sorted(counted.blockers.items()):
            here = Place(partition, offset)
            click.echo(f"  {here}, which is to stay; see it: {command('show', topic, None, [str(here)])}")
        first = Place(*min(counted.blockers.items()))
        click.echo(f"  one that is settled: {command('resolve', topic, Selection(record=first))}")
    elif not counted.letters:
        click.echo("nothing to delete: no letter is meant by that. What there is: " + command("list", topic))
