"""Configuration: values from every source, each with its origin, bound to pydantic models.

The names load lazily, so that a program pays for YAML, the schema and pydantic only where it uses them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kafkaboot.config.configuration import Configuration, Source
    from kafkaboot.config.entries import Entry
    from kafkaboot.config.masking import MASK, is_secret_key, mask_within
    from kafkaboot.config.names import kebab, relaxed
    from kafkaboot.config.origin import Origin
    from kafkaboot.config.problem import InvalidConfigurationError, Problem, nearest
    from kafkaboot.config.schema import json_schema
    from kafkaboot.config.settings import ConfigSettings, ProfilesSettings
    from kafkaboot.config.sources import load
    from kafkaboot.config.units import (
        Duration,
        Properties,
        Ratio,
        Size,
        parse_duration,
        parse_ratio,
        parse_size,
        written_size,
    )

_ROOMS = {
    "Configuration": "configuration",
    "Source": "configuration",
    "Entry": "entries",
    "MASK": "masking",
    "is_secret_key": "masking",
    "mask_within": "masking",
    "kebab": "names",
    "relaxed": "names",
    "Origin": "origin",
    "InvalidConfigurationError": "problem",
    "Problem": "problem",
    "nearest": "problem",
    "json_schema": "schema",
    "ConfigSettings": "settings",
    "ProfilesSettings": "settings",
    "load": "sources",
    "Duration": "units",
    "Properties": "units",
    "Ratio": "units",
    "Size": "units",
    "parse_duration": "units",
    "parse_ratio": "units",
    "parse_size": "units",
    "written_size": "units",
}

__all__ = [
    "MASK",
    "ConfigSettings",
    "Configuration",
    "Duration",
    "Entry",
    "InvalidConfigurationError",
    "Origin",
    "Problem",
    "ProfilesSettings",
    "Properties",
    "Ratio",
    "Size",
    "Source",
    "is_secret_key",
    "json_schema",
    "kebab",
    "load",
    "mask_within",
    "nearest",
    "parse_duration",
    "parse_ratio",
    "parse_size",
    "relaxed",
    "written_size",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value
