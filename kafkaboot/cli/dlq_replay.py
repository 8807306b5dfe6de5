"""`kafkaboot dlq replay`, `park` and `resolve`: one job, three ways to be done with letters."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from kafkaboot.cli.dlq_options import as_whom, cluster, unasked, which_letters, workbench
from kafkaboot.cli.lazy_group import examples
from kafkaboot.cli.options import Choice, as_json, which_application

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kafkaboot.failure.replay import Catalogue, Errand, Job, Plan, Selection, Workbench
    from kafkaboot.failure.replay.jobs import Deed

NEW_ONLY = ("new",)


def _rate(_: click.Context, __: click.Parameter, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        rate = float(text.removesuffix("/s"))
    except ValueError:
        rate = 0.0
    if not 0.1 <= rate <= 1_000_000:
        raise click.BadParameter(f"{text!r} is no rate; write for example 200/s (at least 0.1)")
    return rate


_named = click.option("--job", "name", metavar="NAME", help="The job's name; one that was interrupted goes on.")
_dry = click.option("--dry-run", is_flag=True, help="Count and show; touch nothing.")


@click.command(
    short_help="send records again to where they came from",
    epilog=examples(
        "kafkaboot dlq replay orders.shop.dlt --exception CardRefused --dry-run",
        "kafkaboot dlq replay orders.shop.dlt --fingerprint 3fa9 --rate 200/s",
        "kafkaboot dlq replay orders.shop.dlt --record 0@17 --yes",
        "kafkaboot dlq replay orders.shop.dlt --all --to orders.again",
    ),
)
@click.argument("topic")
@which_application(argument=False)
@which_letters(states=NEW_ONLY)
@click.option("--to", metavar="TOPIC", help="Send there, not to the topic that each came from.")
@click.option("--rate", callback=_rate, metavar="N/s", help="So many records a second at most.")
@click.option(
    "--max-rounds",
    type=click.IntRange(1, 1000),
    default=3,
    show_default=True,
    help="A record that was sent again so often is parked.",
)
@_named
@_dry
@as_whom
@unasked
@as_json
def replay(
    choice: Choice,
    *,
    topic: str,
    selection: Selection,
    narrowed: bool,
    to: str | None,
    rate: float | None,
    max_rounds: int,
    name: str | None,
    dry_run: bool,
    by: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Send the records of letters of TOPIC again: with their own key, value and headers, to the topic they came from.

    Every group that reads that topic gets them again; --to sends elsewhere.

    Letters stay where they are, with the state "retried". It is a job with a consumer group of its own,
    TOPIC.redrive.NAME: what is committed there was acknowledged by the broker before. Ctrl-C ends it behind the batch
    at work; after that, or after a kill, the same command goes on where it stood, and repeats at most one batch of 500
    that was not acknowledged. Records get the time at which they are sent, since retention would delete old ones.
    """
    _do(
        choice,
        topic,
        "redrive",
        selection,
        narrowed=narrowed,
        to=to,
        max_rounds=max_rounds,
        name=name,
        dry_run=dry_run,
        by=by,
        yes=yes,
        as_json=as_json,
        rate=rate,
    )


@click.command(
    short_help="move letters aside",
    epilog=examples("kafkaboot dlq park orders.shop.dlt --fingerprint 3fa9"),
)
@click.argument("topic")
@which_application(argument=False)
@which_letters(states=NEW_ONLY)
@_named
@_dry
@as_whom
@unasked
@as_json
def park(choice: Choice, *, topic: str, selection: Selection, **rest: Any) -> None:
    """Write letters of TOPIC to TOPIC.parked as they are, where they stay until somebody decides.

    That topic is one of letters as well: list it, show and replay its letters in the same way.
    """
    _do(choice, topic, "park", selection, **rest)


@click.command(
    short_help="say that letters are settled; nothing is sent",
    epilog=examples("kafkaboot dlq resolve orders.shop.dlt --record 0@17"),
)
@click.argument("topic")
@which_application(argument=False)
@which_letters(states=NEW_ONLY)
@_named
@_dry
@as_whom
@unasked
@as_json
def resolve(choice: Choice, *, topic: str, selection: Selection, **rest: Any) -> None:
    """Give letters of TOPIC the state "resolved": somebody has seen to them by other means."""
    _do(choice, topic, "resolve", selection, **rest)


