"""The contract of a health indicator: who fulfils it lives above."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Status(StrEnum):
    """What an indicator can say."""

    UP = "UP"
    DOWN = "DOWN"
    OUT_OF_SERVICE = "OUT_OF_SERVICE"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Health:
    """A status with its details; details are shown to operators and hold no secrets."""

    status: Status
    details: dict[str, object] = field(default_factory=dict)


class HealthIndicator(Protocol):
    """Answers from what it already knows: a probe never calls the broker."""

    name: str

    def health(self) -> Health:
        """The status now. Must not block."""
