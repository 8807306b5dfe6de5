"""What an errand comes to, in words: before it is done, and when it has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kafkaboot.cli.output import tell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.failure.replay import Catalogue, Plan, Progress

WIDTH = 30
"""Characters of the longest bar."""
CAUSES = 20
"""Causes that are listed."""
DOES = {"redrive": "send again", "park": "park", "resolve": "mark as resolved"}


def tell_plan(plan: Plan) -> None:
    """The causes, with a bar each, and where the records go."""
    most = max(plan.causes.values(), default=1)
    click.secho("by cause", dim=True)
    for (print_, exception, handler), count in plan.causes.most_common(CAUSES):
        bar = "█" * max(1, round(count * WIDTH / most))
        tell(f"  {count:>9,}  {bar:<{WIDTH}}  {print_}  {exception or '(not told)'}  {handler}")
    if len(plan.causes) > CAUSES:
        rest = sum(count for _, count in plan.causes.most_common()[CAUSES:])
        click.echo(f"  {rest:>9,}  of {len(plan.causes) - CAUSES} further causes")
    click.secho("by target", dim=True)
    for (state, topic), count in plan.targets.most_common():
        why = "came back too often" if state == "parked" and plan.errand.deed == "redrive" else ""
        tell(f"  {count:>9,}  {state:<8}  {topic or '(nothing is sent)'}{why and f'  ({why})'}")
    for why, (count, first) in plan.left.items():
        tell(f"  {count:>9,}  left as they are: {why} (first: {first})", fg="yellow")
    if plan.doubtful:
        click.secho(f"  {plan.doubtful:>9,}  have headers that cannot be read in part", fg="yellow")


def nothing(topic: str, plan: Plan, found: Catalogue) -> str:
    """Why there is nothing to do."""
    from kafkaboot.failure.replay.commands import command

    if plan.left:
        return "all of them are left as they are; see why above"
    wanted = plan.errand.selection.states
    others: dict[str, int] = {}
    for group in found.groups():
        if plan.errand.selection.cause(group.fingerprint, group.cause.exception, group.cause.handler):
            for state, count in group.states.items():
                if wanted and state not in wanted:
                    others[state] = others.get(state, 0) + count
    if others:
        told = ", ".join(f"{count:,} {state}" for state, count in others.items())
        state = next(iter(others))
        return f"no letter that is meant is {' or '.join(wanted)}; there are {told} (add --state {state} for those)"
    count = sum(group.cause.count for group in found.groups())
    if not count:
        return "the topic holds no letters"
    return f"none of the {count:,} letters is meant by that; all causes: {command('list', topic)}"


def question(plan: Plan, group_missing: Sequence[str]) -> str:
    """What is asked, with the exact count."""
    gone = f" (nobody is in group {', '.join(group_missing)})" if group_missing else ""
    noun = "letter" if plan.going == 1 else "letters"
    return f"{DOES[plan.errand.deed].capitalize()} {plan.going:,} {noun}{gone}?"


def tell_end(progress: Progress) -> None:
    """What has become of them."""
    counts = ", ".join(f"{count:,} {state}" for state, count in progress.counts.items()) or "no letter was touched"
    click.echo(f"job {progress.job.name} {progress.state}: {counts}")
    for why, count in progress.left.items():
        tell(f"  {count:,} left as they are: {why}", fg="yellow")
