"""What makes two failures the same one: the exception's class, the handler, and the place in the code."""

from __future__ import annotations

import re
import sysconfig
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import kafkaboot
from kafkaboot.failure.meaning import dotted

if TYPE_CHECKING:
    from types import FrameType

LENGTH = 12
"""Digits of a fingerprint: 48 bits; among 10,000 kinds of failures two are alike once in five million times."""

_OURS = str(Path(kafkaboot.__file__).parent) + "/"
_STDLIB = tuple(f"{sysconfig.get_path(name)}/" for name in ("stdlib", "platstdlib"))
_INSTALLED = ("/site-packages/", "/dist-packages/")
_VARYING = re.compile(r"0x[0-9a-fA-F]+|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|\d+|'[^']*'|\"[^\"]*\"")


def fingerprint(error: BaseException, handler: str) -> str:
    """A short text that is the same for the same failure, whatever its message says.

    It is made of the exception's dotted class, the handler's id, and the module and function of the deepest frame of
    the traceback that is the application's own (neither of kafkaboot, nor of Python's library, nor installed beside
    it), else of the deepest frame there is.
    """
    return _digest(dotted(type(error)), handler, _place(error))


def shape_fingerprint(exception: str, handler: str, message: str) -> str:
    """The same for a letter whose writer left no fingerprint: the message stands for the place, without what varies."""
    return _digest(exception, handler, _VARYING.sub("#", message)[:200])


def _digest(*parts: str) -> str:
    return sha256("\n".join(parts).encode("utf-8", "backslashreplace")).hexdigest()[:LENGTH]


def _place(error: BaseException) -> str:
    own: FrameType | None = None
    deepest: FrameType | None = None
    trace = error.__traceback__
    while trace is not None:
        deepest = trace.tb_frame
        if is_own(deepest.f_code.co_filename):
            own = deepest
        trace = trace.tb_next
    frame = own or deepest
    return f"{frame.f_globals.get('__name__', '')}:{frame.f_code.co_qualname}" if frame is not None else ""


@lru_cache(maxsize=4096)
def is_own(file: str) -> bool:
    """Whether code in a file is the application's own: neither kafkaboot's, nor Python's, nor installed."""
    path = file.replace("\\", "/")
    return not path.startswith((_OURS, *_STDLIB, "<frozen")) and not any(part in path for part in _INSTALLED)
