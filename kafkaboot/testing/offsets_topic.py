"""Every commit and every rebalance of a group, as the broker itself wrote them down in `__consumer_offsets`.

A sampler that asks for the committed offsets sees some of them; this topic holds each one with the broker's own time,
and the generation of the group after each rebalance. The formats are Kafka's `OffsetCommitKey`, `OffsetCommitValue`,
`GroupMetadataKey`, `GroupMetadataValue` and `ConsumerGroupMetadataKey`/`Value` message schemas.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

TOPIC = "__consumer_offsets"

_COMMIT_KEYS = (0, 1)
_CLASSIC_GROUP_KEY = 2
_CONSUMER_GROUP_KEY = 3
_TAGGED_COMMIT = 4  # the version from which the value uses compact strings


@dataclass(frozen=True, slots=True)
class Commit:
    """A group's offset on one partition, as of `wall_ms`: the broker's clock when it came, cut to milliseconds."""

    group: str
    topic: str
    partition: int
    offset: int
    metadata: str
    wall_ms: int


@dataclass(frozen=True, slots=True)
class Generation:
    """A group after a rebalance: each has a higher `number` than the one before."""

    group: str
    number: int
    wall_ms: int


def parse(key: bytes | None, value: bytes | None, wall_ms: int) -> Commit | Generation | None:
    """What one record of the topic says; `None` for tombstones and for the kinds that are not of interest here.

    Args:
        key: The record's key.
        value: The record's value.
        wall_ms: The record's timestamp.
    """
    if key is None or value is None:
        return None
    kind = struct.unpack_from(">h", key)[0]
    if kind in _COMMIT_KEYS:
        return _commit(key, value)
    if kind == _CLASSIC_GROUP_KEY:
        group, _ = _string(key, 2)
        _, at = _string(value, 2)  # the protocol's type, after the version
        return Generation(group, struct.unpack_from(">i", value, at)[0], wall_ms)
    if kind == _CONSUMER_GROUP_KEY:
        group, _ = _string(key, 2)
        return Generation(group, struct.unpack_from(">i", value, 2)[0], wall_ms)
    return None


def _commit(key: bytes, value: bytes) -> Commit:
    group, at = _string(key, 2)
    topic, at = _string(key, at)
    partition = struct.unpack_from(">i", key, at)[0]
    version, offset = struct.unpack_from(">hq", value)
    at = 10 if version < 3 else 14  # the leader's epoch came with version 3
    metadata, at = _compact(value, at) if version >= _TAGGED_COMMIT else _string(value, at)
    return Commit(group, topic, partition, offset, metadata, struct.unpack_from(">q", value, at)[0])


def _string(data: bytes, at: int) -> tuple[str, int]:
    length = struct.unpack_from(">h", data, at)[0]
    if length < 0:
        return "", at + 2
    return data[at + 2 : at + 2 + length].decode(), at + 2 + length


def _compact(data: bytes, at: int) -> tuple[str, int]:
    length = shift = 0
    while True:
        byte = data[at]
        at += 1
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    end = at + length - 1 if length else at
    return data[at:end].decode(), end
