"""Time, replaceable in tests."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the house reads the time."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never going back."""

    def time(self) -> float:
        """Seconds since the epoch, UTC."""


class SystemClock:
    """The machine's clock."""

    monotonic = staticmethod(time.monotonic)
    time = staticmethod(time.time)


class ManualClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self.now = start

    def monotonic(self) -> float:
        """The current virtual time, in seconds."""
        return self.now

    def time(self) -> float:
        """The current virtual time, in seconds since the epoch."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Move time on."""
        self.now += seconds
