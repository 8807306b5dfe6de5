"""The world of a contract test: one cluster behind the ports, and members of groups on it."""

from __future__ import annotations

import threading
import time
import uuid
from typing import TYPE_CHECKING, Any, NamedTuple

from kafkaboot.client import TopicSpec
from kafkaboot.client.presets import TRANSACTIONS
from kafkaboot.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kafkaboot.client import TP, ClientFactory, ConsumerPort, ProducerPort, TransactionalPort
    from kafkaboot.message import Headers, RawRecord

DEADLINE = 20.0
"""Seconds that anything may take."""
SESSION = 1.5
"""Seconds after which a member that does not poll is out."""
MEMBER: dict[str, object] = {
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": int(SESSION * 1000),
    "max.poll.interval.ms": int(SESSION * 1000),
    "heartbeat.interval.ms": 100,
    "fetch.wait.max.ms": 10,
}
PRODUCER: dict[str, object] = {"linger.ms": 0, "topic.metadata.propagation.max.ms": 300}


class Call(NamedTuple):
    """One call of a listener: which, with what, on which thread."""

    kind: str
    partitions: tuple[TP, ...]
    thread: int


class Report(NamedTuple):
    """What a delivery callback was given."""

    error: object | None
    record: RawRecord


class Seat:
    """A member of a group: its consumer, what its listener was told, and what it read.

    Attributes:
        starts: What the listener answers when partitions are assigned.
        at_revoke: Called by the listener while partitions are taken away.
    """

    def __init__(self, consumer: ConsumerPort) -> None:
        self.consumer = consumer
        self.calls: list[Call] = []
        self.records: list[RawRecord] = []
        self.errors: list[ClientError] = []
        self.holds: set[TP] = set()
        self.starts: Mapping[TP, int | None] = {}
        self.at_revoke: Callable[[Sequence[TP]], None] = lambda _: None

    def assigned(self, partitions: Sequence[TP]) -> Mapping[TP, int | None]:
        """See `RebalanceListener`."""
        self._note("assigned", partitions)
        self.holds |= set(partitions)
        return {tp: start for tp, start in self.starts.items() if tp in partitions}

    def revoked(self, partitions: Sequence[TP]) -> None:
        """See `RebalanceListener`."""
        self._note("revoked", partitions)
        self.holds -= set(partitions)
        self.at_revoke(partitions)

    def lost(self, partitions: Sequence[TP]) -> None:
        """See `RebalanceListener`."""
        self._note("lost", partitions)
        self.holds -= set(partitions)

    def poll(self, limit: int = 100) -> list[RawRecord]:
        """One poll; an error that does not end the consumer is kept in `errors`."""
        try:
            records = self.consumer.poll_chunk(limit, 0.02)
        except ClientError as error:
            if error.fatal:
                raise
            self.errors.append(error)
            return []
        self.records += records
        return records

    def told(self, kind: str) -> list[tuple[TP, ...]]:
        """The partitions of each call of that kind."""
        return [call.partitions for call in self.calls if call.kind == kind]

    def values(self) -> list[bytes | None]:
        """What was read, in order."""
        return [record.value() for record in self.records]

    def _note(self, kind: str, partitions: Sequence[TP]) -> None:
        self.calls.append(Call(kind, tuple(sorted(partitions)), threading.get_ident()))


class Cluster:
    """One cluster, and what a test needs of it. Everything that was made here is closed by `close`.

    Args:
        clients: The adapter under test.
        idle: Lets time go by while nobody polls; left out, by waiting.
    """

    def __init__(self, clients: ClientFactory, idle: Callable[[float], None] | None = None) -> None:
        self.clients = clients
        self.idle: Callable[[float], None] = idle or time.sleep
        self.admin = clients.admin()
        self._seats: list[Seat] = []
        self._producers: list[ProducerPort] = []

    def name(self, stem: str = "contract") -> str:
        """A name that nothing else has."""
        return f"{stem}-{uuid.uuid4().hex[:12]}"

    def topic(self, partitions: int = 1, name: str | None = None) -> str:
        """A new topic."""
        name = name or self.name()
        self.admin.create_topics([TopicSpec(name, partitions, 1)], DEADLINE)
        return name

    def member(self, group: str, *topics: str, **properties: object) -> Seat:
        """A consumer that has subscribed; a property's dots are written as underscores."""
        given = {key.replace("_", "."): value for key, value in properties.items()}
        seat = Seat(self.clients.consumer(group, MEMBER | given))
        self._seats.append(seat)
        seat.consumer.subscribe(topics, seat)
        return seat

    def settled(self, group: str, *topics: str, partitions: int, **properties: object) -> Seat:
        """A member, alone in its group, that holds so many partitions."""
        seat = self.member(group, *topics, **properties)
        self.until(lambda: len(seat.holds) == partitions, seat)
        return seat

    def producer(self, **properties: object) -> ProducerPort:
        """A producer."""
        given = {key.replace("_", "."): value for key, value in properties.items()}
        self._producers.append(self.clients.producer(PRODUCER | given))
        return self._producers[-1]

    def transactional(self, name: str, *, timeout_ms: int = 20_000, prepared: bool = True) -> TransactionalPort:
        """A producer of transactions under that id."""
        own = {**PRODUCER, **TRANSACTIONS, "transaction.timeout.ms": timeout_ms, "message.timeout.ms": timeout_ms}
        made = self.clients.transactional(name, own)
        self._producers.append(made)
        if prepared:
            made.prepare(DEADLINE)
        return made

    def publish(
        self,
        topic: str,
        *values: bytes | None,
        producer: ProducerPort | None = None,
        key: bytes | None = None,
        headers: Headers | None = None,
        partition: int = -1,
        timestamp: int = 0,
    ) -> list[Report]:
        """Publish, and wait for the reports."""
        producer = producer or self.producer()
        reports: list[Report] = []
        for value in values:
            producer.produce(
                topic, value, key, headers, partition, lambda e, r: reports.append(Report(e, r)), timestamp
            )
        self.until(lambda: len(reports) == len(values))
        return reports

    def until(self, condition: Callable[[], object], *seats: Seat) -> None:
        """Let the members poll until the condition holds."""
        end = time.monotonic() + DEADLINE
        while not condition():
            told = [(seat.calls, len(seat.records), seat.errors) for seat in seats]
            assert time.monotonic() < end, f"it did not come to hold within {DEADLINE:.0f} s; members: {told}"
            for seat in seats:
                seat.poll()
            if not seats:
                time.sleep(0.002)

    def leave(self, seat: Seat) -> None:
        """A member leaves."""
        self._seats.remove(seat)
        seat.consumer.close(DEADLINE)

    def close(self) -> None:
        """Close all that was made."""
        for seat in self._seats:
            seat.consumer.close(DEADLINE)
        for producer in self._producers:
            producer.close(1.0)
        self.admin.close()


def spread(records: Sequence[Any]) -> dict[int, list[bytes | None]]:
    """The values by partition, in the order of reading."""
    found: dict[int, list[bytes | None]] = {}
    for record in records:
        found.setdefault(record.partition(), []).append(record.value())
    return found
