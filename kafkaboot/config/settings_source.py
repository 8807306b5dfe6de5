"""Delivers the configuration to a `pydantic_settings.BaseSettings` class as its one source.

The class's own sources are left out: the loader has read the environment and `.env` already, by its own rules. Loaded
only when such a class is bound, because importing pydantic-settings costs a quarter of a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


class ConfigurationSource(PydanticBaseSettingsSource):
    """The values of one section."""

    def __init__(self, settings: type[BaseSettings], values: dict[str, Any]) -> None:
        super().__init__(settings)
        self.values = values

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The value of one field, its key, and that it needs no decoding."""
        key = field.validation_alias if isinstance(field.validation_alias, str) else field_name
        return self.values.get(key), key, False

    def __call__(self) -> dict[str, Any]:
        """All values, by the names that the model takes."""
        return self.values


def construct_settings(model: type[BaseSettings], values: dict[str, Any]) -> BaseSettings:
    """An object of `model` (of a subclass with the same name, whose only source is the configuration)."""

    class Configured(model):  # type: ignore[valid-type,misc]
        @classmethod
        def settings_customise_sources(
            cls, settings_cls: type[BaseSettings], **_own: PydanticBaseSettingsSource
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (ConfigurationSource(settings_cls, values),)

    Configured.__name__, Configured.__qualname__ = model.__name__, model.__qualname__
    Configured.__module__, Configured.__doc__ = model.__module__, model.__doc__
    settings: BaseSettings = Configured()
    return settings
