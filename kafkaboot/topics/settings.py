"""`kafkaboot.topics.<name>`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from kafkaboot.client import TopicSpec
from kafkaboot.config import Properties, parse_duration, parse_size

IN_SYNC = "min.insync.replicas"
Positive = Annotated[int, Field(ge=1)]


class TopicSettings(BaseModel):
    """A topic as it is wanted; what is left out is the broker's choice, and not looked at.

    Attributes:
        partitions: How many; `kafkaboot topics apply` adds to those that there are, and takes none away.
        replication: On how many brokers each record stands; of a topic that exists it is only compared.
        config: Kafka's own settings of a topic.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    partitions: Positive | None = None
    replication: Positive | None = None
    config: Properties = Field(
        default_factory=dict,
        description="Kafka's own topic configuration; entries in .ms take durations (7d), those in .bytes sizes (1GB).",
    )

    @field_validator("config")
    @classmethod
    def _in_kafkas_units(cls, value: Properties) -> Properties:
        return {key: _in_kafkas_unit(key, one) for key, one in value.items()}

    def spec(self, name: str, *, single_broker: bool) -> TopicSpec:
        """The topic to create; a single broker holds one copy, and acknowledges it, whatever was asked for."""
        replication = 1 if single_broker else self.replication or -1
        config = {key: str(value) for key, value in self.config.items() if not (single_broker and key == IN_SYNC)}
        return TopicSpec(name, self.partitions or -1, replication, config)


def _in_kafkas_unit(key: str, value: object) -> str:
    """`7d` as Kafka takes it, `604800000`. A plain number is in Kafka's own unit already, and -1 means no limit."""
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value).strip()
    if text.lstrip("-").isdigit():
        return text
    if key.endswith(".ms"):
        return str(round(parse_duration(text) * 1000))
    if key.endswith(".bytes"):
        return str(parse_size(text))
    return text
