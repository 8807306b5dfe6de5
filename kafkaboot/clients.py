"""Producers and consumers for programs without boot: three presets each, made from nothing but addresses.

Producers are used as in an application (`with` or `async with`, `publish`, `sync.publish_batch`). A consumer is for a
plain loop: subscribe, then `poll`, handle and `commit` again and again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from kafkaboot.client import TP, Committed
from kafkaboot.client.presets import CONSUMER, CONSUMER_PRESETS, PRODUCER, PRODUCER_PRESETS
from kafkaboot.client.settings import as_librdkafka
from kafkaboot.clock import SystemClock
from kafkaboot.consumer.stands import Stands, starts
from kafkaboot.errors import ConfigurationError
from kafkaboot.message import Record
from kafkaboot.producer import Producer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kafkaboot.client import ConsumerPort

__all__ = [
    "Consumer",
    "high_throughput_consumer",
    "high_throughput_producer",
    "low_latency_consumer",
    "low_latency_producer",
    "safe_consumer",
    "safe_producer",
]


def high_throughput_producer(
    brokers: Sequence[str] | str, client_id: str, properties: Mapping[str, object] | None = None
) -> Producer:
    """A producer that fills large, compressed requests; idempotent, acks=all.

    Args:
        brokers: Where to begin: `["host:9092", ...]`, or one text with commas.
        client_id: How the brokers' logs and quotas name this program; also the source of its events.
        properties: Any librdkafka property; they win.
    """
    return _producer("high-throughput", brokers, client_id, properties)


def low_latency_producer(
    brokers: Sequence[str] | str, client_id: str, properties: Mapping[str, object] | None = None
) -> Producer:
    """A producer that sends each record at once; idempotent, acks=all. See `high_throughput_producer`."""
    return _producer("low-latency", brokers, client_id, properties)


def safe_producer(
    brokers: Sequence[str] | str, client_id: str, properties: Mapping[str, object] | None = None
) -> Producer:
    """The default of an application: idempotent, acks=all, a short linger. See `high_throughput_producer`."""
    return _producer("safe", brokers, client_id, properties)


def high_throughput_consumer(
    brokers: Sequence[str] | str, client_id: str, group: str, properties: Mapping[str, object] | None = None
) -> Consumer:
    """A consumer that fetches much at a time.

    Args:
        brokers: Where to begin: `["host:9092", ...]`, or one text with commas.
        client_id: How the brokers' logs and quotas name this program.
        group: The consumer group.
        properties: Any librdkafka property; they win.
    """
    return _consumer("high-throughput", brokers, client_id, group, properties)


def low_latency_consumer(
    brokers: Sequence[str] | str, client_id: str, group: str, properties: Mapping[str, object] | None = None
) -> Consumer:
    """A consumer that is answered at the first byte. See `high_throughput_consumer`."""
    return _consumer("low-latency", brokers, client_id, group, properties)


def safe_consumer(
    brokers: Sequence[str] | str, client_id: str, group: str, properties: Mapping[str, object] | None = None
) -> Consumer:
    """A consumer that sees committed transactions only. See `high_throughput_consumer`."""
    return _consumer("safe", brokers, client_id, group, properties)


class Consumer:
    """A member of a group for a plain loop. It belongs to one thread; leaving it as a context manager closes it.

    Nothing is committed unless `commit` is called: after a crash, what was polled since then comes again.
    """

    def __init__(self, port: ConsumerPort, group: str) -> None:
        self._port = port
        self._next: dict[TP, int] = {}
        self._stands = Stands(port, group, SystemClock())

    def subscribe(self, topics: Sequence[str]) -> None:
        """Join the group; a topic beginning with `^` is a pattern. A new group begins with the earliest record."""
        self._port.subscribe([topics] if isinstance(topics, str) else topics, self)

    def poll(self, limit: int = 500, timeout: float = 1.0) -> list[Record]:
        """Up to `limit` records, as soon as there are any; none after `timeout` seconds.

        Raises:
            ClientError: The subscription's own trouble: an unknown topic, a missing permission.
        """
        for _ in self._stands.news():
            pass  # it starts
        records = [Record.of(raw) for raw in self._port.poll_chunk(limit, timeout)]
        for record in records:
            self._next[TP(record.topic, record.partition)] = record.offset + 1
        return records

    def commit(self) -> None:
        """Commit everything that `poll` has given out, and wait for the answer.

        Raises:
            ClientError: Refused: another member has the partition by now, and handles the records again.
        """
        if self._next:
            self._port.commit({tp: Committed(offset) for tp, offset in self._next.items()}, None)
            self._next.clear()

    def close(self, timeout: float = 10.0) -> None:
        """Leave the group, without committing."""
        self._port.close(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the listener of its own subscription

    def assigned(self, partitions: Sequence[TP]) -> Mapping[TP, int | None]:
        """New partitions begin where the group committed."""
        return starts(partitions, self._stands.of(partitions))

    def revoked(self, partitions: Sequence[TP]) -> None:
        """What was polled from them and not committed comes again, to their next owner."""
        self._stands.forget(partitions)
        for tp in partitions:
            self._next.pop(tp, None)

    def lost(self, partitions: Sequence[TP]) -> None:
        """As `revoked`."""
        self.revoked(partitions)


def _producer(
    preset: str, brokers: Sequence[str] | str, client_id: str, properties: Mapping[str, object] | None
) -> Producer:
    from kafkaboot.client.confluent.producer import ConfluentProducer

    config = {**PRODUCER, **PRODUCER_PRESETS[preset]}
    return Producer(ConfluentProducer(_config(config, brokers, client_id, properties)), source=f"/{client_id}")


def _consumer(
    preset: str, brokers: Sequence[str] | str, client_id: str, group: str, properties: Mapping[str, object] | None
) -> Consumer:
    from kafkaboot.client.confluent.consumer import ConfluentConsumer

    config = {
        **CONSUMER,
        **CONSUMER_PRESETS[preset],
        "group.id": group,
        "auto.offset.reset": "earliest",
        "partition.assignment.strategy": "cooperative-sticky",
    }
    return Consumer(ConfluentConsumer(_config(config, brokers, client_id, properties)), group)


def _config(
    preset: Mapping[str, object],
    brokers: Sequence[str] | str,
    client_id: str,
    properties: Mapping[str, object] | None,
) -> dict[str, object]:
    servers = brokers if isinstance(brokers, str) else ",".join(brokers)
    if not servers:
        raise ConfigurationError("no broker is named", todo='give at least one, for example ["localhost:9092"]')
    own = {**preset, "bootstrap.servers": servers, "client.id": client_id}
    return as_librdkafka({**own, **(properties or {})})
