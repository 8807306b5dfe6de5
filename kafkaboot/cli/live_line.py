"""One line at the bottom of a terminal that is written over twice a second, and gives way to everything else."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

PERIOD = 0.5
"""Seconds between two updates."""
WINDOW = 4
"""Updates over which throughput is averaged."""


class LiveLine:
    """Shows throughput and lag while it runs.

    What others write to standard output and error meanwhile, log records among it, stands above the line.

    Args:
        handled: Answers the records handled since the start.
        lag: Answers how far behind the groups are, or `None` where that is not known.
    """

    def __init__(self, handled: Callable[[], int], lag: Callable[[], int | None]) -> None:
        self._handled, self._lag = handled, lag
        self._began = time.monotonic()
        self._seen: list[tuple[float, int]] = []
        self._text = ""
        self._lock = threading.RLock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="kafkaboot-live-line", daemon=True)
        self._streams: dict[str, Any] = {}

    def start(self) -> None:
        """Show it."""
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            self._streams[name] = stream
            if stream.isatty():
                self._replace(name, stream, _Above(stream, self))
        self._thread.start()

    def stop(self) -> None:
        """Erase it; a second call does nothing."""
        if self._ending.is_set():
            return
        self._ending.set()
        self._thread.join()
        for name, stream in self._streams.items():
            self._replace(name, getattr(sys, name), stream)
        with self._lock:
            self._text = ""

    def above(self, stream: TextIO, text: str) -> int:
        """Write something else, above the line."""
        with self._lock:
            if self._text:
                self._streams["stdout"].write("\r\x1b[K")
                self._streams["stdout"].flush()
            written = stream.write(text)
            stream.flush()
            if self._text and text.endswith("\n"):
                self._draw()
            return written

    def line(self, now: float) -> str:
        """What is shown at a time of the monotonic clock."""
        self._seen = [*self._seen[-WINDOW:], (now, self._handled())]
        (then, before), (_, total) = self._seen[0], self._seen[-1]
        rate = (total - before) / (now - then) if now > then else 0.0
        lag = self._lag()
        up = int(now - self._began)
        shown = f"{rate:,.0f} records/s  handled {total:,}"
        if lag is not None:
            shown += f"  lag {lag:,}"
        return f"{shown}  up {up // 3600:d}:{up // 60 % 60:02d}:{up % 60:02d}"

    def _run(self) -> None:
        while not self._ending.wait(PERIOD):
            text = self.line(time.monotonic())
            with self._lock:
                self._text = text
                self._draw()
        with self._lock:
            self._streams["stdout"].write("\r\x1b[K")
            self._streams["stdout"].flush()

    def _draw(self) -> None:
        out = self._streams["stdout"]
        text = self._text[: max(20, _columns() - 1)]
        out.write(f"\r{text if os.environ.get('NO_COLOR') else click.style(text, dim=True)}\x1b[K")
        out.flush()

    @staticmethod
    def _replace(name: str, before: Any, after: Any) -> None:
        setattr(sys, name, after)
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is before:
                handler.stream = after


class _Above:
    """A stream that makes room for what is written to it."""

    def __init__(self, stream: TextIO, line: LiveLine) -> None:
        self._stream, self._line = stream, line

    def write(self, text: str) -> int:
        return self._line.above(self._stream, text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns
