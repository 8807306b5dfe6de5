"""A record as a person or a program sees it: decoded by the application's types, control characters escaped."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any

from kafkaboot.cli.payloads import type_named
from kafkaboot.message import Record, decoder, encode, event_type, explain, place, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kafkaboot.boot.blueprint import Blueprint
    from kafkaboot.message import RawRecord

LONGEST = 4000
"""Characters of a value on a person's line; a program gets all of it."""


class Reader:
    """Reads values by the type that their headers name, where the application declares it."""

    def __init__(self, blueprint: Blueprint | None) -> None:
        self._blueprint = blueprint
        self._decoders: dict[str, tuple[Any, Callable[[bytes | None], Any]] | None] = {}

    def plain(self, raw: RawRecord) -> dict[str, Any]:
        """The record as one JSON object; what is no UTF-8 stands in base64."""
        record = Record.of(raw)
        value, trouble = self._value(raw)
        found: dict[str, Any] = {
            "topic": record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "timestamp": record.timestamp,
            "key": _text(record.key),
            "type": event_type(record.headers),
            "headers": [[name, _text(content)] for name, content in record.headers],
            "value": value,
        }
        if trouble:
            found["undecodable"] = trouble
        return found

    def parts(self, raw: RawRecord) -> Iterator[tuple[str, dict[str, Any]]]:
        """The record as pieces of one line, each with its style."""
        record = Record.of(raw)
        value, trouble = self._value(raw)
        yield f"{printable(place(record.topic, record.partition, record.offset))}  ", {"fg": "cyan"}
        if record.timestamp is not None:
            stamp = time.strftime("%H:%M:%S", time.localtime(record.timestamp / 1000))
            yield f"{stamp}.{record.timestamp % 1000:03d}  ", {"dim": True}
        if record.key is not None:
            yield f"{_line(_text(record.key))}  ", {}
        kind = event_type(record.headers)
        if kind is not None:
            yield f"{printable(kind)}  ", {"fg": "green"}
        yield _line(value), {}
        if trouble:
            yield f"  ({printable(trouble)})", {"fg": "yellow"}

    def _value(self, raw: RawRecord) -> tuple[Any, str]:
        """The value as JSON has it, and why it is no value of its declared type."""
        content = raw.value()
        known = self._decoder(event_type(raw.headers() or ()))
        if known is None or content is None:
            return _json_or_text(content), ""
        annotation, decode = known
        try:
            return json.loads(encode(decode(content)) or b"null"), ""
        except Exception as error:
            return _json_or_text(content), explain(error, annotation, content).what

    def _decoder(self, name: str | None) -> tuple[Any, Callable[[bytes | None], Any]] | None:
        if name is None:
            return None
        if name not in self._decoders:
            payload = type_named(self._blueprint, name)
            self._decoders[name] = None if payload is None else (payload, decoder(payload))
        return self._decoders[name]


def _json_or_text(content: bytes | None) -> Any:
    if content is None:
        return None
    try:
        return json.loads(content)
    except ValueError:
        return _text(content)


def _text(content: bytes | None) -> Any:
    if content is None:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(content).decode()}


def _line(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return printable(text, LONGEST)
