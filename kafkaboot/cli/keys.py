"""Keys as they are pressed, where standard input is a terminal."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import TracebackType


class Keys:
    """Takes the terminal's keys one by one while it is entered; Ctrl-C and Ctrl-Z keep their meaning.

    Nothing is taken where standard input is no terminal, or is the terminal of another job: one in the background
    that changes its settings is stopped by the kernel.
    """

    def __init__(self) -> None:
        self._terminal: int | None = None
        self._before: list[Any] = []

    def __enter__(self) -> Self:
        if sys.stdin is None or not sys.stdin.isatty() or sys.platform == "win32":
            return self
        import termios
        import tty

        number = sys.stdin.fileno()
        if _in_front(number):
            self._before = termios.tcgetattr(number)
            tty.setcbreak(number)
            self._terminal = number
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._terminal is not None:
            import termios

            termios.tcsetattr(self._terminal, termios.TCSADRAIN, self._before)
            self._terminal = None

    @property
    def sources(self) -> list[int]:
        """What becomes readable when a key is pressed."""
        return [] if self._terminal is None else [self._terminal]

    def pressed(self) -> str:
        """The keys since the last call, in order."""
        if self._terminal is None:
            return ""
        import select

        if not select.select(self.sources, [], [], 0)[0]:
            return ""
        try:
            keys = os.read(self._terminal, 64)
        except OSError:
            keys = b""
        if not keys:  # the terminal is gone, and would be readable for ever
            self._terminal = None
        return keys.decode("utf-8", "ignore")


def _in_front(terminal: int) -> bool:
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return True  # it is no job's controlling terminal: nobody is stopped for touching it
