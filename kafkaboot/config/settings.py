"""The room's own sections, `kafkaboot.profiles` and `kafkaboot.config`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ProfilesSettings(BaseModel):
    """Which profiles are active."""

    model_config = ConfigDict(extra="forbid")

    active: list[str] = Field([], description="The active profiles, where `--profile` names none.")
    group: dict[str, list[str]] = Field({}, description="Profiles that a profile brings along, by its name.")


class ConfigSettings(BaseModel):
    """Where more configuration stands."""

    model_config = ConfigDict(extra="forbid")

    imports: list[str] = Field(
        [],
        alias="import",
        description="Files, and folders of secrets (`configtree:/run/secrets/`); `optional:` if one may be missing.",
    )
