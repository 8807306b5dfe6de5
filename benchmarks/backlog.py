"""Topics: loaded once for each shape, kept while the broker is kept."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.orders import cloudevents, raw_orders

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Shape:
    """A backlog: so many orders in so many partitions, with or without CloudEvents headers."""

    records: int
    partitions: int = 4
    headers: bool = False

    @property
    def topic(self) -> str:
        return f"bench-{'typed' if self.headers else 'plain'}-{self.partitions}p-{self.records}"


class Topics:
    """Makes, loads and drops the topics of a benchmark."""

    def __init__(self, bootstrap: str) -> None:
        # Our own broker ends before these clients do, and librdkafka would say so on the terminal.
        self._common = {"bootstrap.servers": bootstrap, "log_level": 2}
        self._admin = AdminClient(self._common)

    def loaded(self, shape: Shape) -> str:
        """The topic that holds exactly this backlog; it is filled on first use."""
        name = shape.topic
        if self._size(name) == shape.records:
            return name
        self.drop(name)
        self._create(name, shape.partitions)
        producer = Producer(
            {
                **self._common,
                "linger.ms": 20,
                "enable.idempotence": True,
                "queue.buffering.max.messages": 500_000,
            }
        )
        refused: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: object) -> None:
            if error is not None:
                refused.append(error)

        for place, (key, value) in enumerate(raw_orders(shape.records)):
            producer.produce(name, value, key, headers=cloudevents() if shape.headers else None, on_delivery=delivered)
            if place % 10_000 == 0:
                producer.poll(0)
                while len(producer) > 400_000:
                    producer.poll(0.1)
        if producer.flush(120) or refused:
            raise KafkaException(refused[0] if refused else KafkaError(KafkaError._TIMED_OUT, f"loading {name}"))
        return name

    def fresh(self, partitions: int) -> str:
        """A new, empty topic for what a run writes."""
        name = f"bench-out-{uuid.uuid4().hex[:8]}"
        self._create(name, partitions)
        return name

    def drop(self, name: str) -> None:
        """Delete a topic, whether it is there or not, and wait until it is gone."""
        try:
            self._admin.delete_topics([name], operation_timeout=30)[name].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise

    def one_of(self, name: str) -> list[tuple[str, bytes]]:
        """The headers of some record of this topic; none when it is empty."""
        for partition, end in self._ends(name):
            if end:
                reader = self._reader()
                reader.assign([TopicPartition(name, partition, 0)])
                message = reader.poll(10)
                reader.close()
                return [] if message is None else list(message.headers() or ())
        return []

    def size(self, name: str) -> int:
        """How many records a topic holds."""
        return sum(end for _, end in self._ends(name))

    def _size(self, name: str) -> int:
        return self.size(name) if name in self._admin.list_topics(timeout=10).topics else -1

    def _ends(self, name: str) -> Iterator[tuple[int, int]]:
        reader = self._reader()
        for partition in self._admin.list_topics(name, timeout=10).topics[name].partitions:
            yield partition, reader.get_watermark_offsets(TopicPartition(name, partition), timeout=10)[1]
        reader.close()

    def _create(self, name: str, partitions: int) -> None:
        topic = NewTopic(name, partitions, 1, config={"retention.ms": str(24 * 3600 * 1000)})
        self._admin.create_topics([topic], operation_timeout=30)[name].result()

    def _reader(self) -> Consumer:
        return Consumer({**self._common, "group.id": "bench-look", "enable.auto.commit": False})
