"""Whether a request's lengths fit into its bytes, looked at before the codec believes them.

kio's native reader allocates for as many elements as an array claims to have, before it looks for them: thirteen bytes
that claim two thousand million topics end the process. So each request is walked once, by steps made from its class.
"""

from __future__ import annotations

import struct
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin

if TYPE_CHECKING:
    from collections.abc import Callable

    Step = Callable[[bytes, int], int]
    """Takes the frame and a place in it; answers the place behind what it knows."""

_INT16, _INT32 = struct.Struct(">h"), struct.Struct(">i")
_WIDTHS = {
    "bool": 1,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "error_code": 2,
    "int32": 4,
    "uint32": 4,
    "timedelta_i32": 4,
    "int64": 8,
    "uint64": 8,
    "float64": 8,
    "timedelta_i64": 8,
    "datetime_i64": 8,
    "uuid": 16,
}
_LONGEST_VARINT = 5
MOST_ELEMENTS = 200_000
"""Of all arrays of a request: each costs a hundred times the byte or two that it can be sent in."""


class TooShortError(Exception):
    """What is claimed is more than what is there, or than anybody needs."""


class _Counted:
    """How many elements the request that is being walked may still have; one is walked at a time."""

    left = 0


_counted = _Counted()


def check(header: type, body: type, frame: bytes) -> None:
    """Walk a whole request.

    Raises:
        TooShortError: It claims more than it has.
    """
    _counted.left = MOST_ELEMENTS
    end = _steps(body)(frame, _steps(header)(frame, 0))
    if end > len(frame):
        raise TooShortError(f"it ends {end - len(frame)} bytes before its last field does")


@cache
def _steps(entity: Any) -> Step:
    flexible = entity.__flexible__
    steps: list[Step | int] = []
    for field in fields(entity):
        if "tag" in field.metadata:
            continue  # it is among the tagged fields at the end
        kind = field.metadata.get("kafka_type")
        # A header's client id keeps its old form in flexible versions too (KIP-482).
        compact = flexible and not (field.name == "client_id" and "client_id" in entity.__slots__)
        step = _field(field.type, kind, compact=compact)
        if isinstance(step, int) and steps and isinstance(steps[-1], int):
            steps[-1] += step
        else:
            steps.append(step)
    if flexible:
        steps.append(_tagged)
    return _chain(steps)


def _chain(steps: list[Step | int]) -> Step:
    def walk(frame: bytes, at: int) -> int:
        for step in steps:
            at = at + step if isinstance(step, int) else step(frame, at)
        return at

    return walk


def _field(type_: Any, kind: str | None, *, compact: bool) -> Step | int:
    optional = get_origin(type_) is UnionType
    plain: Any = next(one for one in get_args(type_) if one is not type(None)) if optional else type_
    if get_origin(plain) is tuple:
        inner: Any = get_args(plain)[0]
        return _array(
            _steps(inner) if _is_entity(inner) else _primitive(kind, compact=compact),
            compact=compact,
            nullable=optional,
        )
    if _is_entity(plain):
        return _nullable(_steps(plain)) if optional else _steps(plain)
    return _primitive(kind, compact=compact)


def _is_entity(type_: Any) -> bool:
    return is_dataclass(type_)


def _nullable(step: Step) -> Step:
    return lambda frame, at: step(frame, at + 1) if frame[at : at + 1] == b"\1" else at + 1


def _primitive(kind: str | None, *, compact: bool) -> Step | int:
    assert kind is not None
    if kind in _WIDTHS:
        return _WIDTHS[kind]
    if compact:
        return _compact_bytes
    return _string if kind == "string" else _bytes


def _array(element: Step | int, *, compact: bool, nullable: bool) -> Step:
    def walk(frame: bytes, at: int) -> int:
        count, at = _varint(frame, at) if compact else (_read(_INT32, frame, at) + 1, at + 4)
        count -= 1
        if count < 0 and not nullable:  # kio answers None for it
            raise TooShortError("an array is missing")
        _counted.left -= max(0, count)
        if count > len(frame) - at:  # an element has one byte at least
            raise TooShortError(f"an array claims {count} elements and {len(frame) - at} bytes are left")
        if _counted.left < 0:
            raise TooShortError(f"its arrays claim more than {MOST_ELEMENTS} elements")
        if isinstance(element, int):
            at += max(0, count) * element
            return _inside(frame, at)
        for _ in range(count):
            at = element(frame, at)
        return at

    return walk


def _read(number: struct.Struct, frame: bytes, at: int) -> int:
    try:
        return int(number.unpack_from(frame, at)[0])
    except struct.error as error:
        raise TooShortError("it ends inside a length") from error


def _string(frame: bytes, at: int) -> int:
    return _inside(frame, at + 2 + max(0, _read(_INT16, frame, at)))


def _bytes(frame: bytes, at: int) -> int:
    return _inside(frame, at + 4 + max(0, _read(_INT32, frame, at)))


def _compact_bytes(frame: bytes, at: int) -> int:
    length, at = _varint(frame, at)
    return _inside(frame, at + max(0, length - 1))


def _tagged(frame: bytes, at: int) -> int:
    count, at = _varint(frame, at)
    for _ in range(count):
        _, at = _varint(frame, at)
        length, at = _varint(frame, at)
        at = _inside(frame, at + length)
    return at


def _inside(frame: bytes, at: int) -> int:
    if at > len(frame):
        raise TooShortError(f"a field claims {at - len(frame)} bytes more than there are")
    return at


def _varint(frame: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_LONGEST_VARINT):
        if at >= len(frame):
            raise TooShortError("it ends inside a length")
        byte = frame[at]
        at += 1
        value |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            return value, at
    raise TooShortError("a length has more than five bytes")
