"""The records that `kafkaboot probe` is given: pasted, from a file, from standard input, from a topic, or made."""

from __future__ import annotations

import base64
import json
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kafkaboot.message import Record, encode, event_type, type_name
from kafkaboot.message.headers import CE_TYPE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.boot.pipeline import Handler
    from kafkaboot.failure.letter import Letter

PLACE = re.compile(r"(?P<topic>[A-Za-z0-9._-]+)\[(?P<partition>\d+)\]@(?P<offset>\d+)")
FIELDS = {"key", "value", "headers", "topic", "partition", "offset", "timestamp", "type", "undecodable"}
"""Of a record written as a JSON object: what `kafkaboot tail --json` writes."""
TELLING = {"key", "headers", "topic"}
"""One of these, beside `value` and nothing unknown, makes a JSON object a record rather than a payload."""


@dataclass(frozen=True, slots=True)
class Address:
    """A record that stands in Kafka."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True, slots=True)
class Given:
    """A record, and where it comes from.

    Attributes:
        record: What the handler gets.
        source: Where it comes from, for people.
        letter: The dead letter that it was taken out of, or `None`.
    """

    record: Record
    source: str
    letter: Letter | None = None


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says of pasted records."""

    key: str | None = None
    headers: Sequence[tuple[str, str]] = ()
    type: str | None = None

    @property
    def given(self) -> bool:
        """Whether it says anything."""
        return bool(self.key is not None or self.headers or self.type is not None)


def address(text: str) -> Address | None:
    """The place in Kafka that a text names, `topic[partition]@offset`, or `None`."""
    found = PLACE.fullmatch(text)
    return Address(found["topic"], int(found["partition"]), int(found["offset"])) if found else None


def written(text: str, handler: Handler, options: Options) -> Given:
    """A record that is pasted, or read from a file (`@path`) or standard input (`-`).

    Raises:
        UsageError: The file cannot be read, nothing comes, or a record written as an object is not one.
    """
    raw, source = _bytes(text)
    return pasted(raw, handler, options, source)


def pasted(raw: bytes, handler: Handler, options: Options, source: str) -> Given:
    """A record from its bytes: a value, or an object that describes a whole record.

    Raises:
        UsageError: A record written as an object is not one.
    """
    return _given(_record(raw, handler) or _of_value(raw, handler), handler, options, source)


def made(handler: Handler, options: Options) -> Given:
    """A sample of the handler's payload.

    Raises:
        DeclarationError: Nothing can be made of its type.
    """
    from kafkaboot.cli.first_event import made_of
    from kafkaboot.declare import Kind
    from kafkaboot.message import without_none

    taken = [one for one in handler.signature.parameters if one.kind in {Kind.PAYLOAD, Kind.BATCH}]
    annotation = without_none(taken[0].annotation)[0] if taken else str
    source = f"made up: a sample of {type_name(annotation)}"
    return _given(_of_value(encode(made_of(annotation)), handler), handler, options, source)


def _bytes(text: str) -> tuple[bytes, str]:
    if text == "-":
        # What a shell appends to a line is no part of the value.
        piped = sys.stdin.buffer.read().removesuffix(b"\n")
        if not piped:
            raise click.UsageError("no RECORD is given, and nothing came from standard input")
        return piped, "standard input"
    if not text.startswith("@"):
        return text.encode(), "pasted"
    try:
        return Path(text[1:]).read_bytes().removesuffix(b"\n"), text[1:]
    except OSError as error:
        raise click.UsageError(f"{text[1:]} cannot be read: {error.strerror or error}") from error


def _of_value(value: bytes | None, handler: Handler) -> Record:
    topics = handler.spec.topics
    return Record(
        topics[0] if topics else handler.spec.pattern or "", 0, 0, value=value, timestamp=time.time_ns() // 1_000_000
    )


def _record(raw: bytes, handler: Handler) -> Record | None:
    """The record that an object describes; `None` where the bytes are a value."""
    try:
        found = json.loads(raw)
    except ValueError:
        return None
    if not isinstance(found, dict) or "value" not in found or found.keys() - FIELDS or not found.keys() & TELLING:
        return None
    record = _of_value(_content(found["value"], "value", as_json=True), handler)
    record.key = _content(found.get("key"), "key")
    headers = found.get("headers") or []
    pairs = headers.items() if isinstance(headers, dict) else headers
    try:
        record.headers = [(str(name), _content(content, f"header {name}")) for name, content in pairs]
    except (TypeError, ValueError) as error:
        raise click.UsageError("the record's headers are neither an object nor a list of [name, value]") from error
    record.topic = str(found.get("topic") or record.topic)
    record.partition = _number(found, "partition", record.partition)
    record.offset = _number(found, "offset", record.offset)
    record.timestamp = _number(found, "timestamp", record.timestamp or 0)
    return record


def _content(value: Any, what: str, *, as_json: bool = False) -> bytes | None:
    """The bytes of a key, a header or a value: a text as it is, `{"base64": ...}` decoded."""
    if value is None:
        return None
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, dict) and value.keys() == {"base64"}:
        try:
            return base64.b64decode(value["base64"], validate=True)
        except (ValueError, TypeError) as error:
            raise click.UsageError(f"the record's {what} is no base64: {error}") from error
    if as_json:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
    raise click.UsageError(f'the record\'s {what} must be a text, null, or {{"base64": "..."}}')


def _number(found: dict[str, Any], name: str, default: int) -> int:
    value = found.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise click.UsageError(f"the record's {name} must be a whole number from 0, and is {value!r}")
    return value


def _given(record: Record, handler: Handler, options: Options, source: str) -> Given:
    """The record with what the options say; with the handler's type where it has none."""
    from kafkaboot.testing.probing import original

    if options.key is not None:
        record.key = options.key.encode()
    record.headers += [(name, value.encode()) for name, value in options.headers]
    if options.type is not None:
        record.headers = [(name, value) for name, value in record.headers if name != CE_TYPE]
    kind = options.type or (handler.type if event_type(record.headers) is None else None)
    if kind is not None:
        record.headers.append((CE_TYPE, kind.encode()))
    was, letter = original(record)
    return Given(was, source, letter)
