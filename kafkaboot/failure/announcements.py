"""Tells the application of letters that are written. Nothing that happens here touches a record."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from concurrent.futures import CancelledError
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from kafkaboot.failure.letter import Letter
    from kafkaboot.hooks import OnDeadLetter

log = logging.getLogger("kafkaboot.failure")

LIMIT = 1000
"""Letters that wait to be told of; then the oldest is left out."""
QUIET = 10.0
"""Seconds between two notices that some were left out."""


class Written(NamedTuple):
    """A letter that the broker has acknowledged."""

    handler: str
    where: str
    error: BaseException
    letter: Letter


@dataclass(frozen=True, slots=True)
class LetterFunction:
    """An `@on_dead_letter` function with its components filled in.

    Attributes:
        name: For the log.
        where: File and line of its declaration.
        call: Takes the letter.
        is_async: Whether the call answers a coroutine.
    """

    name: str
    where: str
    call: Callable[[Letter], Any]
    is_async: bool = False


class Announcements:
    """One letter after the other, on a thread of its own; coroutines run on the application's loop.

    Attributes:
        listeners: Components; those with an `on_dead_letter` method (`OnDeadLetter`) are told.
        functions: The `@on_dead_letter` functions.
        left_out: Letters that nobody was told of, for want of room.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.listeners: Sequence[object] = ()
        self.functions: Sequence[LetterFunction] = ()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.left_out = 0
        self._limit = limit
        self._waiting: deque[Written] = deque()
        self._change = threading.Condition()
        self._thread: threading.Thread | None = None
        self._busy = self._closed = False
        self._running: Future[Any] | None = None
        self._told = 0.0

    @property
    def wanted(self) -> bool:
        """Whether anybody listens."""
        return bool(self.functions or self._hearing())

    def tell(self, written: Written) -> None:
        """A letter is written; returns at once."""
        with self._change:
            if self._closed:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="kafkaboot-letters-told", daemon=True)
                self._thread.start()
            self._waiting.append(written)
            full = len(self._waiting) > self._limit
            if full:
                self._waiting.popleft()
                self.left_out += 1
            self._change.notify_all()
        if full and monotonic() - self._told > QUIET:
            self._told = monotonic()
            log.warning(
                "listeners of dead letters are slower than the letters come: %d were not told of; the letters are "
                "written all the same",
                self.left_out,
            )

    def close(self, timeout: float) -> None:
        """Tell of what waits, for as long as there is time."""
        with self._change:
            self._change.wait_for(lambda: not self._waiting and not self._busy, timeout)
            self._closed = True
            left, running = len(self._waiting) + self._busy, self._running
            self._waiting.clear()
            self._change.notify_all()
        if running is not None:
            running.cancel()
        if left:
            log.warning("listeners of dead letters were not done with %d letters when the application stopped", left)

    def _run(self) -> None:
        while True:
            with self._change:
                self._busy = False
                self._change.notify_all()
                self._change.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                written = self._waiting.popleft()
                self._busy = True
            for listener in self._hearing():
                try:
                    listener.on_dead_letter(written.handler, written.where, written.error, written.letter.where)
                except Exception:
                    log.exception("%s failed on the dead letter %s; the letter is written all the same",
                                  type(listener).__qualname__, written.letter.where)  # fmt: skip
            for function in self.functions:
                self._call(function, written.letter)

    def _hearing(self) -> list[OnDeadLetter]:
        return [cast("OnDeadLetter", one) for one in self.listeners if hasattr(one, "on_dead_letter")]

    def _call(self, function: LetterFunction, letter: Letter) -> None:
        try:
            answer = function.call(letter)
            if not function.is_async:
                return
            if self.loop is None:
                asyncio.run(answer)
                return
            self._running = asyncio.run_coroutine_threadsafe(answer, self.loop)
            self._running.result()
        except CancelledError:
            log.warning("%s (%s) was cancelled at the dead letter %s", function.name, function.where, letter.where)
        except Exception:
            log.exception("%s (%s) failed on the dead letter %s; the letter is written all the same",
                          function.name, function.where, letter.where)  # fmt: skip
        finally:
            self._running = None
