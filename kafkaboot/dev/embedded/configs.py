"""Topic settings: Kafka's names, defaults and checks.

Those that say how Kafka lays its files out (index sizes, flushing, preallocation, levels of compression) are known and
shown, and have nothing to govern here. Tiered storage and replication quotas are not known: they are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LONGEST = 2**63 - 1
_DAY = 86_400_000
Type = Literal["BOOLEAN", "STRING", "INT", "LONG", "DOUBLE", "LIST"]
NUMBERS: Mapping[Type, int] = {"BOOLEAN": 1, "STRING": 2, "INT": 3, "LONG": 5, "DOUBLE": 6, "LIST": 7}
"""The protocol's numbers for the types (KIP-569)."""


class Setting(NamedTuple):
    """One setting of a topic.

    Attributes:
        broker: The broker's setting that it falls back to in Kafka; empty where there is none of the same unit.
        least: The smallest number that it takes.
        among: The words that it takes.
    """

    type: Type
    default: str
    broker: str
    least: float | None = None
    most: float | None = None
    among: tuple[str, ...] = ()
    text: str = ""


SETTINGS: Mapping[str, Setting] = {
    "cleanup.policy": Setting(
        "LIST",
        "delete",
        "log.cleanup.policy",
        among=("compact", "delete"),
        text="delete: old records go, by time and size; compact: the newest record of each key stays.",
    ),
    "compression.gzip.level": Setting("INT", "-1", "compression.gzip.level", -1, 9),
    "compression.lz4.level": Setting("INT", "9", "compression.lz4.level", 1, 17),
    "compression.type": Setting(
        "STRING",
        "producer",
        "compression.type",
        among=("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"),
        text="Batches are kept as the producer packed them, whatever it says.",
    ),
    "compression.zstd.level": Setting("INT", "3", "compression.zstd.level", -131072, 22),
    "delete.retention.ms": Setting(
        "LONG",
        str(_DAY),
        "log.cleaner.delete.retention.ms",
        0,
        text="How long a compacted topic keeps tombstones once it has compacted them.",
    ),
    "file.delete.delay.ms": Setting("LONG", "60000", "log.segment.delete.delay.ms", 0),
    "flush.messages": Setting("LONG", str(_LONGEST), "log.flush.interval.messages", 1),
    "flush.ms": Setting("LONG", str(_LONGEST), "", 0),
    "index.interval.bytes": Setting("INT", "4096", "log.index.interval.bytes", 0),
    "max.compaction.lag.ms": Setting(
        "LONG",
        str(_LONGEST),
        "log.cleaner.max.compaction.lag.ms",
        1,
        text="After so long a record is compacted, however little there is to gain.",
    ),
    "max.message.bytes": Setting(
        "INT", "1048588", "message.max.bytes", 0, text="The largest batch, as it comes (compressed)."
    ),
    "message.timestamp.after.max.ms": Setting(
        "LONG",
        "3600000",
        "log.message.timestamp.after.max.ms",
        0,
        text="How far ahead of the broker's clock a record may be.",
    ),
    "message.timestamp.before.max.ms": Setting(
        "LONG",
        str(_LONGEST),
        "log.message.timestamp.before.max.ms",
        0,
        text="How far behind the broker's clock a record may be.",
    ),
    "message.timestamp.type": Setting(
        "STRING",
        "CreateTime",
        "log.message.timestamp.type",
        among=("CreateTime", "LogAppendTime"),
        text="Whose clock records go by: the producer's or the broker's.",
    ),
    "min.cleanable.dirty.ratio": Setting(
        "DOUBLE",
        "0.5",
        "log.cleaner.min.cleanable.ratio",
        0,
        1,
        text="The share of bytes that have never been compacted from which on it is done.",
    ),
    "min.compaction.lag.ms": Setting(
        "LONG", "0", "log.cleaner.min.compaction.lag.ms", 0, text="How long a record is safe from compaction."
    ),
    "min.insync.replicas": Setting(
        "INT", "1", "min.insync.replicas", 1, text="With more than one, acks=all is refused: there is one replica."
    ),
    "preallocate": Setting("BOOLEAN", "false", "log.preallocate"),
    "retention.bytes": Setting(
        "LONG", "-1", "log.retention.bytes", -1, text="What a partition keeps at least; -1 for all."
    ),
    "retention.ms": Setting("LONG", str(7 * _DAY), "", -1, text="How long records are kept at least; -1 for ever."),
    "segment.bytes": Setting(
        "INT",
        str(2**30),
        "log.segment.bytes",
        2**20,
        text="The size at which a partition's tail, which is not compacted, begins anew.",
    ),
    "segment.index.bytes": Setting("INT", "10485760", "log.index.size.max.bytes", 4),
    "segment.jitter.ms": Setting("LONG", "0", "", 0),
    "segment.ms": Setting("LONG", str(7 * _DAY), "", 1, text="The time after which a partition's tail begins anew."),
    "unclean.leader.election.enable": Setting("BOOLEAN", "false", "unclean.leader.election.enable"),
}

