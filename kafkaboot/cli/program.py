"""`kafkaboot`: all commands by name. Loading this file loads click and nothing else."""

from __future__ import annotations

import os
from typing import Any

import click

from kafkaboot.cli.lazy_group import Entry, LazyGroup, examples

SECTIONS = {
    "Run": {
        "run": Entry("kafkaboot.cli.run:run", "run an application until Ctrl-C or SIGTERM"),
        "dev": Entry("kafkaboot.cli.dev:dev", "run an application while you write it"),
        "broker": Entry("kafkaboot.cli.broker:broker", "start a Kafka to develop against"),
    },
    "Begin": {
        "new": Entry("kafkaboot.cli.new:new", "write a small application that runs and passes its tests"),
    },
    "See what an application is made of": {
        "handlers": Entry("kafkaboot.cli.handlers:handlers", "what is wired, and where it is defined"),
        "config": Entry("kafkaboot.cli.config:config", "every value with its origin: show, check, explain, schema"),
        "doctor": Entry("kafkaboot.cli.doctor:doctor", "look for what will go wrong, and say what to do"),
    },
    "Look after topics": {
        "topics": Entry("kafkaboot.cli.topics:topics", "topics as code: plan, apply"),
    },
    "Look after databases": {
        "database": Entry("kafkaboot.cli.database:database", "databases with an inbox or an outbox: ddl"),
    },
    "Look at records, and write some": {
        "publish": Entry("kafkaboot.cli.publish:publish", "write a record, checked by the application's own type"),
        "tail": Entry("kafkaboot.cli.tail:tail", "show records of a topic as they come"),
        "probe": Entry("kafkaboot.cli.probe:probe", "a record through the real handler, and nothing gets out"),
        "lag": Entry("kafkaboot.cli.lag:lag", "how far behind each group is"),
    },
    "Measure": {
        "bench": Entry("kafkaboot.cli.bench:bench", "what the broker gives, and what a handler takes"),
    },
    "When handlers failed": {
        "dlq": Entry("kafkaboot.cli.dlq:dlq", "dead letters: list, show, edit, replay, purge"),
    },
}


class Program(LazyGroup):
    """The outermost group: it turns errors into texts and exit codes."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of the house's own tree ends it with the text and exit code that belong to it."""
        from kafkaboot.errors import KafkabootError

        if os.environ.get("NO_COLOR"):
            ctx.color = False
        try:
            return super().invoke(ctx)
        except KafkabootError as error:
            from kafkaboot.cli.failure import tell

            ctx.exit(tell(error))


def _version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        import kafkaboot

        click.echo(f"kafkaboot {kafkaboot.__version__}")
        ctx.exit()


@click.group(
    cls=Program,
    sections=SECTIONS,
    epilog=examples(
        "kafkaboot new shop && cd shop && kafkaboot dev",
        "kafkaboot run --profile dev --set shop.generator.rate=100",
        "kafkaboot COMMAND --help",
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Say the version.")
def kafkaboot() -> None:
    """Spring Boot for Kafka, in Python: decorate functions, write an application.yaml, run."""
