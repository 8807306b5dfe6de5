"""What a commit says beside its offset: records done beyond it, failed attempts, and how its owner is getting on.

Parts are separated by blanks; each begins with the mark of its kind and stands for itself: one that does not check
out says nothing. A part of another maker is ignored.

- `kb1:` the map of records done beyond the offset (`done_map`).
- `kf1:` attempts that failed, so that they are counted on after a restart.
- `ks1:` somebody is at work from this offset on. It is written before the first record and left out of the last commit,
  so that the next owner sees whether this one died, how often that has happened in a row, how far apart the commits
  were, and up to which record it had come.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from kafkaboot.consumer import done_map
from kafkaboot.consumer.done_map import varint, varints

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kafkaboot.client import Committed

ATTEMPTS = 40
"""Failing records whose attempts are written; those of others are counted anew after a restart."""
_FAILED, _STARTED = "kf1:", "ks1:"


class Attempts(NamedTuple):
    """How often a record has failed, and when for the first time, in seconds since the epoch."""

    times: int
    since: float


class Mark(NamedTuple):
    """An owner at work.

    Attributes:
        deaths: Owners before it that died one after the other near this offset.
        row: Records between two of its commits; 0 where it commits by time.
        last: The last record of the row that it is at; `None` where that is not known, or it is at none.
    """

    deaths: int = 0
    row: int = 0
    last: int | None = None


class Note(NamedTuple):
    """What was read.

    Attributes:
        done: Offsets that are settled beyond the position, ascending.
        attempts: By offset.
        mark: The owner that wrote it; `None` where it left in order.
    """

    done: list[range]
    attempts: dict[int, Attempts]
    mark: Mark | None


def write(
    position: int,
    beyond: Iterable[tuple[int, bool]] | None,
    attempts: Iterable[tuple[int, Attempts]],
    mark: Mark | None,
) -> str:
    """The note for a commit at `position`.

    Args:
        position: The offset that is committed.
        beyond: See `done_map.encode`; `None` leaves the map out.
        attempts: Failing records, by offset.
        mark: The owner; `None` in its last commit.
    """
    parts = [
        done_map.encode(position, beyond) if beyond is not None else "",
        # One that was settled while this was put together stands before the position.
        _failed(position, sorted(one for one in attempts if one[0] >= position)[:ATTEMPTS]),
        _mark(mark) if mark is not None else "",
    ]
    return " ".join(part for part in parts if part)


def marked(note: str, mark: Mark | None) -> str:
    """The same note with another mark."""
    parts = [part for part in note.rstrip("\0").split() if not part.startswith(_STARTED)]
    return " ".join([*parts, _mark(mark)] if mark is not None else parts)


def read(committed: Committed | None) -> Note:
    """What a commit said; empty where it says nothing that can be trusted."""
    note = Note([], {}, None)
    if committed is None or committed.offset is None:
        return note
    for part in committed.metadata.rstrip("\0").split():
        if part.startswith(done_map.MARK):
            note = note._replace(done=done_map.decode(committed.offset, part))
        elif part.startswith(_FAILED):
            note = note._replace(attempts=_read_failed(committed.offset, part))
        elif part.startswith(_STARTED):
            note = note._replace(mark=_read_mark(part))
    return note


def _failed(position: int, attempts: list[tuple[int, Attempts]]) -> str:
    if not attempts:
        return ""
    raw = bytearray()
    edge = position
    for offset, (times, since) in attempts:
        varint(raw, offset - edge)
        varint(raw, times)
        varint(raw, int(since))
        edge = offset
    return _FAILED + b64encode(_sum(position, raw) + raw).decode()


def _read_failed(position: int, part: str) -> dict[int, Attempts]:
    try:
        raw = b64decode(part[len(_FAILED) :], validate=True)
    except (binascii.Error, ValueError):
        return {}
    check, body = raw[:4], raw[4:]
    numbers = varints(body)
    if check != _sum(position, body) or len(numbers) % 3:
        return {}
    found, edge = {}, position
    for distance, times, since in zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True):
        edge += distance
        found[edge] = Attempts(times, float(since))
    return found


def _mark(mark: Mark) -> str:
    return _STARTED + ".".join(str(each) for each in mark if each is not None)


def _read_mark(part: str) -> Mark | None:
    numbers = part[len(_STARTED) :].split(".")
    if len(numbers) not in (2, 3) or not all(each.isascii() and each.isdigit() for each in numbers):
        return None
    return Mark(*map(int, numbers))


def _sum(position: int, body: bytes | bytearray) -> bytes:
    return crc32(body, crc32(position.to_bytes(8, "big"), 1)).to_bytes(4, "big")
