"""Where the answer to a request is to go: read from its headers, ours or Spring Kafka's."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, NamedTuple

from kafkaboot.message.foreign_headers import SPRING_CORRELATION_ID, SPRING_REPLY_PARTITION, SPRING_REPLY_TOPIC
from kafkaboot.message.headers import KB_REPLY_PARTITION, KB_REPLY_TOPIC, KB_REQUEST_ID

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.message.record import Headers

LONGEST = 1024
"""Bytes of an id that are echoed; anybody may write headers."""

_TOPIC = re.compile(rb"(?!__)[A-Za-z0-9._-]{1,249}")


class ReplyTo(NamedTuple):
    """The place of an answer.

    Attributes:
        topic: Its topic.
        partition: Its partition; -1 where the request names none.
        echo: Headers that it carries so that the asker knows it again.
    """

    topic: str
    partition: int
    echo: Headers


def reply_to(headers: Sequence[tuple[str, bytes | None]] | None) -> ReplyTo | None:
    """Where the answer goes; `None` where the headers don't say so.

    Names that Kafka would not take are no answer's topic, nor are those that begin with two underscores: they are the
    brokers' own, and anybody may write headers.
    """
    found = {name: value for name, value in headers or () if name in _NAMES}
    for topic, partition, request, numbered in (_OURS, _SPRINGS):
        name = found.get(topic)
        if name is not None and _TOPIC.fullmatch(name):
            known = found.get(request)
            echo: Headers = [(request, known)] if known is not None and len(known) <= LONGEST else []
            return ReplyTo(name.decode(), numbered(found.get(partition)), echo)
    return None


def in_words(number: int) -> bytes:
    """A partition as Spring writes it."""
    return struct.pack(">i", number)


def _text(value: bytes | None) -> int:
    return int(value) if value is not None and value.isdigit() and len(value) < 10 else -1


def _four_bytes(value: bytes | None) -> int:
    return max(-1, int.from_bytes(value, "big", signed=True)) if value is not None and len(value) == 4 else -1


_OURS = (KB_REPLY_TOPIC, KB_REPLY_PARTITION, KB_REQUEST_ID, _text)
_SPRINGS = (SPRING_REPLY_TOPIC, SPRING_REPLY_PARTITION, SPRING_CORRELATION_ID, _four_bytes)
_NAMES = {*_OURS[:3], *_SPRINGS[:3]}
