"""The producer's section of the configuration."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from kafkaboot.client.presets import PRODUCER, PRODUCER_PRESETS, TRANSACTIONS
from kafkaboot.config import Duration, Size, kebab

Positive = Annotated[int, Field(ge=1)]


class TransactionSettings(BaseModel):
    """`kafkaboot.producer.transaction`.

    The transactional ids are `{application}-{slot}-{n}`. Two processes with one slot fence each other.
    """

    model_config = ConfigDict(extra="forbid", alias_generator=kebab, populate_by_name=True, frozen=True)

    slot: str | None = Field(
        None,
        min_length=1,
        description="This process's name, stable over restarts and no other's; default: its host's name and KB_WORKER.",
    )
    pool: Positive = Field(4, le=100, description="Transactions that may be open at a time; others wait.")
    timeout: Duration = Field(
        10.0, ge=1, description="How long one may take; until then one that was left open keeps readers waiting."
    )


class PublishRetrySettings(BaseModel):
    """`kafkaboot.producer.retry`: what `publish` does when the client has given a record up."""

    model_config = ConfigDict(extra="forbid", alias_generator=kebab, populate_by_name=True, frozen=True)

    class BackoffSettings(BaseModel):
        """Growing delays, each drawn at random between nothing and its full length."""

        model_config = ConfigDict(extra="forbid", alias_generator=kebab, populate_by_name=True, frozen=True)

        initial: Duration = Field(0.2, gt=0, description="Before the second attempt.")
        max: Duration = Field(10.0, gt=0, description="The longest delay.")
        multiplier: float = Field(2.0, ge=1)
        jitter: bool = True

    attempts: Positive = Field(3, le=1000, description="How often a record is handed over, the first time included.")
    backoff: BackoffSettings = BackoffSettings()
    time_limit: Duration = Field(
        120.0, gt=0, description="No other attempt begins later than this after the call, nor is room waited for."
    )


class RequestSettings(BaseModel):
    """`kafkaboot.requests`: how this application asks and answers. Given, its answers' place is sought at start."""

    model_config = ConfigDict(extra="forbid", alias_generator=kebab, populate_by_name=True, frozen=True)

    topic: str | None = Field(
        None,
        pattern=r"^([A-Za-z0-9.-]|_[A-Za-z0-9.-])[A-Za-z0-9._-]{0,247}$",
        description="Where answers to this application's requests go; default: `{application}.replies`.",
    )
    dialect: Literal["kafkaboot", "spring"] = Field(
        "kafkaboot", description="In whose headers requests are written; both are answered, and both answers are read."
    )
    reply_topics: str | None = Field(
        None, description="A regular expression that a request's reply topic must match to be answered; default: any."
    )
    tell: Literal["kind", "message", "traceback"] = Field(
        "message", description="What an asker is told of an exception that its request was given up for."
    )

    @field_validator("reply_topics")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"it is no regular expression: {error}") from error
        return pattern


