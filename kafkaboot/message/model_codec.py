"""The codec of pydantic models. Loaded when a handler or a publisher has one, never before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from kafkaboot.errors import DeclarationError
from kafkaboot.message.annotation import type_name

if TYPE_CHECKING:
    from collections.abc import Callable


def model_decoder(annotation: Any) -> Callable[[bytes | None], Any]:
    """The validator's own function: `TypeAdapter.validate_json` would add a frame of Python to every record.

    Raises:
        DeclarationError: pydantic has no schema for it.
    """
    try:
        return TypeAdapter(annotation).validator.validate_json  # type: ignore[return-value]
    except (PydanticUserError, TypeError) as error:
        raise DeclarationError(
            f"no record can be decoded into {type_name(annotation)}: {str(error).splitlines()[0]}",
            todo="make it of pydantic models, dataclasses, dicts, lists, numbers, texts and times",
        ) from error


def model_serializer(model: Any) -> Callable[..., bytes]:
    """The serializer's own function. Called with `by_alias=True` it writes the names that the decoder reads."""
    return TypeAdapter(model).serializer.to_json
