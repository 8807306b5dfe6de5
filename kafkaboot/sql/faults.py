"""What goes wrong with a database, in the house's words; nothing here needs SQLAlchemy."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from kafkaboot.config import mask_within, nearest
from kafkaboot.errors import ConfigurationError, DeclarationError, KafkabootError

if TYPE_CHECKING:
    from collections.abc import Iterable

LEAST = "2.0"


class DatabaseError(KafkabootError):
    """A database cannot be used as it is: it does not answer, or its tables are missing or of another form."""

    retriable = True


class TablesError(DatabaseError):
    """The house's tables are missing, or are not as they must be."""

    retriable = False


def told(error: BaseException) -> str:
    """An error of SQLAlchemy in one line, without statement and parameters: records stand in those."""
    said = getattr(error, "orig", None) or error
    return mask_within(" ".join(f"{type(said).__name__}: {said}".split()))


def need_sqlalchemy(what: str, where: str = "") -> None:
    """See that SQLAlchemy is there; it is looked for, not imported.

    Raises:
        ConfigurationError: It is not installed.
    """
    if importlib.util.find_spec("sqlalchemy") is None:
        raise ConfigurationError(
            f"{what} needs SQLAlchemy {LEAST} or later, which is not installed",
            where=where,
            todo="pip install 'kafkaboot[sql]', and the driver of your database: 'psycopg[binary]' for PostgreSQL, "
            "aiosqlite for `async def` handlers on SQLite",
        )


def no_such_database(name: str, known: Iterable[str], what: str, where: str) -> DeclarationError:
    """Somebody named a database that does not exist."""
    names = sorted(known)
    near = nearest(name, names)
    listed = f"those that exist: {', '.join(names)}" if names else f"write kafkaboot.databases.{name}: {{url: ...}}"
    return DeclarationError(
        f"{what} names the database {name!r}, which does not exist",
        where=where,
        todo=f"did you mean `{near}`?" if near else listed,
    )
