"""Records settled beyond the committed offset, written into the commit's metadata.

With lanes by key, records behind a slow one are settled long before the offset may move. The map travels with the
commit, so that a restart repeats only what was not done. It is written as alternating runs of offsets, not done and
done, each a varint, in base64, with a checksum over them and the offset they count from. Anything that does not
check out means that nothing is known (parallel-consumer#875 skipped a record by trusting it).

The broker's limit is `offset.metadata.max.bytes`, 4096 by default.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterable

LIMIT = 3300
"""Longest text written, with room for the rest of the commit's note; what does not fit is repeated after a restart."""
CROWDED = LIMIT * 3 // 4
"""A longer text slows the partition down until its slow records are done."""
MARK = "kb1:"
"""What the text begins with."""
_RAW_LIMIT = (LIMIT - len(MARK)) * 3 // 4 - 4


def encode(position: int, delivered: Iterable[tuple[int, bool]]) -> str:
    """The map for a commit at `position`.

    Args:
        position: The offset that is committed.
        delivered: `(offset, settled)` of records from `position` on, in order of delivery: at least of the first and
            the last one of each run that is settled, and of the first one of each that is not.
    """
    raw = bytearray()
    edge, settled_run, last = position, False, position - 1
    complete = 0
    for offset, settled in delivered:
        if settled is not settled_run:
            varint(raw, offset - edge)
            edge, settled_run = offset, settled
            if len(raw) > _RAW_LIMIT - 10:
                break
            if not settled:
                complete = len(raw)
        last = offset
    else:
        if settled_run:
            varint(raw, last + 1 - edge)
            complete = len(raw)
    if not complete:
        return ""
    runs = bytes(raw[:complete])
    return MARK + b64encode(_sum(position, runs) + runs).decode()


def may_be_cut(note: str) -> bool:
    """Whether the map in a commit's note is so long that some of it may have been left out."""
    return any(len(part) > LIMIT - 60 for part in note.split() if part.startswith(MARK))


def decode(position: int, text: str) -> list[range]:
    """The offsets that the map says are done, ascending; empty where it says nothing that can be trusted."""
    if not text.startswith(MARK):
        return []
    try:
        raw = b64decode(text[len(MARK) :], validate=True)
    except (binascii.Error, ValueError):
        return []
    check, runs = raw[:4], raw[4:]
    if check != _sum(position, runs):
        return []
    done: list[range] = []
    edge, settled = position, False
    for length in varints(runs):
        if settled and length:
            done.append(range(edge, edge + length))
        edge += length
        settled = not settled
    return done


def _sum(position: int, runs: bytes) -> bytes:
    return crc32(runs, position & 0xFFFFFFFF).to_bytes(4, "big")


def varint(out: bytearray, number: int) -> None:
    """Append a number that is not negative, seven bits a byte, the lowest first."""
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def varints(raw: bytes) -> list[int]:
    """All numbers in a row of them."""
    numbers, number, shift = [], 0, 0
    for byte in raw:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number, shift = 0, 0
    return numbers
