"""A connection that writes, in memory."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from kafkaboot.client.memory.faults import refusal
from kafkaboot.client.memory.log import MemoryRecord
from kafkaboot.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kafkaboot.client.memory.kafka import MemoryKafka
    from kafkaboot.message import Headers, RawRecord

LARGEST = 1_000_000
"""librdkafka's default of `message.max.bytes`."""


class MemoryProducer:
    """`ProducerPort` on a `MemoryKafka`: written when handed over, and reported before `produce` returns.

    While `Faults.hold_deliveries` is set, reports wait for `serve`, `flush` or `MemoryKafka.deliver`.

    Args:
        kafka: The cluster.
        config: librdkafka properties; `message.max.bytes` is heeded, as is a topic's
            `max.message.bytes`; all others are a network's.
    """

    def __init__(self, kafka: MemoryKafka, config: Mapping[str, object]) -> None:
        self._kafka = kafka
        self._largest = int(str(config.get("message.max.bytes", LARGEST)))
        self._reports: deque[tuple[Callable[[Any, RawRecord], None], ClientError | None, RawRecord]] = deque()
        self._closed = False
        self.name = kafka.enrol(self)

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        headers: Headers | None,
        partition: int,
        on_delivery: Callable[[object | None, RawRecord], None] | None,
        timestamp: int = 0,
    ) -> None:
        """See `ProducerPort`."""
        if self._closed:
            raise refusal("_DESTROY", "the producer is closed", where=topic, fate="the record was not sent")
        faults = self._kafka.faults
        if faults.lost is not None:
            raise BufferError("the client is lost")
        if faults.full:
            faults.full -= 1
            raise BufferError("the buffer is full")
        size = _size(value, key, headers)
        if size > self._largest:
            raise refusal("MSG_SIZE_TOO_LARGE", "the record is too large", where=topic, fate="the record was not sent")
        error: ClientError | None = faults.deliveries.popleft() if faults.deliveries else None
        if error is None and size > self._kafka.largest(topic):
            error = refusal("MSG_SIZE_TOO_LARGE", "the record is larger than the topic allows", where=topic)
        record = MemoryRecord(topic, partition, -1, value, key, headers, timestamp)
        if error is None:
            try:
                record = self._write(topic, value, key, headers, partition, timestamp)
            except ClientError as refused:
                error = refused
        if on_delivery is not None:
            self._reports.append((on_delivery, error, record))
            if not faults.hold_deliveries:
                self.serve(0)

    def _write(self, *record: Any) -> MemoryRecord:
        return self._kafka.append(*record)

    @property
    def lost(self) -> ClientError | None:
        """See `ProducerPort`."""
        return self._kafka.faults.lost

    def serve(self, timeout: float) -> None:  # noqa: ARG002 - it never waits
        """See `ProducerPort`."""
        while self._reports:
            on_delivery, error, record = self._reports.popleft()
            on_delivery(error, record)

    def hurry(self) -> None:
        """See `ProducerPort`. Nothing lingers here."""

    def translate(self, error: object) -> ClientError:
        """See `ProducerPort`."""
        return error if isinstance(error, ClientError) else refusal("UNKNOWN", str(error))

    def flush(self, timeout: float) -> int:
        """See `ProducerPort`."""
        self.serve(timeout)
        return 0

    def close(self, timeout: float) -> int:
        """See `ProducerPort`."""
        self.flush(timeout)
        self._closed = True
        self._kafka.dismiss(self)
        return 0

    def vanish(self) -> None:
        """The process dies: what was written stands, and nobody hears of it."""
        self._closed = True
        self._reports.clear()
        self._kafka.dismiss(self)


def _size(value: bytes | None, key: bytes | None, headers: Headers | None) -> int:
    carried = sum(len(name.encode()) + len(content or b"") for name, content in headers or ())
    return len(value or b"") + len(key or b"") + carried
