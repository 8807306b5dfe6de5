"""What a start tells whoever shows it: the command line, a test, an operator's page. Nothing here prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.boot.analysis import Analysis
    from kafkaboot.boot.pipeline import HandlerRow
    from kafkaboot.boot.report import Report
    from kafkaboot.config import Configuration
    from kafkaboot.consumer import Route


@dataclass(frozen=True, slots=True)
class Wired:
    """What was decided before anything was built.

    Attributes:
        name: The application's name.
        profiles: The active profiles.
        sources: Where configuration came from, the lowest first.
        handlers: The table of handlers.
        report: Auto-configurations, components and overridden options, with the reasons.
    """

    name: str
    profiles: Sequence[str]
    sources: Sequence[str]
    handlers: Sequence[HandlerRow]
    report: Report


@dataclass(frozen=True, slots=True)
class Ready:
    """What is known when the first record may come.

    Attributes:
        broker: Where the cluster is; of a broker that was started for this application, how it describes itself.
        created_topics: The topics that were created.
        seconds: From the making of the `Application` to here.
    """

    broker: str
    created_topics: Sequence[str]
    seconds: float


COUNTED = ("handled", "filtered", "retried", "failed", "skipped", "retried_later", "dead_lettered")
"""What is told of a handler's records: names of `Counters` and of `HandlerTally`."""


@dataclass(frozen=True, slots=True)
class HandlerTally:
    """What became of a handler's records in this process."""

    id: str
    handled: int
    filtered: int
    retried: int
    failed: int
    skipped: int = 0
    retried_later: int = 0
    dead_lettered: int = 0

    @classmethod
    def of(cls, route: Route) -> HandlerTally:
        """What a route's counters say now."""
        return cls(route.id, *(getattr(route.counters, name) for name in COUNTED))


@dataclass(frozen=True, slots=True)
class Stopped:
    """How it ended.

    Attributes:
        drained: Whether every record at work was finished and committed in time.
        code: The exit code.
        tallies: By handler.
    """

    drained: bool
    code: int
    tallies: Sequence[HandlerTally]


class Narrator:
    """Hears what happens. Every method may be overridden; none must block for long."""

    def configured(self, configuration: Configuration) -> None:
        """The configuration is read."""

    def wired(self, wired: Wired) -> None:
        """Everything fits together; nothing is built yet."""

    def ready(self, ready: Ready) -> None:
        """The handlers run."""

    def stopping(self, reason: str) -> None:
        """The end has begun: a signal, a dead group, or a call of `stop`."""

    def stopped(self, stopped: Stopped) -> None:
        """It has ended."""

    def failed(self, analysis: Analysis, error: BaseException) -> None:
        """The start failed; what had started is stopped."""
