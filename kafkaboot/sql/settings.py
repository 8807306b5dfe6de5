"""`kafkaboot.databases` and `kafkaboot.outbox`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from kafkaboot.config import Duration, kebab

Positive = Annotated[int, Field(ge=1)]
Tables = Literal["create", "validate", "off"]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=kebab, populate_by_name=True, frozen=True)


class DatabaseSettings(_Section):
    """`kafkaboot.databases.<name>`: a database that inboxes and outboxes may be in: SQLite or PostgreSQL."""

    url: SecretStr = Field(
        description="SQLAlchemy's URL: `postgresql://user:password@host/shop`, `sqlite:///shop.db`; a secret."
    )
    tables: Tables = Field(
        "create",
        description="What a start does with the house's own tables: make those that are missing, look, or not.",
    )
    pool_size: Positive = Field(10, description="Connections that are kept; twice as many again at times of need.")
    busy_timeout: Duration = Field(30.0, gt=0, description="SQLite only: how long one writer waits for another.")
    inbox_window: Duration = Field(
        7 * 86400.0, gt=0, description="How long an `inbox_key` is remembered; a repetition after that is new."
    )


class OutboxSettings(_Section):
    """`kafkaboot.outbox`: rows written in the application's transactions, published by a relay."""

    database: str | None = Field(None, description="A name under `kafkaboot.databases`; by default the only one.")
    relay: bool = Field(True, description="`false`: this process writes rows and leaves it to others to publish them.")
    batch: Positive = Field(500, le=10_000, description="Rows that are read and published together.")
    poll_interval: Duration = Field(
        0.2, gt=0, description="How often rows are looked for that another process, or a plain connection, has written."
    )
    lease: Duration = Field(
        5.0, ge=0.3, description="A relay that has been silent for so long has lost its place to another one."
    )
    published: Literal["delete", "keep"] = Field("delete", description="What becomes of a row that is published.")
    keep_for: Duration = Field(7 * 86400.0, gt=0, description="With `published: keep`: after so long it is deleted.")
    behind_after: Duration = Field(
        60.0, gt=0, description="Health is DOWN while the oldest row has waited for longer than this."
    )
