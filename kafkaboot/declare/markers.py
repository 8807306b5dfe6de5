"""What stands inside `Annotated[...]` to say where an argument comes from."""

from __future__ import annotations

from dataclasses import dataclass

from kafkaboot.errors import DeclarationError


@dataclass(frozen=True, slots=True)
class Payload:
    """`Annotated[T, Payload()]`: this parameter takes the record's value, whatever stands before it."""


@dataclass(frozen=True, slots=True)
class Header:
    """`Annotated[str, Header("name")]`: the last header of that name, as text or as bytes."""

    name: str

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise DeclarationError(f"Header({self.name!r}): it needs the header's name", todo='write Header("name")')


@dataclass(frozen=True, slots=True)
class Key:
    """`Annotated[str, Key()]`: the record's key, as text or as bytes."""


@dataclass(frozen=True, slots=True)
class Named:
    """`Annotated[T, Named("name")]`: the component of that name, where several provide one type."""

    name: str
