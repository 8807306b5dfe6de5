"""`kafkaboot bench`: what the broker gives, and what a handler takes."""

from __future__ import annotations

import click

from kafkaboot.cli.lazy_group import Entry, LazyGroup, examples

SECTIONS = {
    "Measure": {
        "all": Entry(
            "kafkaboot.cli.bench_commands:everything", "the four of a broker, one after the other (the default)"
        ),
        "produce": Entry("kafkaboot.cli.bench_commands:produce", "records out: records/s, MB/s, time to acknowledge"),
        "consume": Entry("kafkaboot.cli.bench_commands:consume", "records through a handler that does nothing"),
        "latency": Entry("kafkaboot.cli.bench_commands:latency", "from send to the handler's first line, at a rate"),
        "transactions": Entry("kafkaboot.cli.bench_commands:transactions", "producer.transaction(), by its records"),
        "handler": Entry("kafkaboot.cli.bench_handler:handler", "a handler of the application, in the real engine"),
    }
}

FIGURES = """

\b
With --json, one object: `schema` (1), `version`, `broker`, `settings`, and
  measurements  measurement, size, batch, rate, notes, vs_bare, and `kafkaboot`
                and `bare`: records, records_per_second, megabytes_per_second,
                transactions_per_second, cpu_us_per_record, ms {p50, p95, p99, max}
  failed        measurement, error
  left_behind   topics and groups that could not be deleted
  interrupted   whether Ctrl-C ended it
Exit code 0; 1 if a measurement failed or something is left behind; 4 if no
broker answers; 130 after Ctrl-C.
"""


class Measurements(LazyGroup):
    """Without the name of a measurement it is all of them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """`kafkaboot bench --yes` is `kafkaboot bench all --yes`."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = ["all", *args]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed


@click.group(
    cls=Measurements,
    sections=SECTIONS,
    epilog=examples(
        "kafkaboot bench",
        "kafkaboot bench produce --size 1KB,10KB --compression lz4 --seconds 10",
        "kafkaboot bench latency --rate 5000 --preset low-latency --profile prod",
        "kafkaboot bench transactions --batches 1,100 --json --yes",
        "kafkaboot bench handler bill --last 50000",
    )
    + FIGURES,
)
def bench() -> None:
    """Measure the broker that the application's configuration names, and handlers of the application.

    Produce, consume and transactions run in turn with confluent-kafka alone, and "vs bare" is the ratio of records a
    second: absolute figures move from machine to machine. Topics and groups are its own (kafkaboot-bench-...) and are
    deleted in the end. On an external broker it asks before it begins.
    """
