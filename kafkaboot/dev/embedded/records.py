"""The records inside a batch. Only needed where single records count: lookups by time, compaction, checks of keys.

Whatever the bytes claim, a batch is unpacked to no more than a bound, and its records end where the bytes do.
"""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import crc32c

from kafkaboot.dev.embedded.log import BATCH, CRC_FROM, SKIPPED

if TYPE_CHECKING:
    from collections.abc import Iterator

CODEC = 0x07
LOG_APPEND_TIME = 0x08
MOST = 64 * 2**20
"""Bytes that a batch may unpack to: a few kilobytes can claim to be gigabytes."""
_NONE, _GZIP, _SNAPPY, _LZ4, _ZSTD = range(5)
_XERIAL = b"\x82SNAPPY\x00"
_XERIAL_HEAD = 16
"""The mark and two versions; Java's Snappy stream puts it in front, and a length in front of each block."""
_LENGTH = struct.Struct(">I")
_GROWTH = 8
_SMALLEST = 2**16
_LONGEST_VARINT = 10


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
        UnreadableBatchError: They are compressed by a codec that is not known, too large, or broken.
    """
    base, _, _, _, _, attributes, _, first, largest, _, _, _, count = BATCH.unpack_from(raw)
    body = unpacked(raw[BATCH.size :], attributes & CODEC)
    at = 0
    try:
        for _ in range(count):
            begin = at
            length, at = _varint(body, at)
            end = at + length
            if not at < end <= len(body):
                raise UnreadableBatchError("the batch ends in the middle of a record")
            at += 1  # attributes
            time_delta, at = _varint(body, at)
            offset_delta, at = _varint(body, at)
            key, at = _bytes(body, at, end)
            value, at = _bytes(body, at, end)
            timestamp = largest if attributes & LOG_APPEND_TIME else first + time_delta
            at = end
            yield StoredRecord(base + offset_delta, timestamp, key, value, body[begin:end])
    except IndexError as error:
        raise UnreadableBatchError("the batch ends in the middle of a record") from error


def sealed(head: list[int], body: bytes) -> bytes:
    """A batch of a header (the fields of `BATCH`) and its records, with length and checksum as they now are."""
    head[1] = BATCH.size - SKIPPED + len(body)
    checked = BATCH.pack(*head)[CRC_FROM:] + body
    head[4] = crc32c.crc32c(checked)
    return BATCH.pack(*head)[:CRC_FROM] + checked


def unpacked(body: bytes, codec: int) -> bytes:
    """A batch's records without compression (codec numbers as in KIP-110).

    Raises:
        UnreadableBatchError: There is no such codec, it is broken, or it unpacks to more than `MOST` bytes.
    """
    if codec == _NONE:
        return body
    import cramjam

    try:
        if codec == _GZIP:
            return _gzip(body)
        if codec == _SNAPPY:
            return b"".join(_snappy(body))
    except (OSError, EOFError, zlib.error, struct.error, cramjam.DecompressionError) as error:
        raise UnreadableBatchError(f"codec {codec}: {error}") from error
    if codec in {_LZ4, _ZSTD}:
        return _grown(body, cramjam.lz4 if codec == _LZ4 else cramjam.zstd)
    raise UnreadableBatchError(f"there is no codec {codec}")


def _gzip(body: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(body)) as stream:
        plain = stream.read(MOST + 1)
    _check(len(plain))
    return plain


def _snappy(body: bytes) -> Iterator[bytes]:
    from cramjam import snappy

    if not body.startswith(_XERIAL):
        _check(snappy.decompress_raw_len(body))
        yield bytes(snappy.decompress_raw(body))
        return
    at, total = _XERIAL_HEAD, 0
    while at < len(body):
        (length,) = _LENGTH.unpack_from(body, at)
        at += _LENGTH.size
        block = body[at : at + length]
        total += snappy.decompress_raw_len(block)
        _check(total)
        yield bytes(snappy.decompress_raw(block))
        at += length


def _grown(body: bytes, library: Any) -> bytes:
    """Into a buffer of a size, which the library keeps to, and into a larger one when that fails: it may be full."""
    import cramjam

    size = min(MOST, max(_SMALLEST, _GROWTH * len(body)))
    while True:
        out = bytearray(size)
        try:
            return bytes(memoryview(out)[: library.decompress_into(body, out)])
        except cramjam.DecompressionError as error:
            if size == MOST:
                raise UnreadableBatchError(f"it does not unpack to {MOST} bytes or less: {error}") from error
            size = min(MOST, _GROWTH * size)


def _check(size: int) -> None:
    if size > MOST:
        raise UnreadableBatchError(f"it unpacks to more than {MOST} bytes")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(_LONGEST_VARINT):
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << 7 * place
        if not byte & 0x80:
            return (value >> 1) ^ -(value & 1), at
    raise UnreadableBatchError("a number in a record has more than ten bytes")


def _bytes(data: bytes, at: int, end: int) -> tuple[bytes | None, int]:
    length, at = _varint(data, at)
    if length < 0:
        return None, at
    if at + length > end:
        raise UnreadableBatchError("a key or value is longer than its record")
    return data[at : at + length], at + length
