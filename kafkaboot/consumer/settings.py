"""The consumer's section of the configuration."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from kafkaboot.client.presets import CONSUMER, CONSUMER_PRESETS, Properties
from kafkaboot.config import Duration, Size, kebab

Positive = Annotated[int, Field(ge=1)]


class EnclosedSettings(BaseModel):
    """`kafkaboot.consumer.transaction`: when a transaction of handlers with `transactional=True` ends.

    How long one may take at most is `kafkaboot.producer.transaction.timeout`.
    """

    model_config = ConfigDict(extra="forbid", alias_generator=kebab, populate_by_name=True, frozen=True)

    max_records: Positive = Field(500, description="Records published in one transaction, about.")
    linger: Duration = Field(
        0.02, description="How long one waits for more from its first record on; while nothing is at hand, not at all."
    )


class ConsumerSettings(BaseModel):
    """`kafkaboot.consumer`: how the groups of this application poll, hold back, commit and stop."""

    model_config = ConfigDict(extra="forbid", alias_generator=kebab, populate_by_name=True, frozen=True)

    preset: Literal["high-throughput", "low-latency", "safe"] = Field(
        "safe", description="Client properties to start from; `properties` win over them."
    )
    group: str | None = Field(None, description="The group of handlers that name none; the application's name.")
    group_protocol: Literal["classic", "consumer"] = Field(
        "classic", description="`consumer` is KIP-848's protocol: the broker assigns partitions."
    )
    assignment: Literal["cooperative-sticky", "range", "roundrobin"] = Field(
        "cooperative-sticky", description="How the classic protocol spreads partitions; the last two are eager."
    )
    instance_id: str | None = Field(
        None, description="Static membership (KIP-345): one name for each process, for example the pod's."
    )
    session_timeout: Duration = Field(45.0, description="After this long without a heartbeat the member is dead.")
    max_poll_interval: Duration = Field(300.0, description="The poller polls far more often than this, always.")
    poll_records: Positive = Field(1000, description="Records of one poll.")
    max_buffered: Positive = Field(5_000, description="Records taken and not handled before polling is held back.")
    max_buffered_size: Size = Field(64 * 2**20, description="The same in bytes.")
    commit_interval: Duration = Field(1.0, description="Time between two commits.")
    drain_timeout: Duration = Field(20.0, description="How long stopping waits for handlers that are at work.")
    revoke_timeout: Duration = Field(20.0, description="How long a partition that is taken away waits for them.")
    transaction: EnclosedSettings = Field(
        EnclosedSettings(), description="When the transactions of handlers with `transactional=True` end."
    )
    stuck_after: Duration = Field(600.0, description="A handler at work for longer turns liveness DOWN.")
    poll_stalled_after: Duration = Field(30.0, description="No poll for this long turns liveness DOWN.")
    properties: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Any librdkafka consumer property."
    )

    @field_validator("properties")
    @classmethod
    def _ours(cls, properties: dict[str, str | int | float | bool]) -> dict[str, str | int | float | bool]:
        for name in ("enable.auto.commit", "enable.auto.offset.store"):
            if str(properties.get(name, "false")).lower() != "false":
                raise ValueError(f"{name} would commit records that are not handled: remove it, kafkaboot commits")
        return properties

    def client_properties(self, start: Literal["earliest", "latest"], *, committed_only: bool = False) -> Properties:
        """What the client is told; `properties` win over everything else.

        Args:
            start: Where a group without a committed offset begins.
            committed_only: Whether a handler of the group is transactional: it sees nothing that may be aborted, and
                its offsets are read once no transaction is about to change them (KIP-447).
        """
        session = int(self.session_timeout * 1000)
        properties = (
            CONSUMER
            | CONSUMER_PRESETS[self.preset]
            | {
                "auto.offset.reset": start,
                "max.poll.interval.ms": max(int(self.max_poll_interval * 1000), session),
                "group.protocol": self.group_protocol,
            }
        )
        if self.group_protocol == "classic":
            properties |= {
                "partition.assignment.strategy": self.assignment,
                "session.timeout.ms": session,
                "heartbeat.interval.ms": max(1, min(3000, session // 3)),
            }
        if self.instance_id:
            properties["group.instance.id"] = self.instance_id
        return properties | ({"isolation.level": "read_committed"} if committed_only else {}) | self.properties


class HandlerSettings(BaseModel):
    """`kafkaboot.handlers.<id>`: what the configuration says of one handler; it wins over the code."""

    model_config = ConfigDict(extra="forbid", alias_generator=kebab, populate_by_name=True, frozen=True)

    topics: list[str] | None = None
    pattern: str | None = None
    type: str | None = None
    group: str | None = None
    batch: bool | Positive | None = None
    ordering: Literal["partition", "key", "unordered"] | None = None
    concurrency: Positive | None = None
    timeout: Duration | None = Field(None, gt=0)
    retry: str | Literal[False] | None = None
    on_exhausted: Literal["dead-letter", "skip", "stop"] | None = None
    circuit: str | None = Field(None, pattern=r"^\w[\w-]*$", description="A name under `kafkaboot.circuits`.")
    transactional: bool | None = Field(None, description="Outputs and offsets become visible together.")
    start: Literal["earliest", "latest"] | None = None
    inbox: bool | str | None = Field(None, description="`true`, or a name under `kafkaboot.databases`.")
    inbox_key: str | None = Field(None, description="The header that says which records are repetitions.")
    reply: bool | None = Field(None, description="What it returns answers the record, for `producer.request`.")
    enabled: bool = Field(True, description="`false` leaves the handler out.")
