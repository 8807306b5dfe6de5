"""One connection for several producers whose settings for it are equal; each closes its own share."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from kafkaboot.client import ServesBursts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kafkaboot.client import ProducerPort
    from kafkaboot.errors import ClientError

    Properties = Mapping[str, object]


class SharedPorts:
    """Makes the connections of an application's producers.

    Args:
        make: Makes one.
        all_properties: Those of each producer that may ask; only where some are equal is anything shared.
    """

    def __init__(self, make: Callable[[Properties], ProducerPort], all_properties: Iterable[Properties]) -> None:
        self._make = make
        self._wanted = Counter(map(_key, all_properties))
        self._open: dict[tuple[tuple[str, str], ...], _Connection] = {}
        self._lock = threading.Lock()

    def port(self, properties: Properties) -> ProducerPort:
        """A connection with these properties: the very one where nobody else wants it, else a share of it."""
        key = _key(properties)
        if self._wanted[key] < 2:
            return self._make(properties)
        with self._lock:
            connection = self._open.get(key)
            if connection is None or connection.closed:
                connection = self._open[key] = _Connection(self._make(properties))
            connection.shares += 1
        kind = BurstShare if isinstance(connection.port, ServesBursts) else Share
        return kind(connection)


class _Connection:
    """What is shared."""

    def __init__(self, port: ProducerPort) -> None:
        self.port, self.shares, self.closed = port, 0, False
        self._after: tuple[Callable[[], None], ...] = ()
        self._lock = threading.Lock()
        if isinstance(port, ServesBursts):
            port.after_burst(self._burst_over)

    def after_burst(self, call: Callable[[], None]) -> None:
        with self._lock:
            # A new tuple each time: the thread of delivery reports may be walking through the old one.
            self._after = (*self._after, call)

    def _burst_over(self) -> None:
        for call in self._after:
            call()

    def close(self, timeout: float) -> int:
        with self._lock:
            self.shares -= 1
            self.closed = last = not self.shares
        return self.port.close(timeout) if last else self.port.flush(timeout)


class Share:
    """A `ProducerPort` that others have as well. `flush` waits for the records of all of them."""

    def __init__(self, connection: _Connection) -> None:
        self._connection, port = connection, connection.port
        # The connection's own methods: a record pays nothing for the sharing.
        self.produce, self.serve, self.hurry = port.produce, port.serve, port.hurry
        self.translate, self.flush = port.translate, port.flush

    @property
    def lost(self) -> ClientError | None:
        """See `ProducerPort`."""
        return self._connection.port.lost

    def close(self, timeout: float) -> int:
        """See `ProducerPort`. The connection closes with the last of those who share it."""
        return self._connection.close(timeout)


class BurstShare(Share):
    """The same of a connection that serves bursts."""

    def after_burst(self, call: Callable[[], None]) -> None:
        """See `ServesBursts`."""
        self._connection.after_burst(call)


def _key(properties: Properties) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, str(value)) for name, value in properties.items()))
