"""A record on its way, and how those who wait for it are woken: in one hop to their loop for a burst of reports."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from kafkaboot.producer.receipt import Receipt

if TYPE_CHECKING:
    from collections.abc import Generator

    from kafkaboot.errors import PublishError
    from kafkaboot.message import RawRecord
    from kafkaboot.producer.outbox import Outbox

log = logging.getLogger("kafkaboot.producer")

FELL = "_TRANSACTION_FELL"
"""The code of a record that fell with its handler's transaction: the handler is called again, and publishes again."""
_PENDING, _DELIVERED, _FAILED = range(3)
_registering = threading.Lock()


class Hop:
    """The way from the thread of delivery reports to an event loop.

    Args:
        loop: Where to.
        at_once: Whether nobody calls `depart`, so that each wake must do.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, at_once: bool) -> None:
        self.loop, self._at_once = loop, at_once
        self._due: deque[asyncio.Future[None]] = deque()
        self._scheduled = False

    def wake(self, future: asyncio.Future[None]) -> None:
        """Resolve the future on its loop; from any thread.

        Waking the loop in the middle of a burst would make the two threads hand the interpreter to and fro for each
        report: it is woken when the burst is over.
        """
        self._due.append(future)
        if self._at_once:
            self.depart()

    def depart(self) -> None:
        """Set out, if anybody is to be woken and no hop is under way already."""
        if self._due and not self._scheduled:
            self._scheduled = True
            try:
                self.loop.call_soon_threadsafe(self._arrive)
            except RuntimeError:
                self._due.clear()  # the loop is closed, and with it everybody who waited there

    def _arrive(self) -> None:
        self._scheduled = False
        while self._due:
            future = self._due.popleft()
            if not future.done():
                future.set_result(None)


class Unheard:
    """A failed delivery's error, which is logged if it goes away without anybody having asked for it."""

    __slots__ = ("error", "heard")

    def __init__(self, error: PublishError) -> None:
        self.error, self.heard = error, False

    def __del__(self) -> None:
        if not self.heard:
            log.error("a record that was sent, and that nobody waited for, was not delivered: %s", self.error)


class Delivery:
    """A record on its way: await it, or ask for its `result` from a thread.

    Nobody has to. A delivery that fails and that nobody asked about is logged as an error and counted. It is itself
    the client's callback, and a future is made only for one who awaits, so that a `send` costs little more than handing
    the record over.
    """

    __slots__ = ("_offset", "_outbox", "_partition", "_state", "_timestamp", "_topic", "_unheard", "_waiters")

    _offset: int
    _partition: int
    _timestamp: int
    _unheard: Unheard

    def __init__(self, outbox: Outbox, topic: str) -> None:
        self._outbox, self._topic = outbox, topic
        self._state = _PENDING
        self._waiters: list[tuple[Hop, asyncio.Future[None]] | threading.Event] | None = None

    def __call__(self, error: object | None, record: RawRecord) -> None:
        """The client's callback."""
        if error is None:
            self._timestamp = record.timestamp()[1]
            self._partition = record.partition()
            self._offset = record.offset()
            self._state = _DELIVERED
            if self._outbox.trouble is not None:
                self._outbox.succeeded()
        else:
            self._unheard = Unheard(self._outbox.failure(error, self._topic, record))
            self._unheard.heard = self._outbox.watch is not None or self._unheard.error.code == FELL
            self._state = _FAILED
        # Whoever registers, registers first and looks at the state afterwards: one of the two sees the other.
        if self._waiters is not None:
            for waiter in self._waiters:
                if isinstance(waiter, threading.Event):
                    waiter.set()
                else:
                    waiter[0].wake(waiter[1])

    def lose(self, error: Exception) -> None:
        """Answer whoever waits, in place of a report that will not come."""
        if self._state == _PENDING:
            self(error, None)  # type: ignore[arg-type]

    @property
    def receipt(self) -> Receipt | None:
        """Where the record stands, if it is delivered."""
        return self._outcome() if self._state == _DELIVERED else None

    def done(self) -> bool:
        """Whether it is known what became of the record."""
        return self._state != _PENDING

    def result(self, timeout: float | None = None) -> Receipt:
        """Wait for the delivery, from a thread. On an event loop, await instead: this blocks it.

        Args:
            timeout: Seconds; without it as long as it takes, which `delivery-timeout` bounds.

        Raises:
            PublishError: The record was not delivered.
            TimeoutError: Nothing is known yet; the record is still on its way.
        """
        if self._state == _PENDING:
            event = threading.Event()
            self._register(event)
            if self._state == _PENDING and not event.wait(timeout):
                raise TimeoutError(f"{self._topic}: nothing is known after {timeout} s; the record is still on its way")
        return self._outcome()

    def __await__(self) -> Generator[Any, None, Receipt]:
        if self._state == _PENDING:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[None] = loop.create_future()
            self._register((self._outbox.hop(loop), future))
            if self._state == _PENDING:
                yield from future
        return self._outcome()

    def _register(self, waiter: tuple[Hop, asyncio.Future[None]] | threading.Event) -> None:
        with _registering:
            if self._waiters is None:
                self._waiters = [waiter]
            else:
                self._waiters.append(waiter)

    def _outcome(self) -> Receipt:
        if self._state == _FAILED:
            self._unheard.heard = True
            raise self._unheard.error
        stamp = self._timestamp
        return Receipt(self._topic, self._partition, self._offset, stamp if stamp >= 0 else None)

    def __repr__(self) -> str:
        state = ("on its way", "delivered", "failed")[self._state]
        return f"<Delivery to {self._topic}: {state}>"