def _do(
    choice: Choice,
    topic: str,
    deed: Deed,
    selection: Selection,
    *,
    narrowed: bool,
    name: str | None,
    dry_run: bool,
    by: str | None,
    yes: bool,
    as_json: bool,
    to: str | None = None,
    max_rounds: int = 3,
    rate: float | None = None,
) -> None:
    from kafkaboot.cli.output import write_json
    from kafkaboot.failure.replay import Errand
    from kafkaboot.failure.replay.commands import command

    if as_json and not dry_run and not yes:
        raise click.UsageError("With --json nobody is asked: add --yes, or --dry-run")
    connection = cluster(choice)
    with workbench(connection, topic, by) as bench:
        found = bench.catalogue()
        errand = Errand(deed, selection, to, max_rounds)
        job = _interrupted(bench, found, errand, name, narrowed=narrowed)
        if job is not None and not dry_run:
            _go_on(bench, topic, job, rate, yes=yes, as_json=as_json)
            return
        if not narrowed and job is None:
            unknown = f"There is no job {name}; those that there are: {command('jobs', topic)}. " if name else ""
            raise click.UsageError(
                f"{unknown}Say which letters: --fingerprint, --exception, --handler, --record, ..., or --all"
            )
        plan = bench.plan(errand if job is None else job.errand, found)
        if dry_run and as_json:
            write_json({**plan.as_json(), "groups_without_members": _absent(bench, plan)})
            return
        if not _asked(bench, topic, plan, found, dry_run=dry_run, yes=yes, as_json=as_json):
            return
        _work(bench, bench.begin(plan, found, name), rate, as_json=as_json)


def _interrupted(bench: Workbench, found: Catalogue, errand: Errand, name: str | None, *, narrowed: bool) -> Job | None:
    """The job that is meant, where it has begun already."""
    from kafkaboot.failure.replay.commands import of_errand

    if name is None:
        return bench.unfinished(errand, found) if narrowed else None
    job = found.contents.jobs.get(name)
    if job is None:
        return None
    if job.state == "finished":
        raise click.UsageError(f"Job {name} has finished. Choose another name, or leave --job out.")
    if job.errand.deed != errand.deed or (narrowed and job.errand != errand):
        raise click.UsageError(
            f"Job {name} does something else: {of_errand(bench.topic, job.errand)}. "
            f"Give its name alone to go on with it, or choose another."
        )
    return job


def _go_on(bench: Workbench, topic: str, job: Job, rate: float | None, *, yes: bool, as_json: bool) -> None:
    from kafkaboot.cli.output import say
    from kafkaboot.failure.replay.commands import of_errand

    say(f"job {job.name} of {job.by} was interrupted: {of_errand(topic, job.errand)}", fg="yellow")
    if not yes:
        click.confirm("Go on with it?", default=True, abort=True)
    _work(bench, job, rate, as_json=as_json)


def _asked(
    bench: Workbench, topic: str, plan: Plan, found: Catalogue, *, dry_run: bool, yes: bool, as_json: bool
) -> bool:
    """Tell what it comes to; answers whether it is to be done."""
    from kafkaboot.cli.dlq_told import nothing, question, tell_plan
    from kafkaboot.cli.output import LONGEST, say, write_json
    from kafkaboot.failure.replay.commands import command, of_errand
    from kafkaboot.message import printable

    if plan.selected and not as_json:
        tell_plan(plan)
    if not plan.going:
        if as_json:
            write_json({"job": None, **plan.as_json()})
        else:
            click.echo(f"nothing to do: {nothing(topic, plan, found)}")
        return False
    for other in found.contents.jobs.values():
        if other.state == "running" and other.errand.deed == plan.errand.deed:
            say(
                f"job {other.name} of {other.by} runs, or was killed: letters that both mean may be sent twice; "
                f"see {command('jobs', topic)}",
                fg="yellow",
            )
    absent = _absent(bench, plan)
    for group in absent:
        say(f"nobody is in group {group} now: the records wait in their topic until it runs", fg="yellow")
    if dry_run:
        click.echo(f"dry run: {plan.going:,} of {plan.selected:,} letters; nothing was touched")
        click.echo(f"to do it: {of_errand(topic, plan.errand)}")
        return False
    if not yes:
        click.confirm(printable(question(plan, absent), LONGEST), abort=True)
    return True


def _absent(bench: Workbench, plan: Plan) -> list[str]:
    return bench.absent(plan.groups) if plan.errand.deed == "redrive" and plan.errand.to is None else []


def _work(bench: Workbench, job: Job, rate: float | None, *, as_json: bool) -> None:
    from kafkaboot.cli.dlq_progress import Line
    from kafkaboot.cli.dlq_told import tell_end
    from kafkaboot.cli.output import say, write_json
    from kafkaboot.failure.replay.commands import VERBS, command

    again = command(VERBS[job.errand.deed], bench.topic, None, ["--job", job.name])
    say(f"job {job.name}, group {job.group(bench.topic)}; after a kill: {again}", dim=True)
    line = Line()
    with _first_interrupt() as stopping:
        try:
            progress = bench.work(job, rate=rate, stopping=stopping, heard=line.redriving)
        finally:
            line.clear()
    if as_json:
        write_json({"job": job.name, "state": progress.state, "counts": progress.counts, "left": progress.left})
    else:
        tell_end(progress)
    if progress.state == "stopped":
        say(f"to go on: {again}")


@contextmanager
def _first_interrupt() -> Iterator[Callable[[], bool]]:
    """Answers whether Ctrl-C was typed, or SIGTERM sent; a second one ends the process in the middle of it."""
    heard: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def on_signal(number: int, _: Any) -> None:
        if heard:
            raise KeyboardInterrupt
        heard.append(number)

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield lambda: bool(heard)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
