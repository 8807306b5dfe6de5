"""Why a value could not be decoded, in words. On failure only: it may read the value a second time.

What was found is told as a shape ("a string of 16 characters"), never as the value: it may be somebody's card number.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from kafkaboot.errors import UndecodableError
from kafkaboot.message.annotation import split, type_name

LIMIT = 80
"""Characters that a text from the wire may take in an error."""

SHOWN = 3
"""Mistakes of one value that an error tells."""

_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?:key in )?(?P<path>\$.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_EXPECTED = re.compile(r"^Expected (?P<wanted>.*?)(?:, got (?P<got>.*))?$", re.DOTALL)
_MALFORMED = re.compile(r"^JSON is malformed: (.*) \(byte (\d+)\)$")
_HALF_A_PAIR = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])")
_INVALID = re.compile(r"^Invalid JSON: (.*) at line (\d+) column (\d+)$")
_UNKNOWN: Any = object()


def explain(
    error: BaseException, annotation: Any, raw: bytes | None, *, where: str = "", fate: str = ""
) -> UndecodableError:
    """The error of a decoder, in words.

    Args:
        error: What the decoder raised.
        annotation: What the decoder was made for.
        raw: The value.
        where: The record's `topic[partition]@offset`.
        fate: What becomes of the record.
    """
    bare, _ = split(annotation)
    name = type_name(bare)
    todo = ""
    if raw is None:
        what = f"the value is null, and {name} does not take null"
        todo = f"annotate the payload {name} | None to take null values (tombstones)"
    else:
        broken = _not_utf8(raw) if bare is str else _not_json(raw) or _not_their_json(error, raw)
        what = broken or f"the value does not fit {name}: {_mistakes(error, raw)}"
    return UndecodableError(what, where=where, fate=fate, todo=todo)


def printable(text: str, limit: int = LIMIT) -> str:
    """A text from the wire on one line of a log: control characters escaped, cut."""
    cut = text if len(text) <= limit else f"{text[: limit - 3]}..."
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in cut)


def shape(value: object) -> str:
    """What kind of thing a decoded JSON value is, without the value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return f"a string of {_count(len(value), 'character')}"
    if isinstance(value, list | tuple):
        return f"an array of {_count(len(value), 'element')}"
    if isinstance(value, dict):
        fields = ", ".join(str(name) for name in value)
        return printable(f"an object with the fields {fields}") if value else "an empty object"
    return f"a {type(value).__name__}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _not_utf8(raw: bytes) -> str:
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return f"the value is not UTF-8: {error.reason} at byte {error.start}"
    return ""


def _not_json(raw: bytes) -> str:
    try:
        # Python's own parser is slow and says exactly where; digits beyond number are no fault of JSON's.
        json.loads(raw.decode(), parse_int=float)
    except UnicodeDecodeError as error:
        return f"the value is not JSON: {error.reason} in UTF-8 at byte {error.start}"
    except json.JSONDecodeError as error:
        if error.doc == "":
            return "the value is not JSON: it is empty at byte 0"
        reason = error.msg.removesuffix(" at")
        byte = len(error.doc[: error.pos].encode())
        return f"the value is not JSON: {reason[:1].lower()}{reason[1:]} at byte {byte}"
    except RecursionError:
        return "the value is JSON that is nested too deeply"
    return ""


def _not_their_json(error: BaseException, raw: bytes) -> str:
    """What Python's parser lets pass and the decoder does not: `NaN`, half a surrogate pair."""
    if type(error) is msgspec.DecodeError and (found := _MALFORMED.match(str(error))):
        return f"the value is not JSON: {found[1]} at byte {found[2]}"
    if type(error) is msgspec.DecodeError and (half := _HALF_A_PAIR.search(raw)):
        return f"the value is not JSON: half a surrogate pair at byte {half.start()}"
    errors = getattr(error, "errors", None)
    first = errors(include_url=False)[0] if callable(errors) else {"type": ""}
    if first["type"] == "json_invalid" and (found := _INVALID.match(first["msg"])):
        before = sum(len(line) + 1 for line in raw.split(b"\n")[: int(found[2]) - 1])
        return f"the value is not JSON: {found[1]} at byte {max(0, before + int(found[3]) - 1)}"
    return ""


def _mistakes(error: BaseException, raw: bytes) -> str:
    if isinstance(error, msgspec.MsgspecError):
        return _from_msgspec(str(error), raw)
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    errors = getattr(error, "errors", None)
    if not callable(errors):
        return printable(f"{type(error).__name__}: {error}")
    found = [_from_pydantic(mistake) for mistake in errors(include_url=False)]
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "; ".join(found[:SHOWN]) + more


def _from_pydantic(mistake: dict[str, Any]) -> str:
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in mistake["loc"])
    path = printable("".join(steps).removeprefix("."))
    head = f"{path}: " if path else ""
    kind, message, context = mistake["type"], mistake["msg"], mistake.get("ctx", {})
    if kind == "missing":
        return f"{path} is missing"
    if kind == "extra_forbidden":
        return f"{path} is not a known field"
    if kind == "json_invalid":
        return printable(message)
    if kind == "union_tag_invalid":
        message = f"Input should be tagged with one of {context['expected_tags']}"
    if kind in {"value_error", "assertion_error"}:
        return f"{head}{printable(str(context.get('error', message)))}"
    wanted = message.removeprefix("Input should be ")
    # Some of pydantic's texts end in a "got" of their own.
    told = f"{message[:1].lower()}{message[1:]}" if wanted == message else f"wanted {wanted.partition(', got ')[0]}"
    return f"{head}{printable(told)}, got {shape(mistake['input'])}"


def _from_msgspec(message: str, raw: bytes) -> str:
    match = _AT.match(message)
    what, path = (match["what"], match["path"] or "$") if match else (message, "$")
    spot = path.removeprefix("$").removeprefix(".")
    head = f"{printable(spot)}: " if spot else ""
    value = _found(raw, path)
    if field := re.fullmatch(r"Object missing required field `(.*)`", what, re.DOTALL):
        return f"{printable(f'{spot}.{field[1]}'.removeprefix('.'))} is missing"
    if field := re.fullmatch(r"Object contains unknown field `(.*)`", what, re.DOTALL):
        return f"{printable(f'{spot}.{field[1]}'.removeprefix('.'))} is not a known field"
    expected = _EXPECTED.match(what)
    got = (expected["got"] if expected else None) or ""
    seen = shape(value) if value is not _UNKNOWN else got.replace("`", "")
    tail = f", got {seen}" if seen else ""
    if expected:
        return f"{head}wanted {printable(expected['wanted'].replace('`', ''))}{tail}"
    if what.startswith(("Invalid enum value", "Invalid value")):
        return f"{head}wanted one of the known values{tail}"
    return f"{head}{printable(what[:1].lower() + what[1:])}{tail}"


def _found(raw: bytes, path: str) -> Any:
    """The value at a path of msgspec's, or `_UNKNOWN` where the path does not say which one."""
    try:
        value = msgspec.json.decode(raw)
        for name, index in _STEP.findall(path):
            value = value[name] if name else value[int(index)]
    except (msgspec.MsgspecError, LookupError, TypeError, ValueError):
        return _UNKNOWN
    return value
