"""What a change of a topic's setting would cost. A change that may cost something is told and never made.

The settings are those of Apache Kafka (https://kafka.apache.org/documentation/#topicconfigs). One that is not listed
is left alone: nobody here knows what it does to the records that are there.
"""

from __future__ import annotations

import math

from kafkaboot.topics.settings import IN_SYNC

_ENDLESS = frozenset({"retention.ms", "retention.bytes"})
"""Where -1 means no limit."""

_LOWERED = {
    "retention.ms": "records that are older would be deleted",
    "retention.bytes": "what a partition holds beyond it would be deleted",
    "delete.retention.ms": "a reader that is slow would miss the tombstones of keys, and keep what was deleted",
    "min.compaction.lag.ms": "earlier records of a key would be compacted away sooner",
    "max.message.bytes": "records that are accepted today would be refused",
    "message.timestamp.before.max.ms": "records that are accepted today would be refused",
    "message.timestamp.after.max.ms": "records that are accepted today would be refused",
    IN_SYNC: "a record would be acknowledged while it stands on fewer brokers",
}
_RAISED = {
    "flush.ms": "more records could be lost when a machine loses its power",
    "flush.messages": "more records could be lost when a machine loses its power",
}
_FREE = frozenset({
    "compression.gzip.level", "compression.lz4.level", "compression.type", "compression.zstd.level",
    "file.delete.delay.ms", "follower.replication.throttled.replicas", "index.interval.bytes",
    "leader.replication.throttled.replicas", "max.compaction.lag.ms", "message.downconversion.enable",
    "message.timestamp.type", "min.cleanable.dirty.ratio", "preallocate", "segment.bytes", "segment.index.bytes",
    "segment.jitter.ms", "segment.ms",
})  # fmt: skip


def cost(setting: str, old: str, new: str, replication: int = 0) -> str:
    """What the change would cost; empty when nothing.

    Args:
        setting: Kafka's name.
        old: What holds, as Kafka writes it.
        new: What is wanted.
        replication: The topic's copies; 0 where they are not known.
    """
    if setting == IN_SYNC and 0 < replication < _number(setting, new):
        return f"every record would be refused (acks=all): the topic's replication is {replication}"
    if setting in _LOWERED:
        return _LOWERED[setting] if _number(setting, new) < _number(setting, old) else ""
    if setting in _RAISED:
        return _RAISED[setting] if _number(setting, new) > _number(setting, old) else ""
    if setting == "cleanup.policy":
        gained = _words(new) - _words(old)
        if "delete" in gained:
            return "records beyond the retention would be deleted"
        return "all but the last record of each key would be deleted" if "compact" in gained else ""
    if setting == "unclean.leader.election.enable":
        return "acknowledged records could be lost with their leader" if new.lower() == "true" else ""
    return "" if setting in _FREE else "kafkaboot does not know what it does to the records that are there"


def same(old: str, new: str) -> bool:
    """Whether two ways of writing mean one value: `compact,delete` and `delete, compact`, `True` and `true`."""
    if old.strip().lower() == new.strip().lower():
        return True
    try:
        return _exact(old) == _exact(new)
    except ValueError:
        return "," in old and _words(old) == _words(new)


def _exact(text: str) -> float:
    return int(text) if text.strip().lstrip("+-").isdigit() else float(text)


def _number(setting: str, text: str) -> float:
    """A text that is no number is refused by the broker; until then it is the smallest."""
    try:
        number = _exact(text)
    except ValueError:
        return -math.inf
    return math.inf if setting in _ENDLESS and number < 0 else number


def _words(text: str) -> frozenset[str]:
    return frozenset(word.strip().lower() for word in text.split(","))
