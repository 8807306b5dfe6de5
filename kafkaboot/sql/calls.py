"""A handler's call in a transaction: its de-duplication keys, its own SQL, and its records' offsets, all or nothing.

What is written for `async def` and for `def` differs in `await` and nothing else; every statement stands in `ledger.py`
and `keys.py`, on a plain connection.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncSession

from kafkaboot.consumer import Again, Detour
from kafkaboot.consumer.batches import NotBegun
from kafkaboot.errors import BatchFailed, KafkabootError
from kafkaboot.sql.database import WRITES
from kafkaboot.sql.ledger import FencedError
from kafkaboot.sql.rows import transaction_committed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection
    from sqlalchemy.ext.asyncio import AsyncConnection

    from kafkaboot.consumer import BatchCall, Call
    from kafkaboot.message import RawRecord
    from kafkaboot.sql.inbox import Inbox
    from kafkaboot.sql.keys import Keys
    from kafkaboot.sql.ledger import Ledger

NO_ANSWER = (OperationalError, InterfaceError, PoolTimeoutError)
"""What the house's own statements raise when the database is away, or busy, or prefers another transaction."""
SOON = 0.05
"""Seconds until a transaction that the database ended for another one's sake is done again."""
TRY_AGAIN = {"40001", "40P01"}
"""SQLSTATEs: a serialization failure, a deadlock."""
JOINED: dict[str, Any] = {"join_transaction_mode": "rollback_only", "expire_on_commit": False}
"""A session's own `commit` flushes and no more, its `rollback` is the transaction's."""

CURRENT: ContextVar[Any] = ContextVar("kafkaboot_transaction")
"""The session or connection of the transaction in which a handler is called."""


class EndedError(KafkabootError):
    """The handler ended its transaction by itself."""


