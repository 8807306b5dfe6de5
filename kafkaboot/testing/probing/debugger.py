"""pdb in a handler: at its first line, and where it raises; on the thread and the loop that it runs on."""

from __future__ import annotations

import bdb
import inspect
import pdb  # noqa: T100 - it is what this is for
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

Left = bdb.BdbQuit
"""Raised in the handler when the debugger is left with `quit`."""


@contextmanager
def at_first_line(function: Callable[..., Any]) -> Iterator[None]:
    """Stop at the first line of the function when it is called on this thread, the next time only."""
    code = inspect.unwrap(function).__code__
    debugger = pdb.Pdb()

    def watch(frame: FrameType, event: str, _: Any) -> Any:
        if event != "call" or frame.f_code is not code:
            return None
        debugger.set_trace(frame)
        return debugger.trace_dispatch

    before = sys.gettrace()
    sys.settrace(watch)
    try:
        yield
    finally:
        sys.settrace(before)


def in_failure(error: BaseException) -> None:
    """Stop where it was raised, with all frames of its traceback to walk through."""
    pdb.post_mortem(error.__traceback__)
