"""The outbox: what is to be published is written as a row in the application's own transaction; a relay publishes it.

So a record is published if and only if the transaction is committed, and no broker is needed for that.
"""

from __future__ import annotations

import secrets
import threading
import time
from itertools import count
from typing import TYPE_CHECKING, Any

from kafkaboot.message.headers import CE_ID
from kafkaboot.producer import Envelope, explained, key_bytes

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
    from sqlalchemy.orm import Session

    from kafkaboot.health import Health
    from kafkaboot.producer import GivenHeaders
    from kafkaboot.sql.relay import Relay

    AnySession = Session | AsyncSession | Connection


class Outbox:
    """Writes rows to be published.

    Args:
        envelope: Makes headers and values, as the application's producer does.

    Attributes:
        woken: Set when rows were committed in this process.
        relay: What publishes them; `None` where nothing does.
    """

    name = "outbox"

    def __init__(self, envelope: Envelope | None = None) -> None:
        self.relay: Relay | None = None
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
        with `inbox_key="ce_id"` takes it once. Nothing is sent here, and nothing awaited: a session writes its rows
        when it is flushed.

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
        from kafkaboot.sql import rows

        row, name = self._row(topic, payload, key, headers, type)
        rows.add(session, row, self.woken.set)
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
        from kafkaboot.sql import rows

        row, name = self._row(topic, payload, key, headers, type)
        await rows.add_async(connection, row)
        return name

    # --- the relay

    def start(self) -> None:
        """See to the tables, and let the relay begin. Blocks.

        Raises:
            DatabaseError: The database does not answer, or its tables are missing.
        """
        if self.relay is not None:
            self.relay.database.prepare()
            self.relay.start()

    def stop(self) -> None:
        """Finish what is on its way. Blocks."""
        if self.relay is not None:
            self.relay.stop()

    def health(self) -> Health:
        """See `HealthIndicator`."""
        from kafkaboot.health import Health, Status

        return self.relay.health() if self.relay is not None else Health(Status.UP, {"role": "writes only"})

    def _row(
        self, topic: str, payload: Any, key: Any, given: GivenHeaders | None, type_name: str | None
    ) -> tuple[dict[str, Any], str]:
        from kafkaboot.sql import rows

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
            "headers": rows.written(headers),
            "created_at": time.time(),
            "published_at": None,
        }
        return row, known.decode("utf-8", "replace")
