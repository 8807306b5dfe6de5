"""What is measured now, on the line at the bottom of a terminal."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from kafkaboot.cli.live_line import LiveLine

if TYPE_CHECKING:
    from collections.abc import Callable


class BenchLine(LiveLine):
    """The step that goes on, how much of it is done, and for how long (`testing.bench.Progress`)."""

    def __init__(self) -> None:
        super().__init__(lambda: 0, lambda: None)
        self._step: tuple[str, Callable[[], int] | None, int, float] = ("", None, 0, time.monotonic())

    def __call__(self, what: str, count: Callable[[], int] | None = None, of: int = 0) -> None:
        """A step begins."""
        self._step = (what, count, of, time.monotonic())

    def line(self, now: float) -> str:
        """What is shown at a time of the monotonic clock."""
        what, count, of, began = self._step
        done = f"  {count():,} of {of:,}" if count is not None else ""
        return f"{what}{done}  {max(0.0, now - began):.0f} s"
