"""The cluster: topics, groups, and a test's hand on both."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple

from kafkaboot.client.memory.faults import Faults, refusal
from kafkaboot.client.memory.group import Group
from kafkaboot.client.memory.log import MemoryRecord, PartitionLog, partition_of
from kafkaboot.client.ports import TP, Committed
from kafkaboot.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kafkaboot.client.memory.consumer import MemoryConsumer
    from kafkaboot.client.memory.producer import MemoryProducer
    from kafkaboot.client.memory.transactional import MemoryTransactional
    from kafkaboot.clock import Clock

METADATA_LIMIT = 4096
"""The broker's `offset.metadata.max.bytes`."""


class Accepted(NamedTuple):
    """A commit that was written: when, by which member, of which group, where to."""

    at: float
    member: str
    group: str
    tp: TP
    committed: Committed


class MemoryKafka:
    """Topics and groups, shared by all clients made from it.

    Args:
        clock: Time; a `ManualClock` unless given.

    Attributes:
        commits: Every commit that was written, in order.
        faults: What is to go wrong.
        denied: By topic, the operations (`WRITE`) that its clients may not do; see `AdminPort.permissions`.
        settings: The brokers' settings that clients can ask for.
        transactional: Who owns each transactional id.
        lock: Taken for each look and each change, never while a caller's function runs.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or ManualClock()
        self.faults = Faults()
        self.commits: list[Accepted] = []
        self.lock = threading.RLock()
        self.topics: dict[str, list[PartitionLog]] = {}
        self.topic_configs: dict[str, dict[str, str]] = {}
        self.replications: dict[str, int] = {}
        self.denied: dict[str, set[str]] = {}
        self.groups: dict[str, Group] = {}
        self.settings = {"transaction.max.timeout.ms": "900000"}
        self.transactional: dict[str, MemoryTransactional] = {}
        self._consumers: list[MemoryConsumer] = []
        self._producers: list[MemoryProducer] = []
        self._names = 0
        self._spread = 0

    # --- topics

    def create(
        self, topic: str, partitions: int = 1, config: Mapping[str, str] | None = None, replication: int = 1
    ) -> None:
        """Make a topic; members that want it are given its partitions when they poll."""
        with self.lock:
            if topic in self.topics:
                return
            self.topics[topic] = [PartitionLog() for _ in range(partitions)]
            self.topic_configs[topic] = dict(config or {})
            self.replications[topic] = replication
            self._topics_changed()

    def grow(self, topic: str, total: int) -> None:
        """Let a topic have so many partitions; members are given the new ones when they poll.

        Raises:
            ClientError: There is no such topic, or it has as many already.
        """
        with self.lock:
            logs = self.topics.get(topic)
            if logs is None:
                raise refusal("UNKNOWN_TOPIC_OR_PART", "there is no such topic", where=topic)
            if total <= len(logs):
                raise refusal("INVALID_PARTITIONS", f"the topic has {len(logs)} partitions", where=topic)
            logs.extend(PartitionLog() for _ in range(total - len(logs)))
            self._topics_changed()

    def _topics_changed(self) -> None:
        for consumer in self._consumers:
            consumer.topics_changed()

    def append(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes | None]] | None = None,
        partition: int = -1,
        timestamp: int = 0,
    ) -> MemoryRecord:
        """Write a record.

        Raises:
            ClientError: There is no such topic or partition.
        """
        with self.lock:
            logs = self.topics.get(topic)
            if logs is None:
                raise refusal("UNKNOWN_TOPIC_OR_PART", "there is no such topic", where=topic)
            if "WRITE" in self.denied.get(topic, ()):
                raise refusal("TOPIC_AUTHORIZATION_FAILED", "writing is not permitted", where=topic)
            if partition >= len(logs):
                raise refusal("_UNKNOWN_PARTITION", "there is no such partition", where=f"{topic}[{partition}]")
            if partition < 0:
                partition = partition_of(key, len(logs)) if key else self._next(len(logs))
            log = logs[partition]
            stamp = timestamp or int(self.clock.time() * 1000)
            record = MemoryRecord(topic, partition, log.end, value, key, headers, stamp)
            log.append(record)
            return record

    def largest(self, topic: str) -> float:
        """The bytes that the topic's `max.message.bytes` allows a record."""
        return float(self.topic_configs.get(topic, {}).get("max.message.bytes", "inf"))

    def log(self, tp: TP) -> PartitionLog:
        """A partition; its `leave_gap`, `compact` and `delete_before` make holes.

        Raises:
            ClientError: There is no such topic or partition.
        """
        logs = self.topics.get(tp.topic)
        if logs is None or not 0 <= tp.partition < len(logs):
            raise refusal("UNKNOWN_TOPIC_OR_PART", "there is no such partition", where=f"{tp.topic}[{tp.partition}]")
        return logs[tp.partition]

    def records(self, topic: str, *, committed: bool = False) -> list[MemoryRecord]:
        """All that stands in a topic, partition by partition; or only what is committed."""
        with self.lock:
            return [
                record for log in self.topics[topic] for record in log.read(0, len(log.records), committed=committed)
            ]

    def end_old_transactions(self) -> None:
        """Abort the transactions whose time is over."""
        with self.lock:
            for producer in self.transactional.values():
                producer.end_if_old(self.clock.monotonic())

    def partitions(self, wanted: Callable[[str], bool]) -> set[TP]:
        """The partitions of the topics that are wanted."""
        return {TP(name, p) for name, logs in self.topics.items() if wanted(name) for p in range(len(logs))}

    # --- groups

    def group(self, name: str) -> Group:
        """A group; it begins when it is first spoken of."""
        with self.lock:
            return self.groups.setdefault(name, Group(name))

    def committed(self, group: str, tp: TP) -> Committed:
        """Where a group stands on a partition."""
        return self.group(group).offsets.get(tp, Committed(None))

    def write_commit(self, group: Group, member: str, offsets: Mapping[TP, Committed]) -> None:
        """Take a commit that was let through."""
        for tp, committed in offsets.items():
            if committed.offset is not None:
                group.offsets[tp] = committed
                self.commits.append(Accepted(self.clock.monotonic(), member, group.name, tp, committed))

    # --- a test's hand

    def deliver(self) -> None:
        """Report all deliveries that wait, of all producers."""
        for producer in list(self._producers):
            producer.serve(0)

    # --- clients, as they come and go

    def enrol(self, client: MemoryConsumer | MemoryProducer) -> str:
        """A client begins; answers its name."""
        from kafkaboot.client.memory.producer import MemoryProducer

        with self.lock:
            self._names += 1
            if isinstance(client, MemoryProducer):
                self._producers.append(client)
                return f"producer-{self._names}"
            self._consumers.append(client)
            return f"member-{self._names}"

    def dismiss(self, client: MemoryConsumer | MemoryProducer) -> None:
        """A client has ended."""
        with self.lock:
            self._consumers = [c for c in self._consumers if c is not client]
            self._producers = [p for p in self._producers if p is not client]

    def _next(self, partitions: int) -> int:
        self._spread += 1
        return (self._spread - 1) % partitions
