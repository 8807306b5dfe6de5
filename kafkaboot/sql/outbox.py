"""The outbox: what is to be published is written as a row in the application's own transaction; a relay publishes it.

So a record is published if and only if the transaction is committed, and no broker is needed for that.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, event, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session, registry

from kafkaboot.errors import PublishError
from kafkaboot.message.headers import CE_ID
from kafkaboot.producer import Envelope, explained, key_bytes
from kafkaboot.sql.tables import OUTBOX

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.message import Headers

    AnySession = Session | AsyncSession | Connection
    GivenHeaders = Mapping[str, str | bytes | None] | list[tuple[str, str | bytes | None]]

_WAKE = "kafkaboot_wake"


class OutboxRow:
    """One row, for sessions."""

    def __init__(self, **values: Any) -> None:
        for name, value in values.items():
            setattr(self, name, value)


registry(metadata=OUTBOX.metadata).map_imperatively(OutboxRow, OUTBOX)


class Outbox:
    """Writes rows to be published.

    Args:
        envelope: Makes headers and values, as the application's producer does.
    """

    def __init__(self, envelope: Envelope | None = None) -> None:
        self._envelope = envelope or Envelope()
        self._prefix, self._next = secrets.token_hex(8), count(1).__next__
        self.woken = threading.Event()

    def add(
        self,
        session: AnySession,
        topic: str,
        payload: Any,
        *,
        key: str | bytes | int | None = None,
        headers: GivenHeaders | None = None,
        type: str | None = None,  # noqa: A002 - as `@publisher` calls it
    ) -> str:
        """Let a record be published once the session's transaction is committed; answers its `ce_id`.

        Rows of a key are published in the order in which they were added, those of transactions that ran one after the
        other as well. A kill of the relay may publish a row more than once, always with the same `ce_id`: a handler
        with `inbox_key="ce_id"` takes it once. Nothing is sent here, and nothing awaited: a session writes its rows when it is
        flushed.

        Args:
            session: A `Session`, `AsyncSession` or `Connection`; `add_async` is for an `AsyncConnection`.
            topic: Where it goes.
            payload: As for `Producer.publish`.
            key: The key, for the order and the partition.
            headers: The record's headers, beside the envelope's.
            type: The event name to write instead of the payload's own.

        Raises:
            UnencodableError: The payload cannot be encoded.
            PublishError: A key or headers of a wrong type, or no session.
        """
        row, name = self._row(topic, payload, key, headers, type)
        if isinstance(session, Session | AsyncSession):
            plain = session.sync_session if isinstance(session, AsyncSession) else session
            plain.add(OutboxRow(**row))
            if _WAKE not in plain.info:
                plain.info[_WAKE] = self.woken.set
                event.listen(plain, "after_commit", _wake_session, once=True)
        elif isinstance(session, Connection):
            session.execute(insert(OUTBOX), row)
            self.woken.set()
        else:
            raise PublishError(
                f"a row of the outbox is written by a Session, an AsyncSession or a Connection, and this is a "
                f"{type_of(session)}",
                code="NO_SESSION",
                fate="nothing was written",
                todo="`await outbox.add_async(connection, ...)` is for an AsyncConnection",
            )
        return name

    async def add_async(
        self,
        connection: AsyncConnection,
        topic: str,
        payload: Any,
        *,
        key: str | bytes | int | None = None,
        headers: GivenHeaders | None = None,
        type: str | None = None,  # noqa: A002
    ) -> str:
        """The same for an `AsyncConnection`; the row is written when it returns."""
        row, name = self._row(topic, payload, key, headers, type)
        await connection.execute(insert(OUTBOX), row)
        self.woken.set()
        return name

    def _row(
        self, topic: str, payload: Any, key: Any, given: GivenHeaders | None, type_name: str | None
    ) -> tuple[dict[str, Any], str]:
        plan = self._envelope.plan(type(payload), type_name) if type_name else self._envelope.plans[type(payload)]
        try:
            value = plan.encode(payload)
        except Exception as error:
            raise explained(error, payload) from error
        headers = self._envelope.headers(plan, given) or []
        known = next((value for name, value in headers if name == CE_ID and value), None)
        if known is None:
            known = f"{self._prefix}-{self._next()}".encode()
            headers = [(CE_ID, known), *headers]
        row = {
            "topic": topic,
            "record_key": key_bytes(key),
            "value": value,
            "headers": written(headers),
            "created_at": time.time(),
            "published_at": None,
        }
        return row, known.decode("utf-8", "replace")


def written(headers: Headers) -> str:
    """Headers as they stand in a row: JSON, each value in Base64."""
    return json.dumps(
        [[name, None if value is None else base64.b64encode(value).decode()] for name, value in headers],
        separators=(",", ":"),
    )


def read(text: str) -> Headers:
    """What `written` wrote."""
    return [(name, None if value is None else base64.b64decode(value)) for name, value in json.loads(text)]


def type_of(value: object) -> str:
    """A class's name."""
    return type(value).__name__


def wake_after(session: Any) -> None:
    """The transaction that a session took part in is committed: the relay need not wait for its next look."""
    info: dict[str, Any] = getattr(session, "info", {})
    wake: Callable[[], None] | None = info.pop(_WAKE + "_late", None)
    if wake is not None:
        wake()


def _wake_session(session: Session) -> None:
    wake: Callable[[], None] | None = session.info.pop(_WAKE, None)
    if wake is None:
        return
    if isinstance(session.bind, Connection):
        session.info[_WAKE + "_late"] = wake  # its commit is its connection's, and comes later
    else:
        wake()
