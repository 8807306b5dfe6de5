"""What `publish` does beyond the client: attempts that follow each other, and a circuit that each goes through.

The client itself tries a record again for as long as `delivery-timeout`, without writing it twice. What is added here
begins where it has given up: the buffer stays full, the brokers were gone for longer, an answer never came.
"""

from __future__ import annotations

import asyncio
import time
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from kafkaboot.errors import PublishError
from kafkaboot.producer.outbox import ROOM
from kafkaboot.producer.undelivered import buffer_full

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.producer.outbox import Handover
    from kafkaboot.producer.receipt import Receipt


class Around(Protocol):
    """Puts something around a function that is called for each attempt; `failure.around` with a circuit does."""

    def __call__(self, function: Callable[..., Any], /, *, is_async: bool) -> Callable[..., Any]:
        """The function with something around it, which lets errors pass and may raise its own instead of calling."""


class Attempts:
    """Publishes one record in several attempts: the very same record, event id and all.

    Only errors that may end are worth another attempt: never one for the record's own sake (too large, no such type),
    never a client that was lost. They are also the only ones that what is around hears of.

    Args:
        attempts: How often the record is handed over, the first time included.
        delay: Seconds after attempt number `n` (1 is the first) has failed.
        time_limit: Seconds after the call in which another attempt may begin, and in which room is waited for.
        around: Goes around each attempt.
    """

    def __init__(
        self,
        *,
        attempts: int = 1,
        delay: Callable[[int], float] = lambda _: 0.0,
        time_limit: float = float("inf"),
        around: Around | None = None,
    ) -> None:
        self._attempts, self._delay, self._limit = attempts, delay, time_limit
        self._once = _once if around is None else around(_once, is_async=True)
        self._once_blocking = _once_blocking if around is None else around(_once_blocking, is_async=False)

    async def publish(self, record: Handover) -> Receipt:
        """See `Producer.publish`."""
        until, attempt = monotonic() + self._limit, 1
        while True:
            try:
                return _receipt(await self._once(record, until))
            except PublishError as error:
                wait = self._wait(error, attempt, until)
            await asyncio.sleep(wait)
            record, attempt = record.again(), attempt + 1

    def publish_blocking(self, record: Handover) -> Receipt:
        """See `SyncProducer.publish`."""
        until, attempt = monotonic() + self._limit, 1
        while True:
            try:
                return _receipt(self._once_blocking(record, until))
            except PublishError as error:
                wait = self._wait(error, attempt, until)
            time.sleep(wait)
            record, attempt = record.again(), attempt + 1

    def _wait(self, error: PublishError, attempt: int, until: float) -> float:
        """Seconds until the next attempt; raises the error where there is none."""
        wait = self._delay(attempt)
        if not _may_end(error) or attempt >= self._attempts or monotonic() + wait > until:
            if attempt > 1:
                error.fate = f"{error.fate}, in {attempt} attempts" if error.fate else f"it was tried {attempt} times"
            raise error
        return wait


async def _once(record: Handover, until: float) -> Receipt | PublishError:
    """One attempt; an error that no other attempt mends is answered, so that nobody around it counts it."""
    try:
        while not record.done():
            if monotonic() > until:
                raise buffer_full(record.topic)
            await asyncio.sleep(ROOM)
        return await record.delivery
    except PublishError as error:
        if _may_end(error):
            raise
        return error


def _once_blocking(record: Handover, until: float) -> Receipt | PublishError:
    try:
        while not record.done():
            if monotonic() > until:
                raise buffer_full(record.topic)
            time.sleep(ROOM)
        return record.delivery.result()
    except PublishError as error:
        if _may_end(error):
            raise
        return error


def _receipt(outcome: Receipt | PublishError) -> Receipt:
    if isinstance(outcome, PublishError):
        raise outcome
    return outcome


def _may_end(error: PublishError) -> bool:
    return error.retriable and not error.fatal
