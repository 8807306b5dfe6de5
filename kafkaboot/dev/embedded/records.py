"""The records inside a batch. Only needed where single records count: lookups by time, compaction, tests."""

from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING, NamedTuple

from kafkaboot.dev.embedded.log import BATCH

if TYPE_CHECKING:
    from collections.abc import Iterator

_CODEC = 0x07
_LOG_APPEND_TIME = 0x08
MOST = 64 * 2**20
"""Bytes that a batch may unpack to: a few kilobytes can claim to be gigabytes."""


class StoredRecord(NamedTuple):
    """One record of a batch; `raw` is its bytes with its length in front."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    raw: bytes


class UnreadableBatchError(Exception):
    """The records cannot be unpacked."""


def records_of(raw: bytes) -> Iterator[StoredRecord]:
    """The records of a stored batch, in order.

    Raises:
        UnreadableBatchError: They are compressed by a codec that is not at hand, too large, or broken.
    """
    base, _, _, _, _, attributes, _, first, largest, _, _, _, count = BATCH.unpack_from(raw)
    body = unpacked(raw[BATCH.size :], attributes & _CODEC)
    at = 0
    try:
        for _ in range(count):
            begin = at
            length, at = _varint(body, at)
            end = at + length
            at += 1  # attributes
            time_delta, at = _varint(body, at)
            offset_delta, at = _varint(body, at)
            key, at = _bytes(body, at)
            value, at = _bytes(body, at)
            timestamp = largest if attributes & _LOG_APPEND_TIME else first + time_delta
            at = end
            yield StoredRecord(base + offset_delta, timestamp, key, value, body[begin:end])
    except IndexError as error:
        raise UnreadableBatchError("the batch ends in the middle of a record") from error


def unpacked(body: bytes, codec: int) -> bytes:
    """A batch's records without compression (codec numbers as in KIP-110)."""
    if codec == 0:
        return body
    try:
        if codec == 1:
            with gzip.GzipFile(fileobj=io.BytesIO(body)) as stream:
                plain = stream.read(MOST + 1)
        else:
            raise UnreadableBatchError(f"codec {codec} is not at hand")
    except (OSError, EOFError) as error:
        raise UnreadableBatchError(f"codec {codec}: {error}") from error
    if len(plain) > MOST:
        raise UnreadableBatchError(f"it unpacks to more than {MOST} bytes")
    return plain


def _varint(data: bytes, at: int) -> tuple[int, int]:
    shift = value = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7


def _bytes(data: bytes, at: int) -> tuple[bytes | None, int]:
    length, at = _varint(data, at)
    if length < 0:
        return None, at
    return data[at : at + length], at + length
