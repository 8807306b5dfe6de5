"""What stands inside `Annotated[...]` to say where an argument comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Payload:
    """`Annotated[T, Payload()]`: this parameter takes the record's value, whatever stands before it."""


@dataclass(frozen=True, slots=True)
class Header:
    """`Annotated[str, Header("name")]`: the last header of that name, as text or as bytes."""

    name: str


@dataclass(frozen=True, slots=True)
class Key:
    """`Annotated[str, Key()]`: the record's key, as text or as bytes."""


@dataclass(frozen=True, slots=True)
class Named:
    """`Annotated[T, Named("name")]`: the component of that name, where several provide one type."""

    name: str
