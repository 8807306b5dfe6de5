"""What stands between a `Producer` and its client while something is measured."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from kafkaboot.testing.throughput import Flight

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.message import Headers, RawRecord


class Around:
    """A `ProducerPort` that leaves everything to another one."""

    def __init__(self, port: Any) -> None:
        self._port = port

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def after_burst(self, call: Callable[[], None]) -> None:
        """See `ServesBursts`, which is looked for in the class."""
        self._port.after_burst(call)


class TimedPort(Around):
    """Notes how long each record is on its way.

    Attributes:
        flight: Where it is noted.
    """

    def __init__(self, port: Any) -> None:
        super().__init__(port)
        self.flight = Flight()
        self._produce = port.produce

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
        flight, begun, now = self.flight, time.perf_counter(), time.perf_counter

        def delivered(error: object | None, record: RawRecord) -> None:
            # As in `Flight.due`: one more call for each report would be told as the producer's own cost.
            if error is None:
                flight.latencies.append(now() - begun)
            else:
                flight.failures.append(error)
            if on_delivery is not None:
                on_delivery(error, record)

        self._produce(topic, value, key, headers, partition, delivered, timestamp)


class DivertedPort(Around):
    """Sends records to other topics than they are meant for.

    Args:
        port: The client.
        place: The topic that is written to, by the one that is meant.
    """

    def __init__(self, port: Any, place: Callable[[str], str]) -> None:
        super().__init__(port)
        self._produce, self._place = port.produce, place

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
        self._produce(self._place(topic), value, key, headers, partition, on_delivery, timestamp)
