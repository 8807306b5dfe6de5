"""The house's tables, and their DDL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    inspect,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable

from kafkaboot.sql.faults import DatabaseError, TablesError, told

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection, Dialect, Engine

    from kafkaboot.sql.settings import Tables

METADATA = MetaData()

POSITION = Table(
    "kafkaboot_inbox_position",
    METADATA,
    Column("consumer_group", String(255), primary_key=True),
    Column("topic", String(249), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("position", BigInteger, nullable=False),
)
"""One row a partition: everything before `position` is settled, -1 where nothing is known yet."""

RECORD = Table(
    "kafkaboot_inbox_record",
    METADATA,
    Column("consumer_group", String(255), primary_key=True),
    Column("topic", String(249), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("record_offset", BigInteger, primary_key=True, autoincrement=False),
)
"""Records settled beyond the position; deleted as it passes them."""

KEY = Table(
    "kafkaboot_inbox_key",
    METADATA,
    Column("consumer_group", String(255), primary_key=True),
    Column("handler", String(255), primary_key=True),
    Column("dedup_key", LargeBinary, primary_key=True),
    Column("seen_at", Double, nullable=False),
    Index("kafkaboot_inbox_key_seen", "consumer_group", "handler", "seen_at"),
)
"""Keys of records that were handled, with seconds since the epoch."""

OUTBOX = Table(
    "kafkaboot_outbox",
    METADATA,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("topic", String(249), nullable=False),
    Column("record_key", LargeBinary),
    Column("value", LargeBinary),
    Column("headers", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("published_at", Double),
    sqlite_autoincrement=True,
)
Index(
    "kafkaboot_outbox_waiting",
    OUTBOX.c.id,
    postgresql_where=OUTBOX.c.published_at.is_(None),
    sqlite_where=OUTBOX.c.published_at.is_(None),
)

LEASE = Table(
    "kafkaboot_outbox_lease",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("owner", String(255), nullable=False),
    Column("beat", BigInteger, nullable=False),
)
"""One row: which relay is at work, and a number that it raises while it lives."""

INBOX_TABLES = (POSITION, RECORD, KEY)
OUTBOX_TABLES = (OUTBOX, LEASE)


_INSERT: dict[str, Callable[[Table], Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


def insert_into(connection: Connection, table: Table) -> Any:
    """An INSERT of the database's own kind, which knows ON CONFLICT."""
    return _INSERT[connection.dialect.name](table)


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows whose primary keys are not there yet."""
    connection.execute(insert_into(connection, table).on_conflict_do_nothing(), rows)


def ddl(dialect: Dialect, tables: Sequence[Table]) -> str:
    """What makes the tables, as SQL of that database."""
    statements: list[str] = []
    for table in tables:
        statements.append(str(CreateTable(table, if_not_exists=True).compile(dialect=dialect)).strip())
        statements += [
            str(CreateIndex(index, if_not_exists=True).compile(dialect=dialect)).strip()
            for index in sorted(table.indexes, key=lambda index: str(index.name))
        ]
    return "".join(f"{statement};\n\n" for statement in statements)


def provide(engine: Engine, name: str, tables: Sequence[Table], policy: Tables) -> None:
    """Make the tables that are missing, or see that they are there, as the policy says.

    Args:
        engine: The database.
        name: Its name under `kafkaboot.databases`, for the texts.
        tables: The house's tables that are needed.
        policy: `create`, `validate` or `off`.

    Raises:
        TablesError: Some are missing, or lack columns.
        DatabaseError: The database does not answer, or refuses to make them.
    """
    if policy == "off":
        return
    try:
        refused: DBAPIError | None = None
        if policy == "create":
            try:
                METADATA.create_all(engine, tables=list(tables))
            except DBAPIError as error:  # another process may have made them at the same moment
                refused = error
        missing = _lacking(engine, tables)
    except SQLAlchemyError as error:
        raise unanswered(name, error) from error
    if missing:
        why = f": {told(refused)}" if refused is not None else ""
        raise TablesError(
            f"database {name!r} lacks {', '.join(missing)}{why}",
            where=f"kafkaboot.databases.{name}",
            todo=f"make them: `kafkaboot database ddl {name}` prints the SQL; or set kafkaboot.databases.{name}.tables "
            "to create",
        )


def lacking(engine: Engine, name: str, tables: Sequence[Table]) -> list[str]:
    """What of the tables is missing.

    Raises:
        DatabaseError: The database does not answer.
    """
    try:
        return _lacking(engine, tables)
    except SQLAlchemyError as error:
        raise unanswered(name, error) from error


def _lacking(engine: Engine, tables: Sequence[Table]) -> list[str]:
    found = inspect(engine)
    missing = []
    for table in tables:
        if not found.has_table(table.name):
            missing.append(table.name)
            continue
        there = {column["name"] for column in found.get_columns(table.name)}
        missing += [f"{table.name}.{column.name}" for column in table.columns if column.name not in there]
    return missing


def unanswered(name: str, error: BaseException) -> DatabaseError:
    """The database cannot be asked."""
    return DatabaseError(
        f"database {name!r} does not answer: {told(error)}",
        where=f"kafkaboot.databases.{name}",
        todo="see whether it runs and lets this user in; the URL is kafkaboot.databases."
        f"{name}.url (`kafkaboot config explain` tells where it is written)",
    )
