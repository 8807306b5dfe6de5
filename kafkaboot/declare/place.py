"""Where a declaration stands, and which local names its annotations may mean."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import CodeType, FrameType

LOCAL_NAMES = "__kafkaboot_local_names__"


def caller() -> FrameType:
    """The innermost frame outside of this room."""
    room = __name__.rpartition(".")[0]
    frame = sys._getframe(1)  # noqa: SLF001 - a class has no line number of its own before Python 3.13
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(room):
        frame = frame.f_back
    return frame


def file_line(filename: str, line: int) -> str:
    """`file:line`, relative to the working directory where it lies below it."""
    here = os.getcwd() + os.sep  # noqa: PTH109 - pathlib costs five times as much, and this runs once a decorator
    return f"{filename.removeprefix(here)}:{line}"


def frame_place(frame: FrameType) -> str:
    """`file:line` of the statement that the frame is in."""
    return file_line(frame.f_code.co_filename, frame.f_lineno)


def code_place(code: CodeType) -> str:
    """`file:line` of a function's first line."""
    return file_line(code.co_filename, code.co_firstlineno)


def remember_local_names(function: Any, frame: FrameType) -> None:
    """Keep those local names that the function's annotations mention as text.

    A class defined inside a function is in no module: once the frame is gone, nothing else could tell what the text
    meant. Only what is mentioned is kept, so that a handler does not keep a whole frame alive.
    """
    annotations = getattr(function, "__dict__", None) is not None and getattr(function, "__annotations__", None)
    texts = [text for text in (annotations or {}).values() if isinstance(text, str)]
    if not texts:
        return
    known: dict[str, Any] = {}
    scope: FrameType | None = frame
    while scope is not None and scope.f_locals is not scope.f_globals:
        known = {**scope.f_locals, **known}
        # A class's body runs inside the frame that surrounds it; the caller of a function does not surround it.
        scope = scope.f_back if "__qualname__" in scope.f_locals else None
    kept = {name: known[name] for text in texts for name in _names(text) if name in known}
    if kept:
        setattr(function, LOCAL_NAMES, kept)


def _names(text: str) -> tuple[str, ...]:
    try:
        return compile(text, "<annotation>", "eval").co_names
    except SyntaxError:  # `annotations` reports it, with the parameter's name
        return ()
