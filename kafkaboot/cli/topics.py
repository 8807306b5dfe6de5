"""`kafkaboot topics`: topics as code."""

from __future__ import annotations

import click

from kafkaboot.cli.lazy_group import Entry, LazyGroup, examples

SECTIONS = {
    "Look": {
        "plan": Entry("kafkaboot.cli.topics_plan:plan", "what would change, and what is left alone"),
    },
    "Do": {
        "apply": Entry("kafkaboot.cli.topics_apply:apply", "create topics, change settings, add partitions"),
    },
}


@click.group(
    cls=LazyGroup,
    sections=SECTIONS,
    short_help="topics as code: plan, apply",
    epilog=examples(
        "kafkaboot topics plan --profile prod",
        "kafkaboot topics apply --profile prod --yes",
        "kafkaboot topics apply --add-partitions orders",
    ),
)
def topics() -> None:
    """Make the cluster's topics what the application says: its decorators, and kafkaboot.topics in YAML.

    The topics of retries and dead letters are among them, as large as those that their records come from.

    Nothing is ever taken away: no topic, no partition, no record, no setting that keeps or protects some.
    """
