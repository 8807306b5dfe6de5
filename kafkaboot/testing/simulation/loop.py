"""An event loop that is stepped by hand, and a gate that lets virtual time pass."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING

from kafkaboot.consumer.backpressure import Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kafkaboot.clock import Clock

STEPS = 4
"""Turns of the loop in which whoever can go on has done so."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Timers follow the clock; nothing is waited for."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(_Nothing())
        self._virtual = clock

    def time(self) -> float:
        """The clock's time."""
        return self._virtual.monotonic()

    def step(self, times: int = STEPS) -> None:
        """Run what is ready and due, so many turns of the loop."""
        for _ in range(times):
            self.call_soon(self.stop)
            self.run_forever()


class VirtualGate(Gate):
    """A gate at which virtual time passes in place of real time."""

    def __init__(self, passing: Callable[[float], None]) -> None:
        super().__init__()
        self._passing = passing

    def wait(self, seconds: float) -> None:
        """See `Gate`."""
        self.waiting = True
        self._passing(seconds)
        self.waiting = False

    def breathe(self, seconds: float) -> None:
        """See `Gate`."""
        self._passing(seconds)


class _Nothing(selectors.BaseSelector):
    """No socket is ever ready."""

    def __init__(self) -> None:
        self._keys: dict[object, selectors.SelectorKey] = {}

    def register(self, fileobj: object, events: int, data: object = None) -> selectors.SelectorKey:
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()  # type: ignore[attr-defined]
        key = self._keys[fileobj] = selectors.SelectorKey(fileobj, number, events, data)  # type: ignore[arg-type]
        return key

    def unregister(self, fileobj: object) -> selectors.SelectorKey:
        return self._keys.pop(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:  # noqa: ARG002
        return []

    def get_map(self) -> Mapping[object, selectors.SelectorKey]:  # type: ignore[override]
        return self._keys
