"""Keys: which part of a payload it is, and its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID

from kafkaboot.errors import PublishError

if TYPE_CHECKING:
    from collections.abc import Callable

Key = str | bytes | int | UUID | None
"""What a key may be: bytes as they stand; a text as UTF-8; a number as its decimal digits; a UUID in its usual
form with dashes. Producers in other languages partition alike if they write the same bytes."""


def key_bytes(key: Any) -> bytes | None:
    """The key as it is written.

    Raises:
        PublishError: It is none of the types that `Key` lists.
    """
    if key is None or isinstance(key, bytes):
        return key
    if isinstance(key, str):
        return key.encode()
    if isinstance(key, int) and not isinstance(key, bool):
        return b"%d" % key
    if isinstance(key, UUID):
        return str(key).encode()
    if isinstance(key, bytearray | memoryview):
        return bytes(key)
    raise PublishError(
        f"a key must be str, bytes, int or UUID, and this is {type(key).__name__}",
        code="INVALID_KEY",
        fate="the record was not sent",
        todo="choose another field, or make a text of it: key=lambda payload: str(...)",
    )


def key_getter(key: str | Callable[[Any], Any] | None, payload_type: type) -> Callable[[Any], Any] | None:
    """What finds the key in payloads of that type; `None` when there is none to find.

    Raises:
        PublishError: The type is known to have no such field.
    """
    if key is None or not isinstance(key, str):
        return key
    if issubclass(payload_type, Mapping):
        return itemgetter(key)
    names = field_names(payload_type)
    if payload_type in {str, bytes, int, float, list} or (
        names and not hasattr(payload_type, key) and key not in names
    ):
        raise missing_field(key, payload_type)
    return attrgetter(key)


def missing_field(key: str, payload_type: type) -> PublishError:
    """The error of a key whose field is not there."""
    names = field_names(payload_type)
    return PublishError(
        f"{payload_type.__name__} has no field {key!r} to be the key",
        code="INVALID_KEY",
        fate="the record was not sent",
        todo=f"its fields are {', '.join(names)}" if names else "name one of its fields, or give a callable",
    )


def field_names(payload_type: type) -> tuple[str, ...]:
    """The fields that a type declares; empty where it declares none."""
    names: Any = getattr(payload_type, "model_fields", None) or getattr(payload_type, "__struct_fields__", None)
    return tuple(names or getattr(payload_type, "__dataclass_fields__", ()))
