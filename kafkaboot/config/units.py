"""Durations, sizes and ratios as people write them: `10s`, `64KB`, `50%`.

Annotate a field of a settings model with one of these; its default is the plain number.
"""

from __future__ import annotations

import math
import re
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

DURATION_PATTERN = r"^\s*([0-9]+(\.[0-9]+)?\s*(ns|us|ms|s|m|h|d|w)?\s*)+$"
SIZE_PATTERN = r"^\s*[0-9]+(\.[0-9]+)?\s*([kKmMgGtT]?[iI]?[bB]?)\s*$"
RATIO_PATTERN = r"^\s*[0-9]+(\.[0-9]+)?\s*%?\s*$"

_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|ms|s|m|h|d|w))+")
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|ms|s|m|h|d|w)")
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([kmgt]?)(?:i?b)?")
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}

_WANTS_DURATION = "a duration is wanted: 200ms, 10s, 1m30s, 1h, 7d, or a number of seconds"
_WANTS_SIZE = "a size is wanted: 512, 64KB, 1MiB, or a number of bytes"
_WANTS_RATIO = "a ratio is wanted: 50%, or a number from 0 to 1"


def parse_duration(value: object) -> float:
    """Seconds from `10s`, `200ms`, `1m30s`, `7d`; a plain number is seconds.

    Raises:
        ValueError: It is none of these, or negative.
    """
    if isinstance(value, str):
        text = "".join(value.split())
        if _NUMBER.fullmatch(text):
            value = float(text)
        elif _DURATION.fullmatch(text):
            value = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(text))
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(_WANTS_DURATION)
    return float(value)


def parse_size(value: object) -> int:
    """Bytes from `64KB`, `1MiB`, `10g`; a plain number is bytes. As Kafka people count, a KB is 1024 bytes.

    Raises:
        ValueError: It is none of these, negative, or no whole number of bytes.
    """
    if isinstance(value, str):
        found = _SIZE.fullmatch("".join(value.split()).lower())
        if found:
            value = float(found[1]) * 1024 ** _POWERS[found[2]] if "." in found[1] else _whole(found[1], found[2])
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or value != value // 1:
        raise ValueError(_WANTS_SIZE)
    return int(value)


def written_size(size: int) -> str:
    """Bytes as a person writes them: `1 KB`, `100 B`; the largest unit that leaves no fraction."""
    for power, unit in ((2, "MB"), (1, "KB")):
        if size >= 1024**power and not size % 1024**power:
            return f"{size // 1024**power} {unit}"
    return f"{size} B"


def _whole(digits: str, unit: str) -> int:
    if len(digits) > 20:
        raise ValueError(_WANTS_SIZE)
    return int(digits) * int(1024 ** _POWERS[unit])


def parse_ratio(value: object) -> float:
    """A number from 0 to 1 from `50%` or `0.5`.

    Raises:
        ValueError: It is neither, or outside of 0 to 1.
    """
    if isinstance(value, str):
        text = value.strip()
        if _NUMBER.fullmatch(text.removesuffix("%").rstrip()):
            value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(_WANTS_RATIO)
    return float(value)


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": ["string", "number"], "pattern": DURATION_PATTERN, "minimum": 0}),
]
"""Seconds, written `10s`, `200ms`, `1m30s`, `7d` or as a number of seconds."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"type": ["string", "integer"], "pattern": SIZE_PATTERN, "minimum": 0}),
]
"""Bytes, written `64KB`, `1MiB` or as a number of bytes; a KB is 1024 bytes."""

Ratio = Annotated[
    float,
    BeforeValidator(parse_ratio),
    WithJsonSchema({"type": ["string", "number"], "pattern": RATIO_PATTERN, "minimum": 0, "maximum": 1}),
]
"""A number from 0 to 1, written `50%` or `0.5`."""

Properties = dict[str, str | int | float | bool]
"""Free keys with dots, as librdkafka's: `fetch.min.bytes: 1` and `fetch: {min: {bytes: 1}}` are the same entry."""
