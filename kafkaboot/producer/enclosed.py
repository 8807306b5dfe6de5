"""What is inside of a transaction: its records, its failures, and how it begins and ends. All of it blocks."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from operator import itemgetter
from time import monotonic
from typing import TYPE_CHECKING, Any, NoReturn

from kafkaboot.client import TP
from kafkaboot.errors import PublishError, TransactionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kafkaboot.errors import ClientError
    from kafkaboot.message import RawRecord
    from kafkaboot.producer.batch import Batch
    from kafkaboot.producer.delivery import Delivery
    from kafkaboot.producer.envelope import GivenHeaders
    from kafkaboot.producer.key import Key
    from kafkaboot.producer.outbox import Outbox
    from kafkaboot.producer.pool import Transactions
    from kafkaboot.producer.seat import Place, Seat
    from kafkaboot.producer.sender import Producer

_DROPPED = "_PURGE"
"""What the code of a record begins with that an abort has dropped: a consequence, never the cause."""
_SHOWN = 3

_current: ContextVar[Enclosed | None] = ContextVar("kafkaboot_transaction", default=None)


class Enclosed:
    """What both kinds of transactions share: the seat, what was published, and how it ends."""

    def __init__(self, pool: Transactions) -> None:
        self._pool = pool
        self._seat: Seat | None = None
        self._producer: Producer | None = None
        self._begun: float | None = None
        self._deliveries: list[Delivery] = []
        self._batches: list[Batch] = []
        self._failed: list[PublishError] = []
        self._outbox: Outbox | None = None
        self._around: Enclosed | None = None
        self._owner: object = None

    def send(
        self,
        topic: str,
        payload: Any,
        *,
        key: Key = None,
        headers: GivenHeaders | None = None,
        partition: int | None = None,
        timestamp: int | None = None,
    ) -> Delivery:
        """Hand one payload over and return at once; see `Producer.send`.

        Nobody has to await the delivery: a record that is not delivered makes the commit an abort.

        Raises:
            PublishError: It could not be encoded, or the buffer is full; the former aborts the transaction.
            TransactionError: The transaction has ended, or has not begun.
        """
        producer = self._producer or self._refuse()
        try:
            delivery = producer.send(topic, payload, key=key, headers=headers, partition=partition, timestamp=timestamp)
        except PublishError as error:
            raise self._noted(error) from error.__cause__
        self._deliveries.append(delivery)
        return delivery

    # --- begin and end; all of it blocks

    def _begin(self) -> None:
        assert self._seat is not None
        producer = self._seat.begin()
        self._outbox = producer.outbox
        self._outbox.watch = self._watch
        self._producer, self._begun = producer, monotonic()

    def _commit(self) -> None:
        assert self._seat is not None
        assert self._outbox is not None
        failure: TransactionError | None = None
        try:
            if not self._failed and not any(batch.ledger.failed for batch in self._batches):
                self._seat.commit(self._witness)
        except TransactionError as error:
            failure = error
        failures = self._failures()
        if failure is None and not failures:
            self._over("committed", None)
            return
        lost = self._outbox.port.lost
        self._seat.abort()
        if failure is None and isinstance(lost, TransactionError):
            failure = lost
        elif failure is None or (failures and not failure.fatal):
            failure = _undelivered(failures, failure, self._seat.transactional_id)
        self._over(failure.outcome, failure)
        raise failure

    def _abort(self) -> None:
        assert self._seat is not None
        self._seat.abort()
        self._over("aborted", None)

    def _over(self, outcome: str, failure: TransactionError | None) -> None:
        assert self._begun is not None
        self._settle(failure)
        self._pool.ended(outcome, monotonic() - self._begun)

    def _settle(self, failure: TransactionError | None) -> None:
        """Answer whoever still waits: librdkafka may lose the reports that come together with a fatal error."""
        why = "it was aborted" if failure is None else failure.what
        error = PublishError(
            f"its transaction was not committed: {why}", code=_DROPPED if failure is None else failure.code
        )
        for delivery in self._deliveries:
            delivery.lose(error)
        for batch in self._batches:
            batch.ledger.abandon(error)
        if self._outbox is not None:
            self._outbox.watch = None
            self._outbox.burst_over()

    # --- taking records, and no more

    def _enter(self) -> None:
        if self._begun is not None or self._seat is not None:
            raise misuse("a transaction is used once", "call producer.transaction() for each one")
        around = _current.get()
        if around is not None and around._producer is not None and around._is_ours(self._pool):  # noqa: SLF001 - its kind
            raise misuse(
                "a transaction was begun inside another one, and Kafka has none that are nested",
                "publish through the outer one, or end it first; another task may have its own",
            )
        self._around = around

    def _entered(self) -> None:
        self._owner = _whose()
        _current.set(self)

    def _is_ours(self, pool: Transactions) -> bool:
        """Whether this very task, or thread, is inside of it: a new task begins with its maker's context."""
        return self._pool is pool and self._owner == _whose()

    def _leave(self) -> None:
        """Nothing more is taken; the seat is kept until the end is known."""
        self._producer = None
        _current.set(self._around)

    def _give_back(self) -> None:
        assert self._seat is not None
        self._pool.give_back(self._seat)

    def _refuse(self) -> NoReturn:
        if self._begun is None:
            raise misuse("the transaction has not begun", "enter it: async with producer.transaction() as tx")
        raise misuse("the transaction has ended", "publish inside its `with` block, or begin another one")

    def _batch(
        self,
        topic: str,
        payloads: Iterable[Any],
        key: str | Callable[[Any], Any] | None,
        headers: GivenHeaders | None,
    ) -> Batch:
        producer = self._producer or self._refuse()
        batch = producer.outbox.batch(topic, payloads, key, headers)
        self._batches.append(batch)
        return batch

    # --- what went wrong

    def _watch(self, error: PublishError, record: RawRecord | None) -> None:
        if error.code.startswith(_DROPPED):
            return
        key = record.key() if record is not None else None
        if key is not None:
            error.where = f"{error.where} (key {key.decode(errors='replace')!r})"
        self._failed.append(error)

    def _noted(self, error: PublishError) -> ClientError:
        # A full buffer refused nothing for good: the same record may be handed over again.
        if not (error.code == "_QUEUE_FULL" and error.retriable):
            self._failed.append(error)
        return self._lost(error)

    def _lost(self, error: PublishError) -> ClientError:
        """The same; or, if it is only a consequence of it, why the client is lost."""
        lost = self._outbox.port.lost if self._outbox is not None else None
        return lost if lost is not None and error.fatal else error

    def _failures(self) -> list[PublishError]:
        found = []
        numbered = set()
        for batch in self._batches:
            for index, error in sorted(batch.ledger.failed, key=itemgetter(0)):
                numbered.add(id(error))
                if not error.code.startswith(_DROPPED):
                    error.where = f"payload {index} to {error.where}"
                    found.append(error)
        return [*(error for error in self._failed if id(error) not in numbered), *found]

    def _witness(self) -> Place | None:
        """Where a record of it stands, now that all are delivered."""
        for delivery in reversed(self._deliveries):
            receipt = delivery.receipt
            if receipt is not None:
                return TP(receipt.topic, receipt.partition), receipt.offset
        for batch in self._batches:
            ledger = batch.ledger
            for partition, offset in zip(ledger.partitions, ledger.offsets, strict=True):
                if offset >= 0:
                    return TP(ledger.topic, partition), offset
        return None


def _whose() -> object:
    try:
        return asyncio.current_task() or threading.get_ident()
    except RuntimeError:
        return threading.get_ident()


def _undelivered(failures: list[PublishError], error: TransactionError | None, where: str) -> TransactionError:
    shown = "\n  ".join(f"{failure.where}: {failure.what}" for failure in failures[:_SHOWN])
    more = f"\n  and {len(failures) - _SHOWN} more" if len(failures) > _SHOWN else ""
    count = "a record was" if len(failures) == 1 else f"{len(failures)} records were"
    made = TransactionError(
        f"{count} not delivered: {shown}{more}",
        outcome="aborted",
        failed=failures,
        code=failures[0].code,
        retriable=all(failure.retriable for failure in failures),
        where=f"transactional id {where}",
        todo=failures[0].todo,
    )
    made.__cause__ = error or failures[0]
    return made


def misuse(what: str, todo: str) -> TransactionError:
    """The error of a call that no transaction could answer."""
    return TransactionError(what, outcome="none", code="_STATE", todo=todo)
