"""`kafkaboot.broker`: the broker that `kafkaboot.kafka.broker` starts on this machine."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads the annotation

from pydantic import BaseModel, ConfigDict, Field

from kafkaboot.config import kebab
from kafkaboot.dev.container import IMAGE


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=kebab, populate_by_name=True, frozen=True)


class EmbeddedSettings(_Section):
    """`kafkaboot.broker.embedded`.

    Attributes:
        data_dir: Where topics, offsets and transactions stay between runs; they are gone at stop when it is left out.
        port: The port to listen on; a free one when left out.
    """

    data_dir: Path | None = None
    port: int | None = Field(default=None, ge=1, le=65535)


class LocalSettings(_Section):
    """`kafkaboot.broker.local`.

    Attributes:
        data_dir: Where topics and offsets stay between runs; they are gone at stop when it is left out.
        port: The port to listen on; a free one when left out.
        heap: The JVM's heap.
    """

    data_dir: Path | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    heap: str = Field(default="1g", pattern=r"^[0-9]+[kKmMgG]$")


class ContainerSettings(_Section):
    """`kafkaboot.broker.container`.

    Attributes:
        image: A Confluent Platform image of Kafka.
    """

    image: str = IMAGE


class BrokerSettings(_Section):
    """`kafkaboot.broker`; each kind reads its own section."""

    embedded: EmbeddedSettings = EmbeddedSettings()
    local: LocalSettings = LocalSettings()
    container: ContainerSettings = ContainerSettings()
