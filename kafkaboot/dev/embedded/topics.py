"""Topics: their partitions, ids and settings."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from kafkaboot.dev.embedded.log import PartitionLog

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Topic:
    """One topic.

    Attributes:
        id: What newer clients know it by (KIP-516).
        config: What was set on it; everything else has Kafka's default, see `configs`.
    """

    def __init__(self, name: str, partitions: int, config: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.id = uuid.uuid4()
        self.config = dict(config or {})
        self.partitions = [PartitionLog(name, index) for index in range(partitions)]

    def grow(self, partitions: int) -> None:
        """Add partitions up to so many."""
        self.partitions += [PartitionLog(self.name, index) for index in range(len(self.partitions), partitions)]


class Topics:
    """All topics.

    Args:
        default_partitions: Of a topic that a client names without having made it.
    """

    def __init__(self, default_partitions: int) -> None:
        self.default_partitions = default_partitions
        self._by_name: dict[str, Topic] = {}

    def __iter__(self) -> Iterator[Topic]:
        return iter(list(self._by_name.values()))

    def get(self, name: str | None) -> Topic | None:
        """The topic of that name, if there is one."""
        return self._by_name.get(name) if name else None

    def by_id(self, topic_id: uuid.UUID | None) -> Topic | None:
        """The topic of that id, if there is one."""
        return next((topic for topic in self._by_name.values() if topic.id == topic_id), None)

    def create(self, name: str, partitions: int | None = None, config: Mapping[str, str] | None = None) -> Topic:
        """Make a topic."""
        topic = self._by_name[name] = Topic(name, partitions or self.default_partitions, config)
        return topic

    def delete(self, name: str) -> Topic | None:
        """Drop a topic with everything in it."""
        topic = self._by_name.pop(name, None)
        if topic is not None:
            for partition in topic.partitions:
                partition.announce()
        return topic

    def partition(self, name: str, index: int) -> PartitionLog | None:
        """One partition, if it is there."""
        topic = self._by_name.get(name)
        if topic is None or not 0 <= index < len(topic.partitions):
            return None
        return topic.partitions[index]
