"""`kafkaboot topics plan`: what would change, and what is left alone."""

from __future__ import annotations

import click

from kafkaboot.cli.lazy_group import examples
from kafkaboot.cli.options import Choice, as_json, which_application
from kafkaboot.cli.topics_options import drawn, may_grow

CHANGES = 2


@click.command(
    short_help="what would change, and what is left alone",
    epilog=examples(
        "kafkaboot topics plan --profile prod",
        "kafkaboot topics plan --detailed-exitcode --json",
    ),
)
@which_application(argument=False)
@may_grow
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 where there are changes.")
@as_json
def plan(choice: Choice, *, consent: tuple[str, ...], detailed_exitcode: bool, as_json: bool) -> None:
    """Compare the cluster's topics with what the application wants. Nothing is changed.

    The cluster is asked what it would refuse. Exit code 0; 1 where it would refuse something, or a topic cannot be
    looked at; with --detailed-exitcode 2 where there is something to change, also what waits for consent. Differences
    that are left alone are no changes.
    """
    from kafkaboot.cli.output import write_json
    from kafkaboot.cli.topics_shown import plain, show

    with drawn(choice, consent) as (_, found):
        if as_json:
            write_json(plain(found))
        else:
            show(found)
    failed = bool(found.refused or found.unseen)
    click.get_current_context().exit(1 if failed else CHANGES if detailed_exitcode and found.steps else 0)
