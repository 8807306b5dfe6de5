"""One line on standard error, written over while something takes its time. Elsewhere than on a terminal: none."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kafkaboot.failure.replay import Progress

PERIOD = 0.1
"""Seconds between two updates."""
WORTH = 20_000
"""Letters to read below which nothing is said: it is done before anybody has read it."""


class Line:
    """What is shown."""

    def __init__(self) -> None:
        self._shows = sys.stderr.isatty()
        self._last = 0.0
        self._began = time.monotonic()
        self._first: int | None = None
        self._dirty = False

    def reading(self, read: int, total: int) -> None:
        """So many of so many letters are read."""
        if total >= WORTH:
            self._write(f"reading letters: {read:,} of {total:,}", last=read >= total)

    def redriving(self, progress: Progress) -> None:
        """A job has come so far."""
        if self._first is None:
            self._first = progress.done
        seconds = max(time.monotonic() - self._began, 0.001)
        rate = (progress.done - self._first) / seconds
        left = max(0, progress.job.selected - progress.done - sum(progress.left.values()))
        self._write(f"{progress.done:,} done, {left:,} to go, {rate:,.0f}/s", last=not left)

    def clear(self) -> None:
        """Take it away."""
        if self._dirty:
            self._put("\r\x1b[K")
            self._dirty = False

    def _write(self, text: str, *, last: bool) -> None:
        now = time.monotonic()
        if self._shows and (last or now - self._last >= PERIOD):
            self._last, self._dirty = now, True
            self._put(f"\r{text}\x1b[K")

    @staticmethod
    def _put(text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
