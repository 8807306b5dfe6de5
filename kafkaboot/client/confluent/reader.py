"""Reads topics from any place, outside any group: for tests and tools that look on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from kafkaboot.client import TP
from kafkaboot.client.confluent.comeback import Comeback
from kafkaboot.client.confluent.translate import client_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kafkaboot.message import RawRecord

_LOOK = {
    "group.id": "kafkaboot-reader",  # librdkafka wants one; nothing is ever committed under it
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "allow.auto.create.topics": False,
    # What is asked for while a request waits at the broker is only seen after that one: so it must not wait long.
    "fetch.wait.max.ms": 50,
    "fetch.queue.backoff.ms": 5,
    "isolation.level": "read_committed",
    # Behind the last record may stand a transaction's marker: only this tells that nothing more is to come.
    "enable.partition.eof": True,
}
KNOWN = 10.0
"""Seconds in which a broker must tell of a topic."""
_AWAY = frozenset({"_TRANSPORT", "_ALL_BROKERS_DOWN"})


class TopicReader:
    """`ReaderPort`; and whole topics, one after the other, where they are added. One thread at a time.

    Args:
        config: librdkafka properties.
    """

    def __init__(self, config: Mapping[str, object]) -> None:
        self._comeback = Comeback(config)
        self._consumer: Any = Consumer({**config, **_LOOK})
        self._topics: set[str] = set()
        self._known: set[str] = set()
        self._positions: dict[TP, int] = {}

    @property
    def positions(self) -> Mapping[TP, int]:
        """See `ReaderPort`; an added topic's partition is in it as soon as something was read of it."""
        return self._positions

    def begin(self, offsets: Mapping[TP, int]) -> None:
        """See `ReaderPort`."""
        for topic in {tp.topic for tp in offsets} - self._known:
            # A client that has begun to read asks only once a second who leads a topic that is new to it.
            try:
                self._consumer.list_topics(topic, timeout=KNOWN)
            except KafkaException as error:
                raise client_error(error, where=f"topic {topic}") from error
            self._known.add(topic)
        self._topics = set()
        self._positions = dict(offsets)
        self._consumer.assign([TopicPartition(*tp, offset) for tp, offset in offsets.items()])

    def add(self, topic: str, timeout: float) -> bool:
        """Begin to read a topic; answers whether it is there. A second call does nothing.

        Raises:
            BrokerUnreachableError: No broker answers within `timeout` seconds.
        """
        if topic in self._topics:
            return True
        try:
            found = self._consumer.list_topics(topic, timeout=timeout).topics.get(topic)
        except KafkaException as error:
            raise client_error(error, where=f"topic {topic}") from error
        if found is None or found.error is not None or not found.partitions:
            return False
        self._topics.add(topic)
        self._consumer.incremental_assign(
            [TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in found.partitions]
        )
        return True

    def poll(self, limit: int, timeout: float) -> list[RawRecord]:
        """Up to `limit` records; waits up to `timeout` seconds for the first one.

        Raises:
            ClientError: The broker refuses to give them out.
        """
        self._comeback.look(self._consumer)
        until = time.monotonic() + timeout
        while True:
            first = self._consumer.poll(max(0.0, until - time.monotonic()))
            if first is None:
                return []
            records = self._taken([first, *self._consumer.consume(limit - 1, 0)])
            if records:  # else it was told only that a partition has no more
                return records

    def _taken(self, messages: list[Any]) -> list[RawRecord]:
        records = []
        for message in messages:
            error = message.error()
            at = TP(message.topic(), message.partition())
            if error is None:
                records.append(message)
                self._positions[at] = message.offset() + 1
            elif error.name() == "_PARTITION_EOF":
                self._positions[at] = message.offset()
            elif error.name() not in _AWAY:
                raise client_error(error, where=f"topic {message.topic()}")
        return records

    def close(self) -> None:
        """Drop the connection."""
        self._consumer.close()
