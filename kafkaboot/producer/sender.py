"""`Producer`: what an application publishes with."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from kafkaboot.producer.delivery import Delivery
from kafkaboot.producer.envelope import explained
from kafkaboot.producer.key import key_bytes
from kafkaboot.producer.outbox import ROOM, TURN, Outbox
from kafkaboot.producer.requests import Requests, requests_of
from kafkaboot.producer.sync import MANY, SyncProducer
from kafkaboot.producer.transaction import Transaction, pool_of
from kafkaboot.producer.undelivered import buffer_full, closed, refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kafkaboot.client import ProducerPort
    from kafkaboot.producer.attempts import Attempts
    from kafkaboot.producer.batch import Batch
    from kafkaboot.producer.envelope import EnvelopeKind, GivenHeaders
    from kafkaboot.producer.key import Key
    from kafkaboot.producer.outbox import Handover
    from kafkaboot.producer.pool import Transactions
    from kafkaboot.producer.receipt import Receipt

T = TypeVar("T")

PATIENCE = 0.1
"""Seconds that `send` serves delivery reports to make room before it gives up."""


class Producer:
    """Publishes payloads: encoded by their type, with the envelope's headers.

    It is made by the container and injected; `kafkaboot.clients` makes one for programs without it. Any thread
    and any event loop may use the same one. Leaving it as a context manager (`with` or `async with`) closes it.

    Args:
        port: The client.
        envelope: See `Envelope`.
        source: `ce_source`.
        flush_timeout: Seconds that `flush` and `close` wait when not told otherwise.
        transactions: Lends the clients of transactions; without it there are none.
        requests: Waits for answers; without it there are no requests.
        attempts: What `publish` does beyond the client; by default nothing.
    """

    def __init__(
        self,
        port: ProducerPort,
        *,
        envelope: EnvelopeKind = "cloudevents",
        source: str = "/kafkaboot",
        flush_timeout: float = 30.0,
        transactions: Transactions | None = None,
        requests: Requests | None = None,
        attempts: Attempts | None = None,
    ) -> None:
        self._envelope: tuple[EnvelopeKind, str] = envelope, source
        self.outbox = Outbox(port, envelope, source)
        self.transactions, self.requests = transactions, requests
        self.sync = SyncProducer(self.outbox, flush_timeout, transactions, requests, attempts)
        self._attempts = attempts
        self._produce = port.produce

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

        The client tries a record again until `delivery-timeout`, and never writes it twice while it does. With
        `kafkaboot.producer.retry` (off by default) this tries again what the client has given up, as one and the same
        event. Then it may stand in the topic twice: a record whose answer never came may have been written. Only a
        full buffer says that it was not sent.

        Args:
            topic: The topic.
            payload: What is encoded by its type; `None` publishes a tombstone.
            key: The key itself: a text is written as UTF-8, a number as its digits, a UUID in its usual form.
            headers: Further headers; they replace the envelope's of the same name.
            partition: The partition; default: chosen by the key.
            timestamp: Milliseconds since the epoch; default: now.

        Raises:
            PublishError: It was not delivered, or could not be encoded. With a `retry`, also: no room was made within
                its time limit.
            CircuitOpenError: `kafkaboot.producer.circuit` names a circuit, and it is open.
        """
        record = self.outbox.record(topic, payload, key, headers, partition, timestamp)
        if self._attempts is not None:
            return await self._attempts.publish(record)
        while not record.done():  # noqa: ASYNC110 - the client tells nobody when there is room
            await asyncio.sleep(ROOM)
        return await record.delivery

    async def publish_batch(
        self,
        topic: str,
        payloads: Iterable[Any],
        *,
        key: str | Callable[[Any], Any] | None = None,
        headers: GivenHeaders | None = None,
        transactional: bool = False,
    ) -> Sequence[Receipt]:
        """Publish many payloads; all are delivered when this returns. A full buffer is waited for.

        Args:
            topic: The topic.
            payloads: The payloads; several types may be mixed.
            key: The name of the field that is the key, or a callable that gets the payload and answers the key.
            headers: Further headers, on each record.
            transactional: All or none, in a transaction of their own.

        Returns:
            A receipt for each payload, in their order. Neither `kafkaboot.producer.retry` nor `circuit` is asked.

        Raises:
            BatchPublishError: Some were not delivered; it says which, and all others were.
            TransactionError: `transactional`, and none of them will be visible; `failed` says what was not delivered.
        """
        if transactional:
            async with self.transaction() as tx:
                enclosed = await tx.hand_over(topic, payloads, key, headers)
            return tx.receipts(enclosed)
        batch = self.outbox.batch(topic, payloads, key, headers)
        while True:
            room = batch.push(monotonic() + TURN)
            if batch.handed_over:
                break
            await asyncio.sleep(0 if room else ROOM)
        await self.arrived(batch)
        return self.outbox.finish(batch)

    async def arrived(self, batch: Batch) -> None:
        """Wait until all is known of a batch that was handed over."""
        if len(batch) >= MANY:
            self.outbox.port.hurry()
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        hop = self.outbox.hop(loop)
        batch.ledger.finished = lambda: hop.wake(future)
        if not batch.ledger.complete:
            await future

    def transaction(self) -> Transaction:
        """Records of several topics that become visible together or not at all.

        `async with producer.transaction() as tx:` begins one on a client of the pool, waiting while all of them are
        lent, and commits it at the end of the block; see `Transaction`. Tasks may have one each, at the same time.
        What is published with the producer's own methods meanwhile does not belong to it.

        Raises:
            TransactionError: This producer was made without transactions. From entering the block: the producer is
                closed, this process was fenced, or the brokers begin none.
        """
        self.outbox.refuse_inside()
        return Transaction(pool_of(self.transactions))

    @overload
    async def request(
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
    async def request(
        self,
        topic: str,
        payload: Any,
        *,
        key: Key = None,
        headers: GivenHeaders | None = None,
        partition: int | None = None,
        timeout: float = 5.0,
    ) -> Any: ...

    async def request(
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
        """Publish a request and wait for its answer, from a handler with `reply=True` in any process.

        The first request of a process waits until the place is known from which its answers are read
        (`kafkaboot.requests`).

        Args:
            topic: The topic of the handler.
            payload: See `publish`, as for `key`, `headers` and `partition`.
            key: See there.
            headers: See there.
            partition: See there.
            timeout: Seconds for all of it.
            reply_type: What the answer is decoded into; `Record` for the whole of it. Default: what its content type
                says: JSON, a text, or bytes.

        Raises:
            RequestTimeoutError: No answer came in time; whether the request was handled is not known.
            RequestFailedError: The handler's side gave the request up; `kind` and `text` say why.
            RequestAbandonedError: The application stops.
            PublishError: The request was not delivered, or could not be encoded.
            UndecodableError: The answer is no `reply_type`.
            ClientError: The reply topic is not there, or cannot be read.
        """
        self.outbox.refuse_inside()
        requests = requests_of(self.requests)
        return await requests.ask(self.outbox, topic, payload, key, headers, partition, timeout, reply_type)

    def through(self, port: ProducerPort) -> Producer:
        """A producer like this one that publishes through another port."""
        envelope, source = self._envelope
        return Producer(port, envelope=envelope, source=source)

    def join_handlers(self) -> None:
        """Let what transactional handlers publish with this producer join their transactions."""
        from kafkaboot.producer.joining import Joining, refuse_inside

        port = self.outbox.port = Joining(self.outbox.port)
        self.outbox.refuse_inside = refuse_inside
        self._produce = port.produce

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
        outbox = self.outbox
        if outbox.closed:
            raise closed(topic)
        envelope, delivery = outbox.envelope, Delivery(outbox, topic)
        try:
            plan = envelope.plans[payload.__class__]
            self._produce(
                topic,
                plan.encode(payload),
                key.encode() if isinstance(key, str) else key_bytes(key),
                envelope.headers(plan, headers),
                -1 if partition is None else partition,
                delivery,
                timestamp or 0,
            )
        except BufferError:
            return self._send_soon(outbox.record(topic, payload, key, headers, partition, timestamp), topic)
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

    def _send_soon(self, record: Handover, topic: str) -> Delivery:
        until = monotonic() + PATIENCE
        while not record.done():
            left = until - monotonic()
            if left <= 0:
                raise buffer_full(topic)
            self.outbox.port.serve(min(left, 0.01))
        return record.delivery
