"""Taking annotations apart, and writing them as a reader does."""

from __future__ import annotations

import types
import typing
from typing import Any


def without_marks(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """`Annotated[T, a, b]` as `T` and `(a, b)`; anything else as it is, with no marks."""
    if typing.get_origin(annotation) is typing.Annotated:
        return annotation.__origin__, annotation.__metadata__
    return annotation, ()


def without_none(annotation: Any) -> tuple[Any, bool]:
    """`T | None` as `T` and `True`; anything else as it is, and `False`."""
    if typing.get_origin(annotation) not in {typing.Union, types.UnionType}:
        return annotation, False
    members = typing.get_args(annotation)
    rest = tuple(member for member in members if member is not types.NoneType)
    if len(rest) == len(members):
        return annotation, False
    # Subscribing `Union` with a tuple is the only spelling that takes a number of members known at run time.
    return typing.Union[rest], True  # noqa: UP007


def split(annotation: Any) -> tuple[Any, bool]:
    """An annotation without `Annotated` around it and without `| None`, and whether there was one."""
    return without_none(without_marks(annotation)[0])


def type_name(annotation: Any) -> str:
    """An annotation as a reader writes it, without the modules' paths."""
    if annotation is types.NoneType:
        return "None"
    annotation, _ = without_marks(annotation)
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        return " | ".join(type_name(argument) for argument in arguments)
    if arguments:
        return f"{type_name(typing.get_origin(annotation))}[{', '.join(type_name(argument) for argument in arguments)}]"
    return getattr(annotation, "__name__", None) or str(annotation)
