"""`producer.transaction()`: records of several topics that become visible together or not at all."""

from __future__ import annotations

import asyncio
import logging
import time
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, TypeVar

from kafkaboot.errors import BatchPublishError, PublishError
from kafkaboot.producer.enclosed import Enclosed, misuse
from kafkaboot.producer.outbox import ROOM, TURN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from kafkaboot.producer.batch import Batch
    from kafkaboot.producer.envelope import GivenHeaders
    from kafkaboot.producer.key import Key
    from kafkaboot.producer.pool import Transactions
    from kafkaboot.producer.receipt import Receipt

T = TypeVar("T")

log = logging.getLogger("kafkaboot.producer")


class Transaction(Enclosed):
    """What `async with producer.transaction() as tx` gives.

    Left without an error it commits; returned means committed. An exception inside, cancellation included, aborts it
    and is raised on. A record that was not delivered, or could not be encoded, aborts it even if its error was caught.
    Cancelled while it commits, it is committed first and cancelled afterwards.

    Raises:
        TransactionError: From the end of the block: it is not committed; `outcome` and `failed` say more.
    """

    async def publish(
        self,
        topic: str,
        payload: Any,
        *,
        key: Key = None,
        headers: GivenHeaders | None = None,
        partition: int | None = None,
        timestamp: int | None = None,
    ) -> Receipt:
        """Publish one payload; delivered, and not visible yet, when this returns. See `Producer.publish`.

        Raises:
            PublishError: It was not delivered, or could not be encoded; the transaction is going to be aborted.
            TransactionError: The transaction has ended, or has not begun.
        """
        producer = self._producer or self._refuse()
        try:
            record = producer.outbox.record(topic, payload, key, headers, partition, timestamp)
            while not record.done():
                await asyncio.sleep(ROOM)
                if self._producer is None:
                    self._refuse()
        except PublishError as error:
            raise self._noted(error) from error.__cause__
        self._deliveries.append(record.delivery)
        try:
            return await record.delivery
        except PublishError as error:
            raise self._lost(error) from error.__cause__

    async def publish_batch(
        self,
        topic: str,
        payloads: Iterable[Any],
        *,
        key: str | Callable[[Any], Any] | None = None,
        headers: GivenHeaders | None = None,
    ) -> Sequence[Receipt]:
        """Publish many payloads; delivered, and not visible yet, when this returns. See `Producer.publish_batch`.

        Raises:
            BatchPublishError: Some were not delivered; the transaction is going to be aborted.
            TransactionError: The transaction has ended, or has not begun.
        """
        batch = await self.hand_over(topic, payloads, key, headers)
        producer = self._producer or self._refuse()
        await producer.arrived(batch)
        return self.receipts(batch)

    async def hand_over(
        self,
        topic: str,
        payloads: Iterable[Any],
        key: str | Callable[[Any], Any] | None,
        headers: GivenHeaders | None,
    ) -> Batch:
        """Give a batch to the client, whose commit waits for its deliveries."""
        batch = self._batch(topic, payloads, key, headers)
        while True:
            room = batch.push(monotonic() + TURN)
            if batch.handed_over:
                return batch
            await asyncio.sleep(0 if room else ROOM)
            if self._producer is None:
                self._refuse()

    def receipts(self, batch: Batch) -> Sequence[Receipt]:
        """The receipts of a batch of which all is known."""
        return _receipts(batch)

    async def __aenter__(self) -> Self:
        self._enter()
        self._seat = await self._pool.lease()
        try:
            await _to_its_end(self._pool.run(self._begin))
        except BaseException:
            self._producer = None
            await self._drop()
            raise
        self._entered()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave()
        try:
            await _to_its_end(self._pool.run(self._commit if error is None else self._abort))
        finally:
            self._give_back()

    async def _drop(self) -> None:
        assert self._seat is not None
        try:
            await _to_its_end(self._pool.run(self._seat.abort))
        finally:
            self._give_back()


class SyncTransaction(Enclosed):
    """The same from threads: `with producer.sync.transaction() as tx`. Every call blocks its thread."""

    def publish(
        self,
        topic: str,
        payload: Any,
        *,
        key: Key = None,
        headers: GivenHeaders | None = None,
        partition: int | None = None,
        timestamp: int | None = None,
    ) -> Receipt:
        """See `Transaction.publish`."""
        sent = self.send(topic, payload, key=key, headers=headers, partition=partition, timestamp=timestamp)
        return sent.result()

    def publish_batch(
        self,
        topic: str,
        payloads: Iterable[Any],
        *,
        key: str | Callable[[Any], Any] | None = None,
        headers: GivenHeaders | None = None,
    ) -> Sequence[Receipt]:
        """See `Transaction.publish_batch`."""
        batch = self.hand_over(topic, payloads, key, headers)
        producer = self._producer or self._refuse()
        producer.sync.arrived(batch)
        return self.receipts(batch)

    def hand_over(
        self,
        topic: str,
        payloads: Iterable[Any],
        key: str | Callable[[Any], Any] | None,
        headers: GivenHeaders | None,
    ) -> Batch:
        """See `Transaction.hand_over`."""
        batch = self._batch(topic, payloads, key, headers)
        while not batch.push(float("inf")):
            time.sleep(ROOM)
            if self._producer is None:
                self._refuse()
        return batch

    def receipts(self, batch: Batch) -> Sequence[Receipt]:
        """See `Transaction.receipts`."""
        return _receipts(batch)

    def __enter__(self) -> Self:
        self._enter()
        self._seat = self._pool.lease_blocking()
        try:
            self._begin()
        except BaseException:
            self._producer = None
            self._seat.abort()
            self._give_back()
            raise
        self._entered()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave()
        try:
            if error is None:
                self._commit()
            else:
                self._abort()
        finally:
            self._give_back()


def pool_of(transactions: Transactions | None) -> Transactions:
    """The pool.

    Raises:
        TransactionError: There is none.
    """
    if transactions is None:
        raise misuse(
            "this producer was made without transactions", "use the application's own, or give it a `Transactions`"
        )
    return transactions


async def _to_its_end(call: asyncio.Future[T]) -> T:
    """The result of what cannot be interrupted; cancelled meanwhile, the caller is so afterwards."""
    cancelled: asyncio.CancelledError | None = None
    while not call.done():
        try:
            await asyncio.wait([call])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        if (failure := call.exception()) is not None:
            log.warning("a transaction's task was cancelled while it ended: %s", failure)
        raise cancelled
    return call.result()


def _receipts(batch: Batch) -> Sequence[Receipt]:
    try:
        return batch.ledger.receipts()
    except BatchPublishError as error:
        error.receipts = [None] * len(error.receipts)
        error.fate, error.todo = "the transaction is going to be aborted: none of its records will be visible", ""
        raise
