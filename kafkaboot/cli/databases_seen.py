"""Whether the databases of inboxes and the outbox answer, have their tables, and enough connections."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from kafkaboot.errors import KafkabootError
from kafkaboot.sql import Databases, OutboxSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kafkaboot.boot.blueprint import Blueprint
    from kafkaboot.cli.examination import Finding
    from kafkaboot.sql import Database


def databases(blueprint: Blueprint) -> Iterator[Finding]:
    """One finding for each that is used; none where nothing is. Those that the application brings are not looked at."""
    from kafkaboot.cli.examination import Finding

    configuration, used = blueprint.configuration, defaultdict[str, int](int)
    section = "kafkaboot.databases"
    if not configuration.mentions(section):
        return
    from kafkaboot.sql import INBOX_TABLES, OUTBOX_TABLES

    found = Databases(configuration.bind(section, blueprint.sections[section]))
    try:
        for handler in blueprint.handlers:
            if handler.spec.inbox:
                database = found.get(None if handler.spec.inbox is True else handler.spec.inbox)
                database.need(INBOX_TABLES)
                used[database.name] += handler.spec.concurrency
        if configuration.mentions("kafkaboot.outbox"):
            database = found.get(configuration.bind("kafkaboot.outbox", OutboxSettings).database)
            database.need(OUTBOX_TABLES)
            used[database.name] += 1
    except KafkabootError as error:
        yield Finding("databases", "fail", error.what, error.todo)
        return
    for name, transactions in used.items():
        database = found.get(name)
        yield _looked_at(database)
        connections = 3 * database.settings.pool_size
        if transactions > connections:
            yield Finding(
                f"database {name}",
                "warn",
                f"{transactions} transactions may be open at once, and there are {connections} connections",
                f"raise kafkaboot.databases.{name}.pool-size, or lower the handlers' concurrency",
            )


def _looked_at(database: Database) -> Finding:
    from kafkaboot.cli.examination import Finding

    subject, made = f"database {database.name}", database.settings.tables == "create"
    path = database.engine.url.database or ""
    if database.kind == "sqlite" and not Path(path).exists():  # to look would make it
        return Finding(subject, "ok", f"{path} is made at start")
    try:
        lacking = database.lacking()
    except KafkabootError as error:
        return Finding(subject, "fail", error.what, error.todo)
    finally:
        database.engine.dispose()
    if not lacking:
        return Finding(subject, "ok", f"{database.kind} answers, and has its tables")
    todo = "they are made at start" if made else f"make them: `kafkaboot database ddl {database.name}` prints the SQL"
    return Finding(subject, "warn" if made else "fail", f"it lacks {', '.join(lacking)}", todo)
