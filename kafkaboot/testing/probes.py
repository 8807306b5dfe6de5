"""Wait until something is so, with a deadline, instead of sleeping and hoping."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

_INTERVAL = 0.01
_SLOWEST = 0.1


class _Wait:
    """What both ways of waiting share: the growing pause, the deadline, and what was seen last."""

    def __init__(self, deadline: float, saying: str | Callable[[], str], condition: object) -> None:
        self.deadline, self.saying, self.condition = deadline, saying, condition
        self.until = time.monotonic() + deadline
        self.pause = _INTERVAL
        self.seen: object = None

    def next_pause(self) -> float:
        left = self.until - time.monotonic()
        if left <= 0:
            said = self.saying() if callable(self.saying) else self.saying
            what = said or getattr(self.condition, "__qualname__", repr(self.condition))
            raise AssertionError(f"not within {self.deadline:g} s: {what}\n  last seen: {self.seen!r}")
        pause, self.pause = min(self.pause, left), min(self.pause * 1.5, _SLOWEST)
        return pause


def eventually(condition: Callable[[], T], deadline: float = 10.0, saying: str | Callable[[], str] = "") -> T:
    """Wait until `condition()` is truthy and answer what it gave.

    An `AssertionError` of the condition counts as "not yet", so that a condition may be written with asserts; any
    other exception is raised at once.

    Args:
        condition: Called again and again, at most a hundred times a second.
        deadline: Seconds.
        saying: What is waited for, or a callable that tells what is there instead, called on failure only.

    Raises:
        AssertionError: The deadline passed; the text has `saying` and what the condition gave last.
    """
    wait = _Wait(deadline, saying, condition)
    while True:
        try:
            result = condition()
        except AssertionError as error:
            wait.seen = error
        else:
            if result:
                return result
            wait.seen = result
        time.sleep(wait.next_pause())


async def eventually_async(
    condition: Callable[[], T | Awaitable[T]], deadline: float = 10.0, saying: str | Callable[[], str] = ""
) -> T:
    """`eventually` for the event loop, which runs on meanwhile. The condition may be a coroutine function."""
    wait = _Wait(deadline, saying, condition)
    while True:
        try:
            result = condition()
            if inspect.isawaitable(result):
                result = await result
        except AssertionError as error:
            wait.seen = error
        else:
            if result:
                return result
            wait.seen = result
        await asyncio.sleep(wait.next_pause())
