"""`kafkaboot bench handler`: a handler of the application, in the real engine, on topics of the measurement."""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout
from typing import TYPE_CHECKING

import click

from kafkaboot.cli.bench_options import Wish, measured
from kafkaboot.cli.bench_shown import show_handler
from kafkaboot.cli.lazy_group import examples

if TYPE_CHECKING:
    from kafkaboot.boot.pipeline import Handler
    from kafkaboot.cli.bench_feed import Feed
    from kafkaboot.cli.bench_session import Session

SECONDS = 30.0


@click.command(
    short_help="a handler of the application, in the real engine",
    epilog=examples(
        "kafkaboot bench handler bill",
        "kafkaboot bench handler bill --from orders.jsonl --records 100000",
        "kafkaboot bench handler bill --last 50000 --profile prod --json --yes",
    ),
)
@click.argument("handler")
@measured("10,000, or as many as are given", "30s")
@click.option("--from", "path", type=click.Path(dir_okay=False), help="Records, one a line: values, or `tail --json`.")
@click.option(
    "--last", type=click.IntRange(1, 10_000_000), metavar="N", help="The last N records of its topic, without a group."
)
def handler(wish: Wish, *, handler: str, path: str | None, last: int | None) -> None:
    """Run HANDLER over records and show how fast it is, and how much of that is its own time.

    Without --from or --last they are samples of its type. Its components are built and started, and its decoding,
    lanes, timeout, circuit and retry policy are the application's. It reads a topic of the measurement in a group of
    its own; what it publishes through the application's Producer and @publishers, and its dead letters, go to such
    topics too, and @on_dead_letter functions hear of nothing. Everything else that it does really happens, once for
    each record: writes to a database, calls of other services. So it asks first.

    Watching costs about half a microsecond a record, which counts as "around" the handler.

    With --json the line in `measurements` has handler, where, batch, records, seconds, records_per_second,
    cpu_us_per_record, handler_cpu_us_per_record, ms, calls, failures, became, published, notes, source.
    """
    from kafkaboot.cli.bench_session import Session
    from kafkaboot.testing import Probe

    if path is not None and last is not None:
        raise click.UsageError("--from and --last both say which records; give one of them")
    session = Session(wish, rounds=1, seconds=SECONDS)
    if session.connection.trouble is not None:
        raise session.connection.trouble
    probing = Probe(session.connection.application)
    try:
        wanted = probing.handler(handler)
    except LookupError as error:
        raise click.UsageError(str(error.args[0])) from error
    session.connection.reach()
    feed = _feed(session, wanted, path, last)
    megabytes = 2 * sum(len(one.value or b"") for one in feed.records) / 1e6

    def measure() -> None:
        from kafkaboot.testing import bench

        # A program reads the answer on standard output; what the handler prints is none of it.
        with redirect_stdout(sys.stderr) if wish.as_json else nullcontext():
            found = session.one(
                f"handler {handler}",
                lambda ground, plan, progress: bench.measure_handler(
                    probing,
                    handler,
                    ground,
                    feed.records,
                    progress,
                    source=feed.source,
                    seconds=plan.seconds,
                    partitions=wish.partitions,
                    overrides=wish.overrides(),
                ),
            )
        for one in found:
            if not wish.as_json:
                show_handler(one)

    warning = (
        f"{handler} ({wanted.spec.where}) is going to be called for {len(feed.records):,} records ({feed.source}). "
        "What it publishes is kept away from the real topics; whatever else it does, to databases or other services, "
        "really happens."
    )
    session.run(measure, megabytes, warning)


def _feed(session: Session, handler: Handler, path: str | None, last: int | None) -> Feed:
    from kafkaboot.cli.bench_feed import last_of, made_up, of_file

    records = session.wish.records
    if path is not None:
        return of_file(path, handler, records)
    if last is not None:
        return last_of(session.connection.clients, handler, last, records)
    return made_up(handler, records)
