"""One round of the relay: rows that were read together, published, each key in its order.

Of a key one record is on its way at a time: the next one goes when the broker has the one before. Side by side, one
that is refused, or times out, would be overtaken by its successors.
"""

from __future__ import annotations

import threading
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from kafkaboot.errors import ClientError
from kafkaboot.sql.rows import read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.client import ProducerPort


Line = tuple[str, bytes | int]
"""A topic with a key in it, or with the id of a row that has none: what is published in order."""


class Row(NamedTuple):
    """A row to be published."""

    id: int
    topic: str
    key: bytes | None
    value: bytes | None
    headers: str

    @property
    def line(self) -> Line:
        """What it must not overtake in; a row without a key stands alone."""
        return self.topic, self.id if self.key is None else self.key


class Round:
    """Publishes rows.

    Args:
        port: The producer.
        rows: In the order of their ids.

    Attributes:
        arrived: Ids of rows that the broker has.
        failed: By line, the row that could not be published and why; what stands behind it in its line is left.
    """

    def __init__(self, port: ProducerPort, rows: Sequence[Row]) -> None:
        self._port = port
        self._lines: dict[Line, deque[Row]] = {}
        for row in rows:
            self._lines.setdefault(row.line, deque()).append(row)
        self._ready = deque(self._lines.values())
        self._on_the_way = 0
        self._lock = threading.Lock()
        self._progress = threading.Event()
        self.arrived: list[int] = []
        self.failed: dict[Line, tuple[Row, ClientError]] = {}

    @property
    def over(self) -> bool:
        """Whether nothing is on its way, or left to be sent."""
        with self._lock:
            return not self._ready and not self._on_the_way

    def go_on(self, wait: float) -> None:
        """Send what may be sent, and wait up to `wait` seconds for an answer."""
        self._progress.clear()
        while True:
            with self._lock:
                line = self._ready.popleft() if self._ready else None
                self._on_the_way += line is not None
            if line is None:
                break
            row = line[0]
            try:
                self._port.produce(
                    row.topic, row.value, row.key, read(row.headers), -1, partial(self._answered, line, row)
                )
            except BufferError:
                with self._lock:
                    self._on_the_way -= 1
                    self._ready.appendleft(line)
                self._port.serve(min(wait, 0.05))
                return
            except ClientError as error:
                self._failed(row, error)
        if not self.over:
            self._progress.wait(wait)

    def _answered(self, line: deque[Row], row: Row, error: object | None, _: Any) -> None:
        if error is not None:
            self._failed(row, self._port.translate(error))
            return
        with self._lock:
            self._on_the_way -= 1
            self.arrived.append(row.id)
            line.popleft()
            if line:
                self._ready.append(line)
        self._progress.set()

    def _failed(self, row: Row, error: ClientError) -> None:
        with self._lock:
            self._on_the_way -= 1
            self.failed[row.line] = (row, error)
        self._progress.set()
