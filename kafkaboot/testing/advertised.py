"""The addresses in a broker's answers, replaced by a proxy's own: clients go where Metadata sends them."""

from __future__ import annotations

import io
import struct
from dataclasses import fields, is_dataclass, replace
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = {3: "metadata", 10: "find_coordinator", 60: "describe_cluster"}
"""Requests whose answers name brokers, by their number in the protocol."""
_SIZE = struct.Struct(">i")
_NOWHERE = 0
"""The port that stands beside an error."""


class UnreadableAnswerError(Exception):
    """An answer cannot be read, so that a client would be sent past the proxy."""


@cache
def _codec(api: int, version: int) -> tuple[Any, Any, Any, Any]:
    from kio.serial import entity_reader, entity_writer

    name = NAMES[api]
    kind = getattr(
        import_module(f"kio.schema.{name}.v{version}.response"),
        "".join(part.title() for part in name.split("_")) + "Response",
    )
    header = kind.__header_schema__
    return entity_reader(header), entity_reader(kind), entity_writer(header), entity_writer(kind)


def rewritten(frame: bytes, api: int, version: int, instead: Callable[[str, int], tuple[str, int]]) -> bytes:
    """A whole answer, its size first, that names other addresses.

    Args:
        frame: The answer, its size first.
        api: The request's number in the protocol.
        version: The request's version.
        instead: The address to name for a broker's own.

    Raises:
        UnreadableAnswerError: It cannot be read, for instance because its version is not known here.
    """
    try:
        read_header, read_body, write_header, write_body = _codec(api, version)
        header, size = read_header(frame, 4)
        body, _ = read_body(frame, 4 + size)
    except Exception as error:
        raise UnreadableAnswerError(f"{NAMES[api]} in version {version}: {type(error).__name__}: {error}") from error
    out = io.BytesIO()
    out.write(frame[:4])
    write_header(out, header)
    write_body(out, _replaced(body, instead))
    out.seek(0)
    out.write(_SIZE.pack(len(out.getbuffer()) - 4))
    return out.getvalue()


def _replaced(entity: Any, instead: Callable[[str, int], tuple[str, int]]) -> Any:
    changes: dict[str, Any] = {}
    for field in fields(entity):
        value = getattr(entity, field.name)
        if isinstance(value, tuple) and value and is_dataclass(value[0]):
            changes[field.name] = tuple(_replaced(one, instead) for one in value)
    if hasattr(entity, "host") and hasattr(entity, "port") and entity.host and entity.port > _NOWHERE:
        changes["host"], changes["port"] = instead(entity.host, entity.port)
    return replace(entity, **changes) if changes else entity
