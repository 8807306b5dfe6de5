"""Effects in a database, once: the inbox of handlers, and the outbox with its relay. SQLite and PostgreSQL.

Names load when they are first asked for: only an application that has a database loads SQLAlchemy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kafkaboot.sql.calls import InTransaction
    from kafkaboot.sql.database import Database, Databases, unclear
    from kafkaboot.sql.faults import DatabaseError, TablesError, need_sqlalchemy, no_such_database
    from kafkaboot.sql.inbox import Inbox
    from kafkaboot.sql.keys import Keys
    from kafkaboot.sql.outbox import Outbox
    from kafkaboot.sql.parameters import Wanted, wanted
    from kafkaboot.sql.rehearsal import Rehearsal
    from kafkaboot.sql.relay import Relay
    from kafkaboot.sql.settings import DatabaseSettings, OutboxSettings
    from kafkaboot.sql.tables import INBOX_TABLES, OUTBOX_TABLES

_FILES = {
    "Database": "database",
    "DatabaseError": "faults",
    "DatabaseSettings": "settings",
    "Databases": "database",
    "INBOX_TABLES": "tables",
    "InTransaction": "calls",
    "Inbox": "inbox",
    "Keys": "keys",
    "OUTBOX_TABLES": "tables",
    "Outbox": "outbox",
    "OutboxSettings": "settings",
    "Rehearsal": "rehearsal",
    "Relay": "relay",
    "TablesError": "faults",
    "Wanted": "parameters",
    "need_sqlalchemy": "faults",
    "no_such_database": "faults",
    "unclear": "database",
    "wanted": "parameters",
}

__all__ = [
    "INBOX_TABLES",
    "OUTBOX_TABLES",
    "Database",
    "DatabaseError",
    "DatabaseSettings",
    "Databases",
    "InTransaction",
    "Inbox",
    "Keys",
    "Outbox",
    "OutboxSettings",
    "Rehearsal",
    "Relay",
    "TablesError",
    "Wanted",
    "need_sqlalchemy",
    "no_such_database",
    "unclear",
    "wanted",
]


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_FILES[name]}"), name)
    globals()[name] = value
    return value
