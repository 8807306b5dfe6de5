"""Kafka's protocol as bytes: requests in, responses out. The codecs are kio's, loaded when first asked for."""

from __future__ import annotations

import io
import struct
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from kio.serial import entity_reader, entity_writer

from kafkaboot.dev.embedded import bounds

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = struct.Struct(">hhi")
"""Of every request: api key, api version, correlation id."""
_SIZE = struct.Struct(">i")
_API_VERSIONS = 18


class Codec:
    """How one request in one version is read, and how its response is written.

    Attributes:
        response: kio's module of the response's classes.
    """

    def __init__(self, name: str, version: int) -> None:
        camel = "".join(part.title() for part in name.split("_"))
        request = getattr(import_module(f"kio.schema.{name}.v{version}.request"), f"{camel}Request")
        self.response: Any = import_module(f"kio.schema.{name}.v{version}.response")
        answer = getattr(self.response, f"{camel}Response")
        self._classes = (request.__header_schema__, request)
        self._read_header = entity_reader(request.__header_schema__)
        self._read_body = entity_reader(request)
        self._header = answer.__header_schema__
        self._write_header: Any = entity_writer(self._header)
        self._write_body: Any = entity_writer(answer)

    def read(self, frame: bytes) -> tuple[Any, Any]:
        """The header and the body.

        Raises:
            Exception: Of whatever kind the codec raises for bytes that are no such request.
        """
        bounds.check(*self._classes, frame)
        header, at = self._read_header(frame, 0)
        body, _ = self._read_body(frame, at)
        return header, body

    def write(self, correlation: int, body: object) -> bytes:
        """A whole response, its size first."""
        out = io.BytesIO()
        out.write(b"\0\0\0\0")
        self._write_header(out, self._header(correlation_id=correlation))
        self._write_body(out, body)
        size = out.tell() - 4
        out.seek(0)
        out.write(_SIZE.pack(size))
        return out.getvalue()


@cache
def codec(name: str, version: int) -> Codec:
    """The codec of `name` (kio's: `list_offsets`) in a version."""
    return Codec(name, version)


class Api(NamedTuple):
    """A request that this broker answers.

    Attributes:
        key: Its number in the protocol.
        name: kio's name for it.
        oldest: The oldest version that is answered.
        newest: The newest one.
        answer: `answer(node, request, response_module, connection)`; a coroutine where it may have to wait. `None` as
            the answer means that the client wants none.
    """

    key: int
    name: str
    oldest: int
    newest: int
    answer: Callable[..., Any]


def make(entity: Callable[..., Any], **fields: Any) -> Any:
    """A response in whichever version: fields that this version does not have are left out."""
    known = entity.__dataclass_fields__  # type: ignore[attr-defined]
    return entity(**{name: value for name, value in fields.items() if name in known})


def unsupported_version(correlation: int) -> bytes:
    """The answer to an `ApiVersions` newer than ours: version 0, error 35, so that the client asks again (KIP-511)."""
    body = struct.pack(">ihihhh", correlation, 35, 1, _API_VERSIONS, 0, 3)
    return _SIZE.pack(len(body)) + body
