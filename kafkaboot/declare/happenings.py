"""The decorators of functions that are told of what happened."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar

from kafkaboot.declare import checks
from kafkaboot.declare.marks import LETTERS
from kafkaboot.declare.place import caller, frame_place, remember_local_names
from kafkaboot.declare.spec import LetterListenerSpec
from kafkaboot.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Callable

    F = TypeVar("F", bound=Callable[..., Any])


def on_dead_letter(function: F) -> F:
    """Call this function, `def` or `async def`, with each dead letter that the broker has acknowledged.

    Its arguments are filled by annotation: one is a `Letter`, the others are components. What it raises is logged and
    changes nothing for the record. Letters are told one after the other; when a thousand wait, the oldest is left out.

    Raises:
        DeclarationError: At once, when it is no function.
    """
    where = frame_place(caller())
    checks.plain_function("on_dead_letter", function, where)
    if not inspect.signature(function).parameters:
        raise DeclarationError(
            f"@on_dead_letter: {function.__name__} takes nothing, so that it could not tell one letter from another",
            where=where,
            todo=f"take the letter: def {function.__name__}(letter: Letter)",
        )
    remember_local_names(function, caller())
    function.__dict__[LETTERS] = LetterListenerSpec(function, where)
    return function
