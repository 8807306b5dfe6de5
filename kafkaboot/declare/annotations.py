"""Annotations as objects, however they were written: as text, behind `from __future__`, inside a function."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from typing import Any

from kafkaboot.declare.place import LOCAL_NAMES
from kafkaboot.errors import DeclarationError

NOTHING: Any = inspect.Parameter.empty
"""Stands for "no annotation" and "no default"."""


def parameters(function: Any) -> list[inspect.Parameter]:
    """The function's parameters with their annotations as they were written; of a bound method, without `self`."""
    return list(inspect.signature(function).parameters.values())


def resolve(annotation: Any, function: Any, parameter: str, where: str) -> Any:
    """The object that an annotation means. `Annotated` is kept.

    Args:
        annotation: As written: an object or a text.
        function: Where it stands; its module and the names around it are searched.
        parameter: The parameter's name, or `return`.
        where: File and line for the error.

    Raises:
        DeclarationError: It names something that does not exist at run time, or cannot be read.
    """
    inner = inspect.unwrap(getattr(function, "__func__", function))
    module = getattr(inner, "__module__", None) or ""
    scope = getattr(inner, "__globals__", None) or vars(sys.modules.get(module, typing))
    written = typing.ForwardRef(annotation, is_argument=False) if isinstance(annotation, str) else annotation
    holder = types.SimpleNamespace(__annotations__={parameter: written})
    spot = "the return annotation" if parameter == "return" else f"parameter {parameter!r}"
    name = getattr(inner, "__qualname__", repr(inner)).replace("<locals>.", "")
    try:
        return typing.get_type_hints(holder, scope, _local_names(inner), include_extras=True)[parameter]
    except NameError as error:
        raise DeclarationError(
            f"{spot} of {name} is annotated with {error.name!r}, which {module} does not know at run time",
            where=where,
            todo=f"define {error.name} in the module, or import it outside of `if TYPE_CHECKING:`",
        ) from error
    except Exception as error:
        raise DeclarationError(
            f"{spot} of {name} has an annotation that cannot be read: {annotation!r} ({error})", where=where
        ) from error


def _local_names(function: Any) -> dict[str, Any]:
    """Names that only the function can see: those of its closure, and those kept when it was decorated."""
    known: dict[str, Any] = dict(getattr(function, LOCAL_NAMES, {}))
    code = getattr(function, "__code__", None)
    for name, cell in zip(getattr(code, "co_freevars", ()), getattr(function, "__closure__", None) or (), strict=True):
        try:
            known[name] = cell.cell_contents
        except ValueError:  # the variable has no value yet, so an annotation cannot mean it
            continue
    return known
