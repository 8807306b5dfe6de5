"""What `topics plan` and `topics apply` have in common: which application, and the plan for it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from kafkaboot.errors import WiringError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kafkaboot.cli.options import Choice
    from kafkaboot.client import AdminPort
    from kafkaboot.topics import Plan

may_grow = click.option(
    "--add-partitions",
    "consent",
    multiple=True,
    metavar="TOPIC",
    help="Let TOPIC grow though its keys move to other partitions; may be repeated.",
)


@contextmanager
def drawn(choice: Choice, consent: tuple[str, ...]) -> Iterator[tuple[AdminPort, Plan]]:
    """The plan, and the client to carry it out with.

    Raises:
        KafkabootError: The application cannot be wired, so that nobody knows what it wants.
        UsageError: Consent is given for a topic that is none of the application's.
    """
    from kafkaboot.boot.running import topics_wanted_by
    from kafkaboot.cli.connection import TIMEOUT, connect
    from kafkaboot.topics import draw

    connection = connect(choice)
    if connection.trouble is not None:
        raise connection.trouble
    if connection.blueprint is None:
        raise WiringError(
            "there is no application here, so that nobody says which topics are wanted",
            todo="go to its folder, or name it: --app PACKAGE, a folder or a YAML file",
        )
    wanted = topics_wanted_by(connection.blueprint)
    names = [one.name for one in wanted]
    unknown = [name for name in consent if name not in names]
    if unknown:
        raise click.UsageError(
            f"--add-partitions {unknown[0]}: the application has no such topic; there are: {', '.join(names) or 'none'}"
        )
    admin = connection.clients.admin()
    try:
        yield admin, draw(admin, wanted, consent=consent, single_broker=connection.single_broker, timeout=TIMEOUT)
    finally:
        admin.close()
