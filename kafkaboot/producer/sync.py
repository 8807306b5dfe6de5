"""`producer.sync`: the same from threads."""

from __future__ import annotations

import logging
import threading
import time
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar, overload

from kafkaboot.producer.outbox import ROOM
from kafkaboot.producer.requests import Requests, requests_of
from kafkaboot.producer.transaction import SyncTransaction, pool_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kafkaboot.producer.attempts import Attempts
    from kafkaboot.producer.batch import Batch
    from kafkaboot.producer.delivery import Delivery
    from kafkaboot.producer.envelope import GivenHeaders
    from kafkaboot.producer.key import Key
    from kafkaboot.producer.outbox import Outbox
    from kafkaboot.producer.pool import Transactions
    from kafkaboot.producer.receipt import Receipt

T = TypeVar("T")

log = logging.getLogger("kafkaboot.producer")

MANY = 1000
"""Records of a batch that fill requests by themselves, so that lingering for more only delays the last ones."""


class SyncProducer:
    """Every call blocks its thread until it is done. On an event loop use `Producer`'s own."""

    def __init__(
        self,
        outbox: Outbox,
        flush_timeout: float,
        transactions: Transactions | None = None,
        requests: Requests | None = None,
        attempts: Attempts | None = None,
    ) -> None:
        self._outbox, self._flush_timeout = outbox, flush_timeout
        self._transactions, self._requests, self._attempts = transactions, requests, attempts

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
        """See `Producer.publish`."""
        if self._attempts is not None:
            record = self._outbox.record(topic, payload, key, headers, partition, timestamp)
            return self._attempts.publish_blocking(record)
        sent = self.send(topic, payload, key=key, headers=headers, partition=partition, timestamp=timestamp)
        return sent.result()

    def publish_batch(
        self,
        topic: str,
        payloads: Iterable[Any],
        *,
        key: str | Callable[[Any], Any] | None = None,
        headers: GivenHeaders | None = None,
        transactional: bool = False,
    ) -> Sequence[Receipt]:
        """See `Producer.publish_batch`."""
        if transactional:
            with self.transaction() as tx:
                enclosed = tx.hand_over(topic, payloads, key, headers)
            return tx.receipts(enclosed)
        batch = self._outbox.batch(topic, payloads, key, headers)
        while not batch.push(float("inf")):
            time.sleep(ROOM)
        self.arrived(batch)
        return self._outbox.finish(batch)

    def arrived(self, batch: Batch) -> None:
        """Wait until all is known of a batch that was handed over."""
        if len(batch) >= MANY:
            self._outbox.port.hurry()
        event = threading.Event()
        batch.ledger.finished = event.set
        if not batch.ledger.complete:
            event.wait()

    def transaction(self) -> SyncTransaction:
        """See `Producer.transaction`; this one is for `with`."""
        self._outbox.refuse_inside()
        return SyncTransaction(pool_of(self._transactions))

    @overload
    def request(
        self,
        topic: str,
        payload: Any,
        *,
        reply_type: type[T],
        key: Key = None,
        headers: GivenHeaders | None = None,
        partition: int | None = None,
        timeout: float = 5.0,
    ) -> T: ...

    @overload
    def request(
        self,
        topic: str,
        payload: Any,
        *,
        key: Key = None,
        headers: GivenHeaders | None = None,
        partition: int | None = None,
        timeout: float = 5.0,
    ) -> Any: ...

    def request(
        self,
        topic: str,
        payload: Any,
        *,
        key: Key = None,
        headers: GivenHeaders | None = None,
        partition: int | None = None,
        timeout: float = 5.0,
        reply_type: Any = None,
    ) -> Any:
        """See `Producer.request`."""
        self._outbox.refuse_inside()
        requests = requests_of(self._requests)
        return requests.ask_blocking(self._outbox, topic, payload, key, headers, partition, timeout, reply_type)

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
        """See `Producer.send`; a full buffer is waited for."""
        record = self._outbox.record(topic, payload, key, headers, partition, timestamp)
        while not record.done():
            time.sleep(ROOM)
        return record.delivery

    def flush(self, timeout: float | None = None) -> int:
        """See `Producer.flush`."""
        return self._outbox.port.flush(self._flush_timeout if timeout is None else timeout)

    def close(self, timeout: float | None = None) -> int:
        """See `Producer.close`."""
        if self._outbox.closed:
            return 0
        self._outbox.closed = True
        until = monotonic() + (self._flush_timeout if timeout is None else timeout)
        if self._transactions is not None:
            self._transactions.close(max(0.0, until - monotonic()))
        given_up = self._outbox.port.close(max(0.0, until - monotonic()))
        if given_up:
            log.error(
                "%d records were not delivered before the producer closed and are given up\n"
                "  To do: raise kafkaboot.producer.flush-timeout, or see why the brokers did not answer",
                given_up,
            )
        return given_up
