"""The sections that belong to the application as a whole."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from kafkaboot.config import Duration, kebab

LEVELS = ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", alias_generator=kebab, populate_by_name=True, frozen=True)


class ApplicationSettings(_Section):
    """`kafkaboot.application`."""

    name: str | None = Field(
        None, min_length=1, description="The application's name and its consumer group; the first package by default."
    )
    packages: list[str] = Field([], description="What is scanned for handlers, components, events and settings.")
    start_timeout: Duration = Field(60.0, gt=0, description="How long one component may take to start.")
    tune_gc: bool = Field(
        True, description="Put what is built at start aside from garbage collection, and look for garbage less often."
    )
    stop_timeout: Duration = Field(10.0, gt=0, description="How long one component may take to stop.")


class AutoconfigureSettings(_Section):
    """`kafkaboot.autoconfigure`."""

    exclude: list[str] = Field([], description="Names of auto-configurations that are switched off.")


class LoggingSettings(_Section):
    """`kafkaboot.logging`: the standard library's logging, one line a record."""

    format: Literal["text", "json"] = Field("text", description="`json` writes one object a line.")
    level: dict[str, str] = Field(
        {"root": "INFO"}, description="Levels by logger, `root` among them: `{root: INFO, kafkaboot.consumer: DEBUG}`."
    )

    @field_validator("level", mode="before")
    @classmethod
    def _one_for_all(cls, value: object) -> object:
        return {"root": value} if isinstance(value, str) else value

    @field_validator("level")
    @classmethod
    def _known(cls, value: dict[str, str]) -> dict[str, str]:
        for level in value.values():
            if level.upper() not in LEVELS:
                raise ValueError(f"{level!r} is no level: one of {', '.join(LEVELS)} is wanted")
        return {name: level.upper() for name, level in value.items()}
