"""A record as it comes off the wire, and as a handler may ask for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

Headers = list[tuple[str, bytes | None]]
"""Headers in wire order; a name may repeat."""


class RawRecord(Protocol):
    """What the engine asks of a polled record: `confluent_kafka.Message` as it stands, never wrapped.

    Wrapping each record would cost more than the rest of the success path together.
    """

    def __len__(self) -> int:
        """Bytes of the value; 0 for a null value."""
        ...

    def topic(self) -> str:
        """The topic's name."""
        ...

    def partition(self) -> int:
        """The partition's number."""
        ...

    def offset(self) -> int:
        """Its place in the partition."""
        ...

    def key(self) -> bytes | None:
        """The raw key, or `None`."""
        ...

    def value(self) -> bytes | None:
        """The raw value; `None` is a null value, a tombstone."""
        ...

    def headers(self) -> Sequence[tuple[str, bytes | None]] | None:
        """Headers in wire order, or `None` where there are none."""
        ...

    def timestamp(self) -> tuple[int, int]:
        """`(kind, milliseconds)`; kind 0 means that there is none (KIP-32)."""
        ...


class Record:
    """A record, for handlers that ask for one by annotation.

    Attributes:
        topic, partition, offset: Where it stands.
        timestamp: Milliseconds since the epoch, or `None`.
        key, value: The raw bytes, or `None`.
        headers: `(name, bytes)` pairs in wire order.
    """

    __slots__ = ("headers", "key", "offset", "partition", "timestamp", "topic", "value")

    def __init__(
        self,
        topic: str,
        partition: int,
        offset: int,
        *,
        key: bytes | None = None,
        value: bytes | None = None,
        headers: Headers | None = None,
        timestamp: int | None = None,
    ) -> None:
        self.topic, self.partition, self.offset = topic, partition, offset
        self.key, self.value = key, value
        self.headers: Headers = headers or []
        self.timestamp = timestamp

    @classmethod
    def of(cls, raw: RawRecord) -> Record:
        """The record behind `raw`."""
        kind, stamp = raw.timestamp()
        return cls(
            raw.topic(),
            raw.partition(),
            raw.offset(),
            key=raw.key(),
            value=raw.value(),
            headers=list(raw.headers() or ()),
            timestamp=stamp if kind else None,
        )

    def header(self, name: str) -> bytes | None:
        """The last header of that name, or `None` (the last one wins, as in Kafka's own `lastHeader`)."""
        for known, value in reversed(self.headers):
            if known == name:
                return value
        return None

    def __repr__(self) -> str:
        return f"Record({place(self.topic, self.partition, self.offset)})"


def place(topic: str, partition: int, offset: int) -> str:
    """How a record's place is written everywhere: `orders[3]@1042`."""
    return f"{topic}[{partition}]@{offset}"
