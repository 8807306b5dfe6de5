"""Reads whole topics from their beginning, outside any group: for tests and tools that look on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

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
}


class TopicReader:
    """Gives out every record of the topics that were added. One thread at a time.

    Args:
        config: librdkafka properties.
    """

    def __init__(self, config: Mapping[str, object]) -> None:
        self._consumer: Any = Consumer({**config, **_LOOK})
        self._topics: set[str] = set()

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
        first = self._consumer.poll(timeout)
        if first is None:
            return []
        messages = [first, *self._consumer.consume(limit - 1, 0)]
        for message in messages:
            error = message.error()
            if error is not None and error.name() not in {"_PARTITION_EOF", "_TRANSPORT", "_ALL_BROKERS_DOWN"}:
                raise client_error(error, where=f"topic {message.topic()}")
        return [message for message in messages if message.error() is None]

    def close(self) -> None:
        """Drop the connection."""
        self._consumer.close()
