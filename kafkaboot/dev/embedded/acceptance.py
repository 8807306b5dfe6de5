"""What a topic's settings ask of a batch before it is stored: size, times, keys."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import crc32c
from kio.schema.errors import ErrorCode

from kafkaboot.dev.embedded.log import BATCH, CRC_FROM
from kafkaboot.dev.embedded.records import LOG_APPEND_TIME, UnreadableBatchError, records_of, sealed

if TYPE_CHECKING:
    from kafkaboot.dev.embedded.configs import TopicSettings

_ALL = -1


def refusal(settings: TopicSettings, raw: bytes, acks: int) -> ErrorCode:
    """Why a topic does not take a batch; `none` when it does. What is wrong with the bytes is for the log to say."""
    if len(raw) > settings.max_message:
        return ErrorCode.message_too_large
    if settings.min_in_sync > 1 and acks == _ALL:
        return ErrorCode.not_enough_replicas
    if len(raw) < BATCH.size:
        return ErrorCode.none
    head = BATCH.unpack_from(raw)
    first, largest = head[7], head[8]
    now = int(time.time() * 1000)
    if not settings.append_time and largest - now > settings.after_max:
        return ErrorCode.invalid_timestamp
    late = not settings.append_time and now - first > settings.before_max
    if late or settings.compacts:
        try:
            if any(settings.compacts and record.key is None for record in records_of(raw)):
                return ErrorCode.invalid_record
        except UnreadableBatchError:
            return ErrorCode.corrupt_message
    return ErrorCode.invalid_timestamp if late else ErrorCode.none


def stamped(raw: bytes) -> tuple[bytes, int]:
    """A batch with the broker's time on all of its records (`LogAppendTime`), and that time.

    A batch whose checksum does not fit is left as it is: a new one would hide it.
    """
    now = int(time.time() * 1000)
    head = list(BATCH.unpack_from(raw)) if len(raw) >= BATCH.size else []
    if not head or crc32c.crc32c(memoryview(raw)[CRC_FROM:]) != head[4]:
        return raw, now
    head[5] |= LOG_APPEND_TIME
    head[8] = now
    return sealed(head, raw[BATCH.size :]), now
