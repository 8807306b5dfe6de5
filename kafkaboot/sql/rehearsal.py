"""A handler's call in a transaction that is rolled back, whatever comes of it: for a look at what it would do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafkaboot.sql.calls import CURRENT, JOINED

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.sql.database import Database


class Rehearsal:
    """Calls one handler (`consumer.Around`); nothing of it stays in the database, and no position is looked at.

    Args:
        database: Where it is called.
        session: The class of the session that it takes; `None` for a connection.
        is_async: Whether it is an `async def`.
    """

    def __init__(self, database: Database, *, session: type | None, is_async: bool) -> None:
        self._database, self._session, self._is_async = database, session, is_async

    def current(self) -> Any:
        """What the handler's parameter is filled with."""
        return CURRENT.get()

    def single(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The handler's call for one record."""

        async def rehearsed_async(what: Any, attempt: int = 1) -> Any:
            engine = self._database.async_engine
            try:
                async with engine.connect() as connection:
                    await connection.begin()
                    given: Any = self._session(connection, **JOINED) if self._session else connection
                    token = CURRENT.set(given)
                    try:
                        answer = await call(what, attempt)
                        if self._session is not None:
                            await given.flush()
                        return answer
                    finally:
                        CURRENT.reset(token)
                        await connection.rollback()
            finally:
                await engine.dispose()

        def rehearsed(what: Any, attempt: int = 1) -> Any:
            engine = self._database.engine
            try:
                with engine.connect() as connection:
                    connection.begin()
                    given: Any = self._session(connection, **JOINED) if self._session else connection
                    token = CURRENT.set(given)
                    try:
                        answer = call(what, attempt)
                        if self._session is not None:
                            given.flush()
                        return answer
                    finally:
                        CURRENT.reset(token)
                        connection.rollback()
            finally:
                engine.dispose()

        return rehearsed_async if self._is_async else rehearsed

    batch = single
