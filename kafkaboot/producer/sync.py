"""`producer.sync`: the same from threads."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kafkaboot.producer.delivery import Delivery
    from kafkaboot.producer.envelope import GivenHeaders
    from kafkaboot.producer.key import Key
    from kafkaboot.producer.outbox import Outbox
    from kafkaboot.producer.receipt import Receipt

log = logging.getLogger("kafkaboot.producer")

ROOM = 0.002
"""Seconds between two looks at a full buffer."""
MANY = 1000
"""Records of a batch that fill requests by themselves, so that lingering for more only delays the last ones."""


class SyncProducer:
    """Every call blocks its thread until it is done. On an event loop use `Producer`'s own."""

    def __init__(self, outbox: Outbox, flush_timeout: float) -> None:
        self._outbox, self._flush_timeout = outbox, flush_timeout

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
        """See `Producer.publish_batch`."""
        batch = self._outbox.batch(topic, payloads, key, headers)
        while not batch.push(float("inf")):
            time.sleep(ROOM)
        if len(batch) >= MANY:
            self._outbox.port.hurry()
        event = threading.Event()
        batch.ledger.finished = event.set
        if not batch.ledger.complete:
            event.wait()
        return self._outbox.finish(batch)

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
        given_up = self._outbox.port.close(self._flush_timeout if timeout is None else timeout)
        if given_up:
            log.error(
                "%d records were not delivered before the producer closed and are given up\n"
                "  To do: raise kafkaboot.producer.flush-timeout, or see why the brokers did not answer",
                given_up,
            )
        return given_up
