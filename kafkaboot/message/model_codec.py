"""The codec of pydantic models. Loaded when a handler or a publisher has one, never before."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError

from kafkaboot.errors import DeclarationError

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
        name = getattr(annotation, "__name__", None) or str(annotation)
        raise DeclarationError(
            f"no record can be decoded into {name}: {str(error).splitlines()[0]}",
            todo="make it of pydantic models, dataclasses, dicts, lists, numbers, texts and times",
        ) from error


def model_encoder(model: Any) -> Callable[[Any], bytes]:
    """The serializer's own function, writing the aliases that the decoder reads."""
    return partial(TypeAdapter(model).serializer.to_json, by_alias=True)
