"""`kafkaboot dlq audit`, `jobs` and `index`: what was done, what is under way, and the index that says so."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from kafkaboot.cli.dlq_options import cluster, workbench
from kafkaboot.cli.lazy_group import examples
from kafkaboot.cli.options import Choice, as_json, which_application

if TYPE_CHECKING:
    from kafkaboot.failure.replay import Action


@click.command(
    short_help="who did what with them, and when",
    epilog=examples("kafkaboot dlq audit orders.shop.dlt", "kafkaboot dlq audit orders.shop.dlt --json"),
)
@click.argument("topic")
@which_application(argument=False)
@as_json
def audit(choice: Choice, *, topic: str, as_json: bool) -> None:
    """Show everything that was done with letters of TOPIC, the earliest first."""
    from kafkaboot.cli.output import table, write_json

    with workbench(cluster(choice), topic) as bench:
        actions = sorted(bench.known().contents.actions.values(), key=lambda one: one.at)
    if as_json:
        write_json([one.as_json() for one in actions])
    elif actions:
        table(("when", "who", "what", "which"), [(_when(one.at), one.by, one.what, _which(one)) for one in actions])
    else:
        click.echo(f"nobody has done anything with letters of {topic} yet. Begin with: kafkaboot dlq list {topic}")


@click.command(
    short_help="redrives under way, and those that ended",
    epilog=examples("kafkaboot dlq jobs orders.shop.dlt"),
)
@click.argument("topic")
@which_application(argument=False)
@as_json
def jobs(choice: Choice, *, topic: str, as_json: bool) -> None:
    """Show the jobs on letters of TOPIC. "running" is also what a kill leaves: the command in the last column goes on.

    How far a job is stands in its consumer group as well: kafkaboot lag --group TOPIC.redrive.NAME.
    """
    from kafkaboot.cli.output import table, write_json
    from kafkaboot.failure.replay.commands import VERBS, command

    with workbench(cluster(choice), topic) as bench:
        found = bench.known()
    known, states = sorted(found.contents.jobs.values(), key=lambda one: one.began), found.states
    done = {one.name: one.counts if one.state == "finished" else states.done_by(one.name) for one in known}
    if as_json:
        write_json([{**one.as_json(), "done": done[one.name]} for one in known])
        return
    if not known:
        click.echo(f"there are no jobs on {topic}. One begins with: kafkaboot dlq replay {topic} --all --dry-run")
        return
    rows = [
        (
            one.name,
            one.state,
            _when(one.began),
            one.by,
            f"{sum(done[one.name].values()):,} of {one.selected:,}",
            "" if one.state == "finished" else command(VERBS[one.errand.deed], topic, None, ["--job", one.name]),
        )
        for one in known
    ]
    table(("job", "state", "began", "who", "done", "to go on"), rows, numbers=("done",))


@click.command(
    short_help="index letters that no kafkaboot application wrote",
    epilog=examples("kafkaboot dlq index orders-dlt"),
)
@click.argument("topic")
@which_application(argument=False)
def index(choice: Choice, *, topic: str) -> None:
    """Bring the index of TOPIC up to date, and make it (TOPIC.index, compacted) where there is none.

    An application does this itself, as it writes letters. Letters that others wrote are indexed with this command, or
    read again by every list.
    """
    with workbench(cluster(choice), topic) as bench:
        found = bench.refresh()
    click.echo(f"{topic}: {found.read:,} letters read, {len(found.folded):,} rows of the index written")


def _when(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _which(action: Action) -> str:
    details: dict[str, Any] = action.details
    if "letter" in details:
        return f"{details['letter']} to {details['sent']}"
    said = [f"job {details['job']}"] if "job" in details else []
    if "selected" in details:
        said.append(f"{details['going']:,} of {details['selected']:,} letters")
    if "letters" in details:
        said.append(f"{details['letters']:,} letters")
    said += [f"{count:,} {state}" for state, count in details.get("counts", {}).items()]
    left = details.get("left")
    said += [f"{count:,} left: {why}" for why, count in left.items()] if isinstance(left, dict) else []
    if "error" in details:
        said.append(details["error"])
    return ", ".join(said)
