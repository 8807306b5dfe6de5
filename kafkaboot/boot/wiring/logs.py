"""The process's log: `kafkaboot.logging`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.boot.autoconfiguration import AutoConfiguration
from kafkaboot.boot.logs import configure
from kafkaboot.boot.settings import LoggingSettings

if TYPE_CHECKING:
    from kafkaboot.config import Configuration


def prepare(configuration: Configuration) -> None:
    """Set logging up before anything of the application is built."""
    configure(configuration.bind("kafkaboot.logging", LoggingSettings))


LOGGING = AutoConfiguration("logging", sections={"logging": LoggingSettings}, prepare=prepare)