class ProducerSettings(BaseModel):
    """`kafkaboot.producer`: how this application publishes. What is left out comes from the preset."""

    model_config = ConfigDict(extra="forbid", alias_generator=kebab, populate_by_name=True, frozen=True)

    preset: Literal["high-throughput", "low-latency", "safe"] = Field(
        "safe", description="Client properties to start from; all three are idempotent with acks=all."
    )
    compression: Literal["none", "lz4", "zstd", "snappy", "gzip"] | None = Field(None, description="Codec of batches.")
    compression_level: int | None = Field(
        None, description="How hard the codec tries: gzip 1 to 9, lz4 and zstd 1 to 12; by default as it chooses."
    )
    linger: Duration | None = Field(None, le=900, description="How long a record waits for company in its request.")
    batch_size: Size | None = Field(None, gt=0, description="The largest batch, in bytes.")
    max_buffered: Positive | None = Field(
        None, le=10_000_000, description="Records on their way at most; beyond, publishing waits for room."
    )
    delivery_timeout: Duration | None = Field(
        None, gt=0, description="After this long an undelivered record fails; 5 minutes if nobody says otherwise."
    )
    envelope: Literal["cloudevents", "minimal", "none"] = Field(
        "cloudevents", description="Headers of published events."
    )
    source: str | None = Field(
        None, min_length=1, description="`ce_source`, a URI reference; a slash and the application's name."
    )
    flush_timeout: Duration = Field(30.0, description="How long stopping waits for records that are on their way.")
    retry: PublishRetrySettings | None = Field(
        None,
        description="Attempts of `publish` beyond the client's own; a repeat may be written twice. Default: none.",
    )
    circuit: str | None = Field(
        None, pattern=r"^\w[\w-]*$", description="A name under `kafkaboot.circuits`, through which `publish` goes."
    )
    transaction: TransactionSettings | None = Field(
        None, description="Given, its clients are made at start; else the first transaction makes one, by the defaults."
    )
    properties: dict[str, str | int | float | bool] = Field(
        default_factory=dict, repr=False, description="Any librdkafka producer property; they win over all above."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in ("transactional.id", "transaction.timeout.ms"):
            if name in self.properties:
                raise ValueError(f"{name} is not a property of the producer: see kafkaboot.producer.transaction")
        self._refuse_level()
        given = self.delivery_timeout
        if self.retry is not None and self.retry.attempts > 1 and self._delivery_timeout() >= self.retry.time_limit:
            raise ValueError(
                f"the client itself tries a record for {self._delivery_timeout():g} s (delivery-timeout), which is not"
                f" less than retry.time-limit, {self.retry.time_limit:g} s: nothing would ever be tried again; lower"
                " delivery-timeout, to 10s say, or raise retry.time-limit"
            )
        if given is not None and self.transaction is not None and given > self.transaction.timeout:
            raise ValueError(
                f"delivery-timeout is {given:g} s and transaction.timeout {self.transaction.timeout:g} s: a record that"
                " may arrive after its transaction has ended is of no use; lower the one or raise the other"
            )
        return self

    def _refuse_level(self) -> None:
        """Refuse a level that the codec does not have."""
        level = self.compression_level
        if level is None:
            return
        codec = str(self.client_properties().get("compression.type", "none"))
        most = _LEVELS.get(codec)
        if most is None:
            raise ValueError(f"compression-level is {level}, and {codec} has no levels: take gzip, lz4 or zstd")
        if not 1 <= level <= most:
            raise ValueError(f"compression-level is {level}, and {codec} has levels from 1 to {most}")

    def _delivery_timeout(self) -> float:
        properties = self.client_properties()
        said = properties.get("message.timeout.ms", properties.get("delivery.timeout.ms", 300_000))
        # librdkafka's 0 is for ever.
        return float(str(said)) / 1000 or float("inf")

    def transaction_properties(self) -> dict[str, object]:
        """The same for the clients of transactions, whose records have as long as the transaction at most."""
        found = {**TRANSACTIONS, **self.client_properties()}
        timeout = int((self.transaction or TransactionSettings()).timeout * 1000)
        given = int(str(found.pop("delivery.timeout.ms", None) or found.get("message.timeout.ms", timeout)))
        # librdkafka's 0 is for ever.
        return {**found, "message.timeout.ms": min(given or timeout, timeout), "transaction.timeout.ms": timeout}

    def client_properties(self) -> dict[str, object]:
        """The same in librdkafka's words."""
        found: dict[str, object] = {**PRODUCER, **PRODUCER_PRESETS[self.preset]}
        given: dict[str, object] = {
            "compression.type": self.compression,
            "compression.level": self.compression_level,
            "linger.ms": None if self.linger is None else self.linger * 1000,
            "batch.size": self.batch_size,
            "queue.buffering.max.messages": self.max_buffered,
            "message.timeout.ms": None if self.delivery_timeout is None else int(self.delivery_timeout * 1000),
        }
        found |= {name: value for name, value in given.items() if value is not None}
        for name, value in self.properties.items():
            for same in _SAME.get(name, ()):
                found.pop(same, None)
            found[name] = value
        return found


_LEVELS = {"gzip": 9, "lz4": 12, "zstd": 12}
"""The highest level that librdkafka takes for each codec that has some."""
_NAMES = (
    ("compression.type", "compression.codec"),
    ("linger.ms", "queue.buffering.max.ms"),
    ("message.timeout.ms", "delivery.timeout.ms"),
    ("acks", "request.required.acks"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
)
_SAME = {name: tuple(other for other in names if other != name) for names in _NAMES for name in names}
"""librdkafka has two names for these; of both given, the last one set would win by chance."""
