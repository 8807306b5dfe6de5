"""What is asked of the cluster beside reading and writing, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.client.memory.faults import refusal
from kafkaboot.client.memory.topic_settings import DEFAULTS
from kafkaboot.client.ports import TopicInfo, TopicSetting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kafkaboot.client.memory.kafka import MemoryKafka
    from kafkaboot.client.ports import TP, Committed, TopicSpec
    from kafkaboot.errors import ClientError

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
            copies = self._kafka.replications
            return {
                name: TopicInfo(name, len(logs), "", copies.get(name, 1)) for name, logs in self._kafka.topics.items()
            }

    def create_topics(
        self,
        specs: Sequence[TopicSpec],
        timeout: float,  # noqa: ARG002
        *,
        dry_run: bool = False,
    ) -> None:
        """See `AdminPort`."""
        self._open()
        for spec in specs:
            self._permit(spec.name, "CREATE")
            if not spec.partitions:
                raise refusal("INVALID_PARTITIONS", "a topic has at least one partition", where=spec.name)
            _refuse_unknown(spec.name, spec.config)
            if not dry_run:
                self._kafka.create(spec.name, max(1, spec.partitions), spec.config, max(1, spec.replication))

    def add_partitions(self, topic: str, total: int, timeout: float, *, dry_run: bool = False) -> None:  # noqa: ARG002
        """See `AdminPort`."""
        self._open()
        with self._kafka.lock:
            self._existing(topic)
            self._permit(topic, "ALTER")
            if not dry_run:
                self._kafka.grow(topic, total)
            elif total <= len(self._kafka.topics[topic]):
                raise refusal("INVALID_PARTITIONS", "it would have no more than it has", where=topic)

    def topic_settings(
        self,
        topics: Sequence[str],
        timeout: float,  # noqa: ARG002
    ) -> dict[str, dict[str, TopicSetting] | ClientError]:
        """See `AdminPort`."""
        self._open()
        with self._kafka.lock:
            return {name: self._settings(name) for name in topics}

    def set_topic_settings(
        self,
        topic: str,
        settings: Mapping[str, str],
        timeout: float,  # noqa: ARG002
        *,
        dry_run: bool = False,
    ) -> None:
        """See `AdminPort`."""
        self._open()
        with self._kafka.lock:
            self._existing(topic)
            self._permit(topic, "ALTER_CONFIGS")
            _refuse_unknown(topic, settings)
            if not dry_run:
                self._kafka.topic_configs[topic].update(settings)

    def _settings(self, topic: str) -> dict[str, TopicSetting] | ClientError:
        if topic not in self._kafka.topics:
            return refusal("UNKNOWN_TOPIC_OR_PART", "there is no such topic", where=topic)
        if "DESCRIBE_CONFIGS" in self._kafka.denied.get(topic, ()):
            return refusal("TOPIC_AUTHORIZATION_FAILED", "DESCRIBE_CONFIGS is not permitted", where=topic)
        own = self._kafka.topic_configs[topic]
        return {name: TopicSetting(own.get(name, default), name in own) for name, default in DEFAULTS.items()}

    def _existing(self, topic: str) -> None:
        if topic not in self._kafka.topics:
            raise refusal("UNKNOWN_TOPIC_OR_PART", "there is no such topic", where=topic)

    def _permit(self, topic: str, operation: str) -> None:
        if operation in self._kafka.denied.get(topic, ()):
            raise refusal("TOPIC_AUTHORIZATION_FAILED", f"{operation} is not permitted", where=topic)

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

    def broker_setting(self, name: str, timeout: float) -> str | None:  # noqa: ARG002
        """See `AdminPort`."""
        self._open()
        return self._kafka.settings.get(name)

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


def _refuse_unknown(topic: str, settings: Mapping[str, str]) -> None:
    for name in settings:
        if name not in DEFAULTS:
            raise refusal("INVALID_CONFIG", f"Unknown topic config name: {name}", where=topic)
