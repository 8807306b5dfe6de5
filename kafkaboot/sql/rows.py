"""Rows of the outbox: how they are written by sessions and connections, and what of a record stands in them."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, event, insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, registry

from kafkaboot.errors import PublishError
from kafkaboot.sql.tables import OUTBOX

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.ext.asyncio import AsyncConnection

    from kafkaboot.message import Headers

WAKE, LATE = "kafkaboot_wake", "kafkaboot_wake_late"
"""Where a session keeps whom to wake when it is committed, and when the transaction that it took part in is."""


class OutboxRow:
    """One row, for sessions."""

    def __init__(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)


registry(metadata=OUTBOX.metadata).map_imperatively(OutboxRow, OUTBOX)


def add(session: object, row: dict[str, Any], wake: Callable[[], None]) -> None:
    """Write a row with the session's next flush, or at once on a connection.

    Raises:
        PublishError: It is neither.
    """
    if isinstance(session, Session | AsyncSession):
        plain = session.sync_session if isinstance(session, AsyncSession) else session
        plain.add(OutboxRow(**row))
        if WAKE not in plain.info:
            plain.info[WAKE] = wake
            event.listen(plain, "after_commit", _session_committed, once=True)
    elif isinstance(session, Connection):
        session.execute(insert(OUTBOX), row)
    else:
        raise PublishError(
            f"a row of the outbox is written by a Session, an AsyncSession or a Connection, and this is a "
            f"{type(session).__name__}",
            code="NO_SESSION",
            fate="nothing was written",
            todo="`await outbox.add_async(connection, ...)` is for an AsyncConnection",
        )


async def add_async(connection: AsyncConnection, row: dict[str, Any]) -> None:
    """Write a row at once."""
    await connection.execute(insert(OUTBOX), row)


def transaction_committed(session: Any) -> None:
    """The transaction that a session took part in is committed: the relay need not wait for its next look."""
    wake: Callable[[], None] | None = getattr(session, "info", {}).pop(LATE, None)
    if wake is not None:
        wake()


def _session_committed(session: Session) -> None:
    wake: Callable[[], None] | None = session.info.pop(WAKE, None)
    if wake is None:
        return
    if isinstance(session.bind, Connection):
        session.info[LATE] = wake  # its commit is its connection's, and comes later
    else:
        wake()


def written(headers: Headers) -> str:
    """Headers as they stand in a row: JSON, each value in Base64."""
    return json.dumps(
        [[name, None if value is None else base64.b64encode(value).decode()] for name, value in headers],
        separators=(",", ":"),
    )


def read(text: str) -> Headers:
    """What `written` wrote."""
    return [(name, None if value is None else base64.b64decode(value)) for name, value in json.loads(text)]
