"""`kafkaboot.metrics`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from kafkaboot.config import kebab


class MetricsSettings(BaseModel):
    """Where metrics are served, in Prometheus's text format, at `/metrics`. Without this section there are none."""

    model_config = ConfigDict(extra="forbid", alias_generator=kebab, populate_by_name=True, frozen=True)

    port: int = Field(9400, ge=0, le=65535, description="Where they are served; 0 for a free port.")
    host: str = Field(
        "127.0.0.1", min_length=1, description="The address to listen at; they are served to whoever can reach it."
    )