BROKER_SETTINGS: Mapping[str, tuple[Type, str]] = {
    **{
        setting.broker: (setting.type, setting.default)
        for setting in SETTINGS.values()
        if setting.broker and setting.text
    },
    "broker.id": ("INT", "1"),
    "log.retention.hours": ("INT", "168"),
    "offsets.topic.replication.factor": ("INT", "1"),
    "transaction.max.timeout.ms": ("INT", "900000"),
}
"""What the broker says of itself, beside what it was started with."""


class InvalidConfigError(Exception):
    """A setting that Kafka would refuse, in its words."""


class TopicSettings(NamedTuple):
    """What a topic's settings come to, for those who keep to them."""

    compacts: bool
    deletes: bool
    delete_retention: int
    max_compaction_lag: int
    max_message: int
    after_max: int
    before_max: int
    append_time: bool
    dirty_ratio: float
    min_compaction_lag: int
    min_in_sync: int
    retention_bytes: int
    retention: int
    segment_bytes: int
    segment: int


def resolved(config: Mapping[str, str]) -> TopicSettings:
    """What was set, and Kafka's defaults for the rest."""

    def of(name: str) -> str:
        return config.get(name, SETTINGS[name].default)

    policies = listed(of("cleanup.policy"))
    return TopicSettings(
        compacts="compact" in policies,
        deletes="delete" in policies,
        delete_retention=int(of("delete.retention.ms")),
        max_compaction_lag=int(of("max.compaction.lag.ms")),
        max_message=int(of("max.message.bytes")),
        after_max=int(of("message.timestamp.after.max.ms")),
        before_max=int(of("message.timestamp.before.max.ms")),
        append_time=of("message.timestamp.type") == "LogAppendTime",
        dirty_ratio=float(of("min.cleanable.dirty.ratio")),
        min_compaction_lag=int(of("min.compaction.lag.ms")),
        min_in_sync=int(of("min.insync.replicas")),
        retention_bytes=int(of("retention.bytes")),
        retention=int(of("retention.ms")),
        segment_bytes=int(of("segment.bytes")),
        segment=int(of("segment.ms")),
    )


def listed(value: str) -> list[str]:
    """The words of a list."""
    return [word for one in value.split(",") if (word := one.strip())]


def checked(pairs: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    """A topic's settings as they come in; those without a value are left at their defaults.

    Raises:
        InvalidConfigError: A name is unknown, or a value is none of its kind.
    """
    config = {}
    for name, value in pairs:
        setting = known(name)
        if value is not None:
            config[name] = _valid(name, setting, value)
    if int(config.get("min.compaction.lag.ms", 0)) > int(config.get("max.compaction.lag.ms", _LONGEST)):
        raise InvalidConfigError(
            f"conflict topic config setting min.compaction.lag.ms ({config['min.compaction.lag.ms']}) > "
            f"max.compaction.lag.ms ({config['max.compaction.lag.ms']})"
        )
    return config


def known(name: str) -> Setting:
    """The setting of that name.

    Raises:
        InvalidConfigError: There is none.
    """
    setting = SETTINGS.get(name)
    if setting is None:
        raise InvalidConfigError(f"Unknown topic config name: {name}")
    return setting


def _valid(name: str, setting: Setting, value: str) -> str:
    said = f"Invalid value {value} for configuration {name}"
    value = value.strip()
    if setting.type in {"INT", "LONG", "DOUBLE"}:
        try:
            number = float(value) if setting.type == "DOUBLE" else int(value)
        except ValueError as error:
            raise InvalidConfigError(f"{said}: Not a number of type {setting.type}") from error
        if setting.type != "DOUBLE" and not -(2**63) <= number < (2**31 if setting.type == "INT" else 2**63):
            raise InvalidConfigError(f"{said}: Not a number of type {setting.type}")
        # Turned around, so that NaN does not pass either.
        if setting.least is not None and not number >= setting.least:
            raise InvalidConfigError(f"{said}: Value must be at least {setting.least}")
        if setting.most is not None and not number <= setting.most:
            raise InvalidConfigError(f"{said}: Value must be no more than {setting.most}")
    elif setting.type == "BOOLEAN":
        if value.lower() not in {"true", "false"}:
            raise InvalidConfigError(f"{said}: Expected value to be either true or false")
        return value.lower()
    else:
        words = listed(value) if setting.type == "LIST" else [value]
        if any(word not in setting.among for word in words):
            raise InvalidConfigError(f"{said}: String must be one of: {', '.join(setting.among)}")
    return value