def _gave_way(error: Exception) -> bool:
    """Whether the database ended the transaction for another one's sake: a deadlock, or two that overlap."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) in TRY_AGAIN


def _way_given() -> Detour:
    return Detour("its transaction gave way to another one", lambda _: Again(SOON, counts=False))


class _OwnError(Exception):
    """Carries an error of the handler's past those who look for the house's own."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class InTransaction:
    """Calls one handler in transactions (`consumer.Around`).

    Args:
        inbox: Of its group and database.
        handler: Its id.
        keys: Its de-duplication keys, where it has some.
        session: The class of the session that it takes; `None` for a connection.
        is_async: Whether it is an `async def`.
    """

    def __init__(self, inbox: Inbox, handler: str, keys: Keys | None, *, session: type | None, is_async: bool) -> None:
        self._inbox, self._handler, self._keys, self._session = inbox, handler, keys, session
        self._is_async = is_async
        database, writes = inbox.database, {WRITES: True}
        self._engine = database.engine.execution_options(**writes)
        self._async_engine = database.async_engine.execution_options(**writes) if is_async else None

    def current(self) -> Any:
        """What the handler's parameter is filled with."""
        return CURRENT.get()

    def single(self, call: Call) -> Call:
        """The handler's call for one record."""
        if not self._is_async:
            return lambda raw, attempt=1: self._apply([raw], attempt, lambda _: call(raw, attempt))

        async def applied(raw: RawRecord, attempt: int = 1) -> Any:
            return await self._apply_async([raw], attempt, lambda _: call(raw, attempt))

        return applied

    def batch(self, call: BatchCall) -> BatchCall:
        """The handler's call for a list of records: one transaction for all of them."""

        def applied(raws: Sequence[RawRecord], attempt: int = 1) -> Any:
            try:
                return self._apply(raws, attempt, lambda kept: call(kept, attempt))
            except Detour as detour:
                raise NotBegun(0, detour) from detour

        async def applied_async(raws: Sequence[RawRecord], attempt: int = 1) -> Any:
            try:
                return await self._apply_async(raws, attempt, lambda kept: call(kept, attempt))
            except Detour as detour:
                raise NotBegun(0, detour) from detour

        return applied_async if self._is_async else applied

    # --- the two ways

    async def _apply_async(
        self, raws: Sequence[RawRecord], attempt: int, invoke: Callable[[Sequence[RawRecord]], Any]
    ) -> Any:
        assert self._async_engine is not None
        ledger, late = self._begin(raws[0])
        if late or attempt > 1 or ledger.doubtful:
            await self._look_async(ledger)
            if late:
                self._inbox.check_late(ledger, raws[0].offset())
        todo = [raw for raw in raws if not ledger.settled(raw.offset())]
        if not todo:
            return None
        try:
            async with self._async_engine.connect() as connection:
                began = (await connection.begin()).sync_transaction
                kept = todo if self._keys is None else await connection.run_sync(self._claim_keys, todo)
                result, session = None, None
                if kept:
                    session = self._session(connection, **JOINED) if self._session else connection
                    result = await self._invoked_async(invoke, kept, raws, session)
                position = await connection.run_sync(self._finish, began, session, ledger, todo)
                await self._commit_async(connection, ledger, todo)
        except FencedError:
            await self._look_async(ledger, contested=True)
            return self._after_the_other(ledger, todo)
        except _OwnError as own:
            raise own.error from own.error.__cause__
        except NO_ANSWER as error:
            raise self._waits(ledger, error) from error
        return self._committed(ledger, position, session, result)

    def _apply(self, raws: Sequence[RawRecord], attempt: int, invoke: Callable[[Sequence[RawRecord]], Any]) -> Any:
        ledger, late = self._begin(raws[0])
        if late or attempt > 1 or ledger.doubtful:
            self._look(ledger)
            if late:
                self._inbox.check_late(ledger, raws[0].offset())
        todo = [raw for raw in raws if not ledger.settled(raw.offset())]
        if not todo:
            return None
        try:
            with self._engine.connect() as connection:
                began = connection.begin()
                kept = todo if self._keys is None else self._claim_keys(connection, todo)
                result, session = None, None
                if kept:
                    session = self._session(connection, **JOINED) if self._session else connection
                    result = self._invoked(invoke, kept, raws, session)
                position = self._finish(connection, began, session, ledger, todo)
                self._commit(connection, ledger, todo)
        except FencedError:
            self._look(ledger, contested=True)
            return self._after_the_other(ledger, todo)
        except _OwnError as own:
            raise own.error from own.error.__cause__
        except NO_ANSWER as error:
            raise self._waits(ledger, error) from error
        return self._committed(ledger, position, session, result)

    async def _invoked_async(
        self, invoke: Any, kept: Sequence[RawRecord], raws: Sequence[RawRecord], given: Any
    ) -> Any:
        token = CURRENT.set(given)
        try:
            return await invoke(kept)
        except Exception as error:
            seen = self._raised(error, kept, raws)
            if seen is error:
                raise
            raise seen from error
        finally:
            CURRENT.reset(token)

    def _invoked(self, invoke: Any, kept: Sequence[RawRecord], raws: Sequence[RawRecord], given: Any) -> Any:
        token = CURRENT.set(given)
        try:
            return invoke(kept)
        except Exception as error:
            seen = self._raised(error, kept, raws)
            if seen is error:
                raise
            raise seen from error
        finally:
            CURRENT.reset(token)

    async def _commit_async(self, connection: AsyncConnection, ledger: Ledger, todo: Sequence[RawRecord]) -> None:
        try:
            await connection.commit()
        except Exception:
            # Whether it is committed is not known: the table says so, now or before the next call.
            ledger.doubtful = True
            await self._look_async(ledger)
            if not ledger.settled(todo[0].offset()):
                raise

    def _commit(self, connection: Connection, ledger: Ledger, todo: Sequence[RawRecord]) -> None:
        try:
            connection.commit()
        except Exception:
            ledger.doubtful = True
            self._look(ledger)
            if not ledger.settled(todo[0].offset()):
                raise

    async def _look_async(self, ledger: Ledger, *, contested: bool = False) -> None:
        assert self._async_engine is not None
        look = (lambda connection: self._inbox.contested(ledger, connection)) if contested else ledger.read
        try:
            async with self._async_engine.begin() as connection:
                await connection.run_sync(look)
        except NO_ANSWER as error:
            raise self._waits(ledger, error) from error
        ledger.doubtful = False

    def _look(self, ledger: Ledger, *, contested: bool = False) -> None:
        try:
            with self._engine.begin() as connection:
                if contested:
                    self._inbox.contested(ledger, connection)
                else:
                    ledger.read(connection)
        except NO_ANSWER as error:
            raise self._waits(ledger, error) from error
        ledger.doubtful = False

    # --- what both do

    def _begin(self, raw: RawRecord) -> tuple[Ledger, bool]:
        """The ledger, and whether it is still to be read: the database was away when the partition was assigned."""
        ledger = self._inbox.ledger(raw)
        self._inbox.refuse_earlier(ledger, raw.offset())
        return ledger, not ledger.loaded

    def _claim_keys(self, connection: Connection, todo: Sequence[RawRecord]) -> list[RawRecord]:
        assert self._keys is not None
        return [todo[place] for place in self._keys.claim(connection, todo, self._inbox.clock.time())]

    def _finish(
        self, connection: Connection, began: object, session: Any, ledger: Ledger, todo: Sequence[RawRecord]
    ) -> int | None:
        """What is left of the handler's own SQL, then the offsets."""
        if connection.get_transaction() is not began or not connection.in_transaction():
            raise self._ended()
        if session is not None and self._session is not None:
            plain = session.sync_session if isinstance(session, AsyncSession) else session
            try:
                plain.commit()  # flushes, and tells listeners; the transaction is its connection's
            except DBAPIError as error:
                seen = self._own(error)
                if seen is error:
                    raise
                raise seen from error
        return ledger.claim(connection, [raw.offset() for raw in todo])

    def _ended(self) -> EndedError:
        return EndedError(
            f"handler {self._handler} ended the transaction that it was called in, and returned",
            fate="its records are not settled",
            todo="leave commit and rollback to the inbox: what returns is committed, what raises is rolled back",
        )

    def _raised(self, error: Exception, kept: Sequence[RawRecord], raws: Sequence[RawRecord]) -> Exception:
        """What the handler raised, as the engine is to see it."""
        if isinstance(error, BatchFailed) and 0 <= error.index < len(kept):
            # All of it is rolled back, so nothing before the failed record is settled: those go first, without it.
            place = next(at for at, raw in enumerate(raws) if raw is kept[error.index])
            return NotBegun(place, error.cause)
        return self._own(error)

    def _own(self, error: Exception) -> Exception:
        """An error of the handler's own SQL: an attempt like any other, unless it is no fault of the record's."""
        if _gave_way(error):
            return _way_given()
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            return self._inbox.away(error)
        return _OwnError(error) if isinstance(error, NO_ANSWER) else error

    def _after_the_other(self, ledger: Ledger, todo: Sequence[RawRecord]) -> None:
        if not all(ledger.settled(raw.offset()) for raw in todo):
            raise Detour("another process works on its partition", lambda _: Again(SOON, counts=False))

    def _waits(self, ledger: Ledger, error: Exception) -> Detour:
        if _gave_way(error):
            ledger.doubtful = True
            return _way_given()
        return self._inbox.away(error)

    def _committed(self, ledger: Ledger, position: int | None, session: Any, result: Any) -> Any:
        ledger.committed(position)
        if self._inbox.database.trouble is not None:
            self._inbox.database.answered()
        if self._keys is not None:
            self._inbox.prune(self._keys)
        if session is not None and self._session is not None:
            transaction_committed(session)
        return result
