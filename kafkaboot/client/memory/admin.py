"""What is asked of the cluster beside reading and writing, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.client.memory.faults import refusal
from kafkaboot.client.ports import TopicInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kafkaboot.client.memory.kafka import MemoryKafka
    from kafkaboot.client.ports import TP, Committed, TopicSpec

_OPERATIONS = frozenset({"READ", "WRITE", "CREATE", "DELETE", "ALTER", "DESCRIBE", "DESCRIBE_CONFIGS", "ALTER_CONFIGS"})


class MemoryAdmin:
    """`AdminPort` on a `MemoryKafka`."""

    def __init__(self, kafka: MemoryKafka) -> None:
        self._kafka = kafka
        self._closed = False

    def topics(self, timeout: float) -> dict[str, TopicInfo]:  # noqa: ARG002 - nothing is waited for
        """See `AdminPort`."""
        self._open()
        with self._kafka.lock:
            return {name: TopicInfo(name, len(logs)) for name, logs in self._kafka.topics.items()}

    def create_topics(self, specs: Sequence[TopicSpec], timeout: float) -> None:  # noqa: ARG002
        """See `AdminPort`."""
        self._open()
        for spec in specs:
            if not spec.partitions:
                raise refusal("INVALID_PARTITIONS", "a topic has at least one partition", where=spec.name)
            self._kafka.create(spec.name, max(1, spec.partitions), spec.config)

    def permissions(self, topics: Sequence[str], timeout: float) -> dict[str, frozenset[str] | None]:  # noqa: ARG002
        """See `AdminPort`."""
        self._open()
        with self._kafka.lock:
            missing = [name for name in topics if name not in self._kafka.topics]
            if missing:
                raise refusal("UNKNOWN_TOPIC_OR_PART", "there is no such topic", where=missing[0])
            return {name: _OPERATIONS - self._kafka.denied.get(name, set()) for name in topics}

    def end_offsets(self, partitions: Sequence[TP], timeout: float) -> dict[TP, int]:  # noqa: ARG002
        """See `AdminPort`."""
        self._open()
        with self._kafka.lock:
            return {tp: self._kafka.log(tp).end for tp in partitions}

    def begin_offsets(self, partitions: Sequence[TP], timeout: float) -> dict[TP, int]:  # noqa: ARG002
        """See `AdminPort`."""
        self._open()
        with self._kafka.lock:
            return {tp: self._kafka.log(tp).start for tp in partitions}

    def delete_records(self, before: Mapping[TP, int], timeout: float) -> None:  # noqa: ARG002
        """See `AdminPort`."""
        self._open()
        with self._kafka.lock:
            for tp, offset in before.items():
                self._kafka.log(tp).delete_before(offset)

    def group_offsets(
        self,
        group: str,
        timeout: float,  # noqa: ARG002
        partitions: Sequence[TP] | None = None,
    ) -> dict[TP, Committed]:
        """See `AdminPort`."""
        self._open()
        with self._kafka.lock:
            found = self._kafka.group(group).offsets
            return {tp: one for tp, one in found.items() if partitions is None or tp in partitions}

    def group_members(self, group: str, timeout: float) -> int:  # noqa: ARG002
        """See `AdminPort`."""
        self._open()
        with self._kafka.lock:
            return len(self._kafka.group(group).members)

    def close(self) -> None:
        """See `AdminPort`."""
        self._closed = True

    def _open(self) -> None:
        if self._closed:
            raise refusal("_STATE", "the admin client is closed")
