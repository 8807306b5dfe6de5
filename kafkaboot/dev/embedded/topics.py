"""Topics: their partitions, ids and settings."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Protocol

from kafkaboot.dev.embedded.configs import resolved
from kafkaboot.dev.embedded.log import PartitionLog

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


MOST_PARTITIONS = 10_000
"""Of all topics: a request of a few bytes must not fill the memory."""
_LONGEST_NAME = 249
_LEGAL = re.compile(r"[a-zA-Z0-9._-]+")


class Topic:
    """One topic.

    Attributes:
        id: What newer clients know it by (KIP-516).
        config: What was set on it; everything else has Kafka's default, see `configs`.
        settings: What that comes to.
    """

    def __init__(self, name: str, partitions: int, config: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.id = uuid.uuid4()
        self.configure(config or {})
        self.partitions = [PartitionLog(name, index) for index in range(partitions)]

    def configure(self, config: Mapping[str, str]) -> None:
        """Take these settings and no others."""
        self.config = dict(config)
        self.settings = resolved(self.config)

    def grow(self, partitions: int) -> None:
        """Add partitions up to so many."""
        self.partitions += [PartitionLog(self.name, index) for index in range(len(self.partitions), partitions)]


class Keeper(Protocol):
    """Is told what changes, to keep it."""

    def kept(self, topic: Topic) -> None:
        """A topic is new, or has more partitions or other settings."""

    def dropped(self, topic: Topic) -> None:
        """A topic is gone."""


class Topics:
    """All topics.

    Attributes:
        keeper: Keeps them on disk, when they are kept.

    Args:
        default_partitions: Of a topic that a client names without having made it.
    """

    def __init__(self, default_partitions: int) -> None:
        self.default_partitions = default_partitions
        self.keeper: Keeper | None = None
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
        self._changed(topic)
        return topic

    def grow(self, topic: Topic, partitions: int) -> None:
        """Add partitions up to so many."""
        topic.grow(partitions)
        self._changed(topic)

    def configure(self, topic: Topic, config: Mapping[str, str]) -> None:
        """Give a topic these settings and no others."""
        topic.configure(config)
        self._changed(topic)

    def objection(self, name: str) -> str | None:
        """Why there can be no new topic of that name, in Kafka's words; `None` when there can."""
        if not name:
            return "Topic name is invalid: the empty string is not allowed"
        if name in {".", ".."}:
            return f"Topic name is invalid: '{name}' is not allowed"
        if len(name) > _LONGEST_NAME:
            return (
                f"Topic name is invalid: the length of '{name}' is longer than the max allowed length {_LONGEST_NAME}"
            )
        if not _LEGAL.fullmatch(name):
            return (
                f"Topic name is invalid: '{name}' contains one or more characters other than ASCII alphanumerics, "
                "'.', '_' and '-'"
            )
        # Kafka's metrics spell a dot as an underscore.
        spelt = name.replace(".", "_")
        alike = next((one for one in self._by_name if one != name and one.replace(".", "_") == spelt), None)
        return f"Topic '{name}' collides with existing topic: {alike}" if alike else None

    def room(self) -> int:
        """How many partitions may still be made."""
        return MOST_PARTITIONS - sum(len(topic.partitions) for topic in self._by_name.values())

    def delete(self, name: str) -> Topic | None:
        """Drop a topic with everything in it."""
        topic = self._by_name.pop(name, None)
        if topic is not None:
            for partition in topic.partitions:
                partition.announce()
            if self.keeper is not None:
                self.keeper.dropped(topic)
        return topic

    def _changed(self, topic: Topic) -> None:
        if self.keeper is not None:
            self.keeper.kept(topic)

    def partition(self, name: str, index: int) -> PartitionLog | None:
        """One partition, if it is there."""
        topic = self._by_name.get(name)
        if topic is None or not 0 <= index < len(topic.partitions):
            return None
        return topic.partitions[index]
