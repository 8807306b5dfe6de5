"""The application's producer as a transactional handler sees it: what it publishes joins the handler's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.client import ServesBursts
from kafkaboot.errors import TransactionError
from kafkaboot.message import HANDLING

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.client import ProducerPort
    from kafkaboot.errors import ClientError
    from kafkaboot.message import Headers, RawRecord, Worker


class Joining:
    """A `ProducerPort` that asks who is calling: a worker of a transactional handler, or anybody else.

    Args:
        port: The client of everybody else.
    """

    def __init__(self, port: ProducerPort) -> None:
        self._port = port
        self._plain = port.produce

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
        worker = _enclosed()
        if worker is None:
            self._plain(topic, value, key, headers, partition, on_delivery, timestamp)
        else:
            worker.transacting.door.publish(worker.lane, topic, value, key, headers, partition, on_delivery, timestamp)

    def hurry(self) -> None:
        """See `ProducerPort`."""
        worker = _enclosed()
        if worker is None:
            self._port.hurry()
        else:
            worker.transacting.door.hurry()

    def serve(self, timeout: float) -> None:
        """See `ProducerPort`."""
        worker = _enclosed()
        if worker is None:
            self._port.serve(timeout)
        else:
            worker.transacting.door.serve(timeout)

    def after_burst(self, call: Callable[[], None]) -> None:
        """See `ServesBursts`."""
        if isinstance(self._port, ServesBursts):
            self._port.after_burst(call)

    @property
    def lost(self) -> ClientError | None:
        """See `ProducerPort`."""
        return self._port.lost

    def translate(self, error: object) -> ClientError:
        """See `ProducerPort`."""
        return self._port.translate(error)

    def flush(self, timeout: float) -> int:
        """See `ProducerPort`."""
        return self._port.flush(timeout)

    def close(self, timeout: float) -> int:
        """See `ProducerPort`."""
        return self._port.close(timeout)


def _enclosed() -> Worker | None:
    """Who is at work here, if that is in a transaction."""
    worker = HANDLING.get()
    return worker if worker is not None and worker.transacting is not None else None


def refuse_inside() -> None:
    """Refuse a transaction of its own, or a request, inside of a transactional handler.

    Raises:
        TransactionError: It is called by one.
    """
    if _enclosed() is not None:
        raise TransactionError(
            "a transactional handler is inside of a transaction already: Kafka has none that are nested, and nobody "
            "sees, nor answers, what it publishes before it has come back",
            outcome="none",
            code="_STATE",
            todo="publish with the producer's own methods: what the handler publishes belongs to its transaction",
        )
