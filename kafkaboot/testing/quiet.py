"""Wiring an application without letting it take the process's log."""

from __future__ import annotations

import logging


class LogLeftAlone:
    """The application's log goes where the test's goes: pytest captures it; `kafkaboot.logging` is for processes."""

    def __enter__(self) -> None:
        root = logging.getLogger()
        self._handlers, self._level = list(root.handlers), root.level

    def __exit__(self, *_: object) -> None:
        root = logging.getLogger()
        root.handlers[:] = self._handlers
        root.setLevel(self._level)
