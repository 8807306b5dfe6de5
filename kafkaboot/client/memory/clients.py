"""Makes clients of one cluster in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.client.memory.admin import MemoryAdmin
from kafkaboot.client.memory.consumer import MemoryConsumer
from kafkaboot.client.memory.kafka import MemoryKafka
from kafkaboot.client.memory.producer import MemoryProducer
from kafkaboot.client.memory.reader import MemoryReader
from kafkaboot.client.memory.transactional import MemoryTransactional

if TYPE_CHECKING:
    from collections.abc import Mapping


class MemoryClients:
    """`ClientFactory` on a `MemoryKafka`, a new one unless given."""

    def __init__(self, kafka: MemoryKafka | None = None) -> None:
        self.kafka = kafka or MemoryKafka()

    def consumer(self, group: str, overrides: Mapping[str, object]) -> MemoryConsumer:
        """A member for `group`."""
        return MemoryConsumer(self.kafka, group, overrides)

    def producer(self, overrides: Mapping[str, object]) -> MemoryProducer:
        """A producer."""
        return MemoryProducer(self.kafka, overrides)

    def transactional(self, transactional_id: str, overrides: Mapping[str, object]) -> MemoryTransactional:
        """A producer of transactions."""
        return MemoryTransactional(self.kafka, transactional_id, overrides)

    def admin(self) -> MemoryAdmin:
        """An admin client."""
        return MemoryAdmin(self.kafka)

    def reader(self) -> MemoryReader:
        """What looks on."""
        return MemoryReader(self.kafka)
