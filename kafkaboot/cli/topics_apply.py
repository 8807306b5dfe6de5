"""`kafkaboot topics apply`: create topics, change settings, add partitions."""

from __future__ import annotations

import click

from kafkaboot.cli.dlq_options import unasked
from kafkaboot.cli.lazy_group import examples
from kafkaboot.cli.options import Choice, as_json, which_application
from kafkaboot.cli.topics_options import drawn, may_grow


@click.command(
    short_help="create topics, change settings, add partitions",
    epilog=examples(
        "kafkaboot topics apply --profile prod",
        "kafkaboot topics apply --yes --json",
        "kafkaboot topics apply --add-partitions orders",
    ),
)
@which_application(argument=False)
@may_grow
@unasked
@as_json
def apply(choice: Choice, *, consent: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Show the plan, ask, and carry it out. What has been done already is not done again.

    Exit code 0 when everything was done, or there was nothing to do; 1 when something was refused, could not be looked
    at, or waits for consent. Differences that are left alone are told, and fail nothing.
    """
    from kafkaboot.cli.output import write_json
    from kafkaboot.cli.topics_shown import became, plain, show
    from kafkaboot.topics import carry_out

    if as_json and not yes:
        raise click.UsageError("With --json nobody is asked: add --yes, or look with `kafkaboot topics plan --json`")
    with drawn(choice, consent) as (admin, found):
        if not as_json:
            show(found)
        if found.ready and not yes:
            count = len(found.ready)
            click.confirm(f"Make {'this change' if count == 1 else f'these {count} changes'}?", abort=True)
        outcomes = carry_out(admin, found, told=(lambda _: None) if as_json else became)
    if as_json:
        write_json(plain(found, outcomes))
    undone = bool(found.unseen) or any(one.became != "done" for one in outcomes)
    click.get_current_context().exit(1 if undone else 0)
