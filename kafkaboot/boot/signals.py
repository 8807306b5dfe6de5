"""SIGTERM and Ctrl-C: the first one drains, the second one ends the process at once."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


def exit_now(code: int) -> None:
    """End the process without waiting for threads that may never end. What is written so far is flushed."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


class StopSignals:
    """Listens while it is entered.

    Python's own handlers are used and not the event loop's: a handler that blocks the loop must not keep the second
    signal from being heard. The system may hand a signal to any thread, or to this one just before it falls asleep in
    the loop, and Python's handlers run once this thread wakes: a socket of its own wakes it (`signal.set_wakeup_fd`).

    Args:
        stop: Called on the event loop at the first signal, with its name.
        force: Called in the signal handler at the second one, with the exit code 128 + its number: 143 or 130.
    """

    def __init__(self, stop: Callable[[str], None], force: Callable[[int], None] = exit_now) -> None:
        self._stop, self._force = stop, force
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: dict[int, Any] = {}
        self.heard = 0

    def __enter__(self) -> Self:
        self._loop = loop = asyncio.get_running_loop()
        self._woken, self._wakes = socket.socketpair()
        for end in (self._woken, self._wakes):
            end.setblocking(False)
        loop.add_reader(self._woken, self._woken.recv, 4096)
        self._wakes_before = signal.set_wakeup_fd(self._wakes.fileno(), warn_on_full_buffer=False)
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        signal.set_wakeup_fd(self._wakes_before)
        if self._loop is not None:
            self._loop.remove_reader(self._woken)
        self._woken.close()
        self._wakes.close()

    def _hear(self, number: int, _: FrameType | None) -> None:
        self.heard += 1
        if self.heard > 1:
            self._force(128 + number)
        elif self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop, signal.Signals(number).name)
