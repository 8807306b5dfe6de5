"""The transactional producers of a process, lent to one transaction at a time each."""

from __future__ import annotations

import asyncio
import logging
import threading
from bisect import insort
from collections import Counter, deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from kafkaboot.errors import TransactionError
from kafkaboot.producer.seat import Seat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kafkaboot.client import ClientFactory, TransactionalPort
    from kafkaboot.producer.sender import Producer

T = TypeVar("T")

log = logging.getLogger("kafkaboot.producer")

LARGEST = 64 * 2**20
"""Bytes of a record that a group's transactions publish, at most."""
LAST = 1.0
"""Seconds for aborting what is still open when the producer closes."""


class Transactions:
    """The pool. Its ids are `{prefix}-0` to `{prefix}-{size - 1}`; the lowest free one is lent first.

    A client is made when its id is first lent, so that who needs one at a time has one. When another process takes
    one of the ids over, this process is the older of two with one slot: it goes on with none of them, since a client
    of another id, or a new one of the same, would only fence that process in turn.

    Args:
        clients: Makes the clients.
        properties: librdkafka properties of each.
        prefix: What the ids begin with: stable over restarts, and no other process's.
        size: How many transactions may be open at a time; the others wait.
        timeout: Seconds that a transaction may take.
        make: Makes the `Producer` of a client.
        eager: Whether `start` makes all clients.

    Attributes:
        outcomes: How many transactions ended how: `committed`, `aborted`, `unknown`.
        seconds: How long all of them took.
        fenced: The error that ended this pool, if another process did.
        timeout: Seconds that a transaction may take.
        listeners: Components; those with an `on_transaction` method (`OnTransaction`) are told.
    """

    def __init__(
        self,
        clients: ClientFactory,
        properties: Mapping[str, object],
        *,
        prefix: str,
        size: int,
        timeout: float,
        make: Callable[[TransactionalPort], Producer],
        eager: bool = False,
    ) -> None:
        self._eager, self.timeout = eager, timeout
        self._made = (clients, properties, prefix, timeout, make)
        self.outcomes: Counter[str] = Counter()
        self.seconds = 0.0
        self.fenced: TransactionError | None = None
        self.listeners: Sequence[object] = ()
        self._seats = [Seat(clients, f"{prefix}-{n}", properties, timeout, make, self._fence) for n in range(size)]
        self._lock = threading.Lock()
        self._returned = threading.Condition(self._lock)
        self._free = list(self._seats)
        self._waiting: deque[Future[Seat]] = deque()
        self._closed = False
        self._threads = ThreadPoolExecutor(size, thread_name_prefix="kafkaboot-transactions")

    # --- at start and at the end

    def start(self) -> None:
        """If `eager`, make all clients: what a killed predecessor left open is aborted, and what is wrong is told.

        Raises:
            ConfigurationError: The transaction's timeout is longer than the broker allows.
            TransactionError: The broker does not let this process have its ids.
        """
        if self._eager:
            list(self._threads.map(Seat.prepare, self._seats))

    def close(self, timeout: float) -> int:
        """Lend nothing more, wait for what is lent, and drop the clients; answers how many transactions were open."""
        with self._lock:
            self._closed = True
            self._turn_away()
            self._returned.wait_for(lambda: len(self._free) == len(self._seats), timeout)
            lent = len(self._seats) - len(self._free)
        for seat in self._seats:
            seat.close(LAST)
        if not lent:
            self._threads.shutdown(wait=False)
        else:
            log.error(
                "%d transactions were still open when the producer closed, and are aborted\n"
                "  To do: end them before the application stops, or raise kafkaboot.producer.flush-timeout",
                lent,
            )
        return lent

    def seat(self, name: str) -> Seat:
        """A seat beside the pool's, for whoever has transactions of its own; its id is `{prefix}-{name}`."""
        clients, properties, prefix, timeout, make = self._made
        # A letter may be as large as any record; what its topic takes is all that counts. Whoever ends a transaction
        # has waited for company already: a record that lingers once more would only make its commit wait.
        properties = {**properties, "message.max.bytes": LARGEST, "linger.ms": 0}
        properties.pop("queue.buffering.max.ms", None)
        return Seat(clients, f"{prefix}-{name}", properties, timeout, make, self._fence)

    # --- lending

    async def lease(self) -> Seat:
        """A seat; waits for one while all are lent.

        Raises:
            TransactionError: The pool is closed, or this process was fenced.
        """
        taken = self._take()
        if isinstance(taken, Seat):
            return taken
        try:
            return await asyncio.wrap_future(taken)
        except asyncio.CancelledError:
            with self._lock:
                given_up = taken.cancel()
            # It may have been lent at the very moment, and nobody else would give it back.
            if not given_up and taken.exception() is None:
                self.give_back(taken.result())
            raise

    def lease_blocking(self) -> Seat:
        """The same, from a thread."""
        taken = self._take()
        return taken if isinstance(taken, Seat) else taken.result()

    def give_back(self, seat: Seat) -> None:
        """The seat's transaction has ended."""
        with self._lock:
            while self._waiting:
                waiter = self._waiting.popleft()
                if waiter.set_running_or_notify_cancel():
                    waiter.set_result(seat)
                    return
            insort(self._free, seat, key=self._seats.index)
            self._returned.notify_all()

    def run(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """Call it on a thread of the pool: there are as many as seats, so that none waits for another."""
        return asyncio.get_running_loop().run_in_executor(self._threads, call)

    def ended(self, outcome: str, seconds: float) -> None:
        """Count a transaction, and tell the listeners."""
        with self._lock:
            self.outcomes[outcome] += 1
            self.seconds += seconds
        for listener in self.listeners:
            told: Any = getattr(listener, "on_transaction", None)
            if told is None:
                continue
            try:
                told(outcome, seconds)
            except Exception:
                log.exception("a listener's on_transaction raised; the transaction is %s all the same", outcome)

    def details(self) -> dict[str, object]:
        """For the health."""
        with self._lock:
            return {
                "clients": sum(seat.alive for seat in self._seats),
                "lent": len(self._seats) - len(self._free),
                "waiting": len(self._waiting),
                **self.outcomes,
            }

    @property
    def used(self) -> bool:
        """Whether any client was made."""
        return self.fenced is not None or bool(self.outcomes) or any(seat.alive for seat in self._seats)

    def _take(self) -> Seat | Future[Seat]:
        with self._lock:
            if (over := self._over()) is not None:
                raise over
            if self._free:
                return self._free.pop(0)
            waiter: Future[Seat] = Future()
            self._waiting.append(waiter)
            return waiter

    def _fence(self, error: TransactionError) -> None:
        log.error("%s", error)
        with self._lock:
            self.fenced = self.fenced or error
            self._turn_away()

    def _turn_away(self) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            over = self._over()
            assert over is not None
            if waiter.set_running_or_notify_cancel():
                waiter.set_exception(over)

    def _over(self) -> TransactionError | None:
        """Why nothing is lent any more."""
        if self._closed:
            return TransactionError(
                "the producer is closed, and no transaction begins",
                outcome="none",
                code="_DESTROY",
                todo="publish before the application stops, or make another producer",
            )
        if self.fenced is None:
            return None
        return TransactionError(
            "this process was fenced by another one, and begins no more transactions",
            outcome="none",
            fenced=True,
            fatal=True,
            code=self.fenced.code,
            where=self.fenced.where,
            todo=f"{self.fenced.todo}; then start this one again",
        )
