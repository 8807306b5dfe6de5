"""What blocks of a group's transactions: their beginnings and ends, on one thread, one after the other."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from kafkaboot.client import ServesBursts
from kafkaboot.errors import ClientError, KafkabootError, TransactionError
from kafkaboot.transaction.door import answer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kafkaboot.client import TP, Committed
    from kafkaboot.clock import Clock
    from kafkaboot.producer import Seat
    from kafkaboot.transaction.door import Door, Sealed

LAST = 1.0
"""Seconds for aborting what is open when the group ends."""


class Outcome(NamedTuple):
    """What came of a transaction's end, and of the next one's beginning.

    Attributes:
        failure: Why it is not committed, or not known to be.
        unbegun: Why the next one has not begun.
    """

    failure: KafkabootError | None = None
    unbegun: KafkabootError | None = None


class Ends:
    """Begins, commits and aborts.

    Args:
        seat: The transactional id and its client.
        door: Where records come in.
        timeout: Seconds that a transaction may take.
        clock: Time.

    Attributes:
        served: Called after a burst of delivery reports, see `ServesBursts`.
    """

    def __init__(self, seat: Seat, door: Door, timeout: float, clock: Clock) -> None:
        self.seat, self._door, self._timeout, self._now = seat, door, timeout, clock.monotonic
        self.served: Callable[[], None] | None = None
        self._closed = False

    def begin(self) -> Outcome:
        """Begin one, by a new client if need be."""
        if self._closed:
            return Outcome(None, KafkabootError("the group has ended"))
        try:
            port = self.seat.begin().outbox.port
        except KafkabootError as error:
            return Outcome(None, error)
        if self.served is not None and isinstance(port, ServesBursts):
            port.after_burst(self.served)
        self._door.open(port, self._now() + self._timeout)  # type: ignore[arg-type]
        return Outcome()

    def commit(self, sealed: Sealed, offsets: Mapping[TP, Committed], membership: object) -> Outcome:
        """Commit what is sealed with these offsets, and begin the next one."""
        try:
            rest = deque(sealed.rest)
            self._door.hand_over(rest, self._now() + self._timeout)
            if rest:
                answer(rest)
                raise TransactionError(
                    f"{len(rest)} records found no room in the client's buffer",
                    outcome="aborted",
                    code="_QUEUE_FULL",
                    retriable=True,
                    todo="see whether the brokers keep pace, or raise kafkaboot.producer.max-buffered",
                )
            self.seat.send_offsets(offsets, membership)
            self.seat.commit(lambda: None)
        except ClientError as error:
            return Outcome(error)
        return self.begin()

    def restart(self) -> Outcome:
        """Abort what is open, and begin anew."""
        self.seat.abort()
        return self.begin()

    def close(self) -> None:
        """Abort what is open and drop the client."""
        self._closed = True
        self.seat.close(LAST)
