"""`kafkaboot.retry.<policy>`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from kafkaboot.config import Duration, kebab
from kafkaboot.declare import RetryPolicy

Positive = Annotated[int, Field(ge=1)]
Delay = Annotated[Duration, Field(gt=0)]


class RetrySettings(BaseModel):
    """`kafkaboot.retry.<policy>`: what becomes of a record whose handler raises."""

    model_config = ConfigDict(extra="forbid", alias_generator=kebab, populate_by_name=True, frozen=True)

    class BackoffSettings(BaseModel):
        """Growing delays, each drawn at random between nothing and its full length."""

        model_config = ConfigDict(extra="forbid", alias_generator=kebab, populate_by_name=True, frozen=True)

        initial: Duration = Field(0.2, gt=0, description="Before the second attempt.")
        max: Duration = Field(30.0, gt=0, description="The longest delay.")
        multiplier: float = Field(2.0, ge=1)
        jitter: bool = True

    attempts: Positive = Field(5, description="Calls for one record in its lane, the first included.")
    backoff: BackoffSettings = BackoffSettings()
    time_limit: Delay | None = Field(
        None, description="After the first failure no other attempt begins later than this."
    )
    topics: list[Delay] = Field(
        default_factory=list,
        description="Retry topics after the attempts in the lane: how long a record waits in each, shortest first.",
    )
    keep_order: Literal["key"] | None = Field(
        None, description="`key`: later records of a key follow the one that waits in a retry topic."
    )
    fatal: list[str] = Field(
        default_factory=list, description="Dotted names of exceptions that no further attempt mends."
    )
    retriable: list[str] = Field(
        default_factory=list, description="Dotted names of exceptions that are tried again though fatal by default."
    )
    deaths: Positive = Field(
        3, description="After so many deaths of the process at one record it is put aside without being handled."
    )

    @field_validator("topics")
    @classmethod
    def _delays_grow(cls, delays: list[float]) -> list[float]:
        if delays != sorted(set(delays)):
            raise ValueError("each delay must be longer than the one before, for example [5s, 1m, 10m]")
        return delays

    @field_validator("keep_order")
    @classmethod
    def _has_topics(cls, kept: str | None, info: ValidationInfo) -> str | None:
        if kept is not None and info.data.get("topics") == []:
            raise ValueError("it needs topics, for example [5s, 1m]: in its lane a record keeps its order anyway")
        return kept

    def policy(self) -> RetryPolicy:
        """The same as it may stand in code."""
        return RetryPolicy(
            initial=self.backoff.initial,
            max=self.backoff.max,
            multiplier=self.backoff.multiplier,
            jitter=self.backoff.jitter,
            attempts=self.attempts,
            time_limit=self.time_limit,
            topics=tuple(self.topics),
            keep_order=self.keep_order,
            fatal=tuple(self.fatal),
            retriable=tuple(self.retriable),
            deaths=self.deaths,
        )
