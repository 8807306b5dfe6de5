"""A broker of the desk as `boot` sees it; `dev` offers one through its auto-configuration."""

from __future__ import annotations

from typing import Protocol


class DeskBroker(Protocol):
    """A Kafka that was started for this application on this machine."""

    kind: str

    @property
    def bootstrap_servers(self) -> str:
        """`host:port`, known once started."""

    def describe(self) -> str:
        """One line for the banner."""
