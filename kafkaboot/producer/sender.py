"""`Producer`: what an application publishes with."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from kafkaboot.producer.batch import Batch, Ledger
from kafkaboot.producer.delivery import Delivery, Outbox, log
from kafkaboot.producer.envelope import Envelope, explained
from kafkaboot.producer.key import key_bytes
from kafkaboot.producer.undelivered import buffer_full, closed, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kafkaboot.client import ProducerPort
    from kafkaboot.producer.envelope import EnvelopeKind, GivenHeaders
    from kafkaboot.producer.key import Key
    from kafkaboot.producer.receipt import Receipt

ROOM = 0.002
"""Seconds between two looks at a full buffer."""
PATIENCE = 0.1
"""Seconds that `send` serves delivery reports to make room before it gives up."""
TURN = 0.005
"""Seconds that a batch may keep the event loop before others get their turn."""

MANY = 1000
"""Records of a batch that fill requests by themselves, so that lingering for more only delays the last ones."""


class Producer:
    """Publishes payloads: encoded by their type, with the envelope's headers.

    It is made by the container and injected; `kafkaboot.clients` makes one for programs without it. Any thread
    and any event loop may use the same one. Leaving it as a context manager (`with` or `async with`) closes it.

    Args:
        port: The client.
        envelope: See `Envelope`.
        source: `ce_source`.
        flush_timeout: Seconds that `flush` and `close` wait when not told otherwise.
    """

    def __init__(
        self,
        port: ProducerPort,
        *,
        envelope: EnvelopeKind = "cloudevents",
        source: str = "/kafkaboot",
        flush_timeout: float = 30.0,
    ) -> None:
        self.port = port
        self._produce = port.produce
        self.envelope = Envelope(envelope, source)
        self.outbox = Outbox(port)
        self.sync = SyncProducer(self)
        self.closed = False
        self._flush_timeout = flush_timeout
        self._ledgers: list[Ledger] = []

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
        """Publish one payload; it is delivered when this returns. A full buffer is waited for.

        Args:
            topic: The topic.
            payload: What is encoded by its type; `None` publishes a tombstone.
            key: The key itself: a text is written as UTF-8, a number as its digits, a UUID in its usual form.
            headers: Further headers; they replace the envelope's of the same name.
            partition: The partition; default: chosen by the key.
            timestamp: Milliseconds since the epoch; default: now.

        Raises:
            PublishError: It was not delivered, or could not be encoded.
        """
        hand_over, delivery = self._ready(topic, payload, key, headers, partition, timestamp)
        while not hand_over():
            await asyncio.sleep(ROOM)
        return await delivery

    async def publish_batch(
        self,
        topic: str,
        payloads: Iterable[Any],
        *,
        key: str | Callable[[Any], Any] | None = None,
        headers: GivenHeaders | None = None,
    ) -> Sequence[Receipt]:
        """Publish many payloads; all are delivered when this returns. A full buffer is waited for.

        Args:
            topic: The topic.
            payloads: The payloads; several types may be mixed.
            key: The name of the field that is the key, or a callable that gets the payload and answers the key.
            headers: Further headers, on each record.

        Returns:
            A receipt for each payload, in their order.

        Raises:
            BatchPublishError: Some were not delivered; it says which, and all others were.
        """
        ledger, batch = self._batch(topic, payloads, key, headers)
        while True:
            room = batch.push(monotonic() + TURN)
            if batch.handed_over:
                break
            await asyncio.sleep(0 if room else ROOM)
        if len(batch) >= MANY:
            self.port.hurry()
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        hop = self.outbox.hop(loop)
        ledger.finished = lambda: hop.wake(future)
        if not ledger.complete:
            await future
        return self._close(ledger)

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
        """Hand one payload over and return at once; see `publish` for the arguments.

        Returns:
            The delivery, to await or to ask for its `result`. It may be dropped: a failure is logged and counted.

        Raises:
            PublishError: It could not be encoded, or the buffer is full and no room was made within 0.1 s; that one
                is `retriable`.
        """
        if self.closed:
            raise closed(topic)
        envelope = self.envelope
        delivery = Delivery(self.outbox, topic)
        try:
            plan = envelope.plans[payload.__class__]
            self._produce(
                topic,
                plan.encode(payload),
                key.encode() if key.__class__ is str else key_bytes(key),  # type: ignore[union-attr]
                envelope.headers(plan, headers),
                -1 if partition is None else partition,
                delivery,
                timestamp or 0,
            )
        except BufferError:
            return self._send_soon(topic, payload, key, headers, partition, timestamp)
        except Exception as error:
            raise refused(explained(error, payload), topic) from error
        return delivery

    async def flush(self, timeout: float | None = None) -> int:
        """Wait until everything that was sent is delivered or failed.

        Args:
            timeout: Seconds; default: `kafkaboot.producer.flush-timeout`.

        Returns:
            How many records are still on their way.
        """
        return await asyncio.to_thread(self.sync.flush, timeout)

    async def close(self, timeout: float | None = None) -> int:
        """Flush and stop. What is published afterwards is refused; calling it again changes nothing.

        Args:
            timeout: Seconds; default: `kafkaboot.producer.flush-timeout`.

        Returns:
            How many records are given up; their deliveries fail, and it is logged.
        """
        return await asyncio.to_thread(self.sync.close, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sync.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # --- the parts

    def _ready(
        self,
        topic: str,
        payload: Any,
        key: Key,
        headers: GivenHeaders | None,
        partition: int | None,
        timestamp: int | None,
    ) -> tuple[Callable[[], bool], Delivery]:
        """A record that is made but not handed over: what hands it over and answers whether there was room."""
        if self.closed:
            raise closed(topic)
        try:
            plan = self.envelope.plans[payload.__class__]
            value, key_value, head = plan.encode(payload), key_bytes(key), self.envelope.headers(plan, headers)
        except Exception as error:
            raise refused(explained(error, payload), topic) from error
        delivery = Delivery(self.outbox, topic)

        def hand_over() -> bool:
            if self.closed:
                raise closed(topic)
            try:
                self._produce(
                    topic, value, key_value, head, -1 if partition is None else partition, delivery, timestamp or 0
                )
            except BufferError:
                return False
            except Exception as error:
                raise refused(error, topic) from error
            return True

        return hand_over, delivery

    def _send_soon(self, topic: str, *rest: Any) -> Delivery:
        hand_over, delivery = self._ready(topic, *rest)
        until = monotonic() + PATIENCE
        while not hand_over():
            left = until - monotonic()
            if left <= 0:
                raise buffer_full(topic)
            self.port.serve(min(left, 0.01))
        return delivery

    def _batch(
        self,
        topic: str,
        payloads: Iterable[Any],
        key: str | Callable[[Any], Any] | None,
        headers: GivenHeaders | None,
    ) -> tuple[Ledger, Batch]:
        if self.closed:
            raise closed(topic)
        if not isinstance(payloads, list | tuple):
            payloads = list(payloads)
        ledger = self._ledgers.pop() if self._ledgers else Ledger(self.outbox)
        ledger.open(topic, len(payloads))
        return ledger, Batch(ledger, self.envelope, payloads, key, headers)

    def _close(self, ledger: Ledger) -> Sequence[Receipt]:
        # Only a ledger of which all is known may be used again: a late report would be booked on another batch.
        try:
            return ledger.receipts()
        finally:
            self._ledgers.append(ledger)


class SyncProducer:
    """The same from threads: every call blocks its thread until it is done."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

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
        return self.send(
            topic, payload, key=key, headers=headers, partition=partition, timestamp=timestamp
        ).result()

    def publish_batch(
        self,
        topic: str,
        payloads: Iterable[Any],
        *,
        key: str | Callable[[Any], Any] | None = None,
        headers: GivenHeaders | None = None,
    ) -> Sequence[Receipt]:
        """See `Producer.publish_batch`."""
        ledger, batch = self._producer._batch(topic, payloads, key, headers)
        while True:
            room = batch.push(monotonic() + 3600)
            if batch.handed_over:
                break
            if not room:
                time.sleep(ROOM)
        if len(batch) >= MANY:
            self._producer.port.hurry()
        event = threading.Event()
        ledger.finished = event.set
        if not ledger.complete:
            event.wait()
        return self._producer._close(ledger)

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
        hand_over, delivery = self._producer._ready(topic, payload, key, headers, partition, timestamp)
        while not hand_over():
            time.sleep(ROOM)
        return delivery

    def flush(self, timeout: float | None = None) -> int:
        """See `Producer.flush`."""
        producer = self._producer
        return producer.port.flush(producer._flush_timeout if timeout is None else timeout)

    def close(self, timeout: float | None = None) -> int:
        """See `Producer.close`."""
        producer = self._producer
        if producer.closed:
            return 0
        producer.closed = True
        given_up = producer.port.close(producer._flush_timeout if timeout is None else timeout)
        if given_up:
            log.error(
                "%d records were not delivered before the producer closed and are given up\n"
                "  To do: raise kafkaboot.producer.flush-timeout, or see why the brokers did not answer",
                given_up,
            )
        return given_up
