"""The narrator of an application that runs alone in this process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from kafkaboot.boot.facts import Narrator
from kafkaboot.cli import narrate
from kafkaboot.cli.desk import kind_of
from kafkaboot.cli.output import on_terminal
from kafkaboot.cli.run_file import RunFile, Running

if TYPE_CHECKING:
    from kafkaboot.boot.analysis import Analysis
    from kafkaboot.boot.application import Application
    from kafkaboot.boot.facts import Ready, Stopped, Wired
    from kafkaboot.cli.live_line import LiveLine
    from kafkaboot.consumer import ConsumerGroup


class Told(Narrator):
    """Writes what happens to standard output.

    Args:
        debug: Write the report of what was wired.
        traceback: Write the traceback of a failed start.
        shared: A broker that `kafkaboot broker` holds and that is used.
    """

    def __init__(self, *, debug: bool, traceback: bool, shared: Running | None = None) -> None:
        self.application: Application | None = None
        self._debug, self._traceback, self._shared = debug, traceback, shared
        self._live: LiveLine | None = None

    def wired(self, wired: Wired) -> None:
        """See `Narrator`."""
        narrate.banner(wired.name, wired.profiles, wired.sources)
        narrate.handlers(wired.handlers)
        if self._debug:
            click.echo(f"{wired.report}\n")
        if self.application is not None:
            narrate.starting(kind_of(self.application.configure()))

    def ready(self, ready: Ready) -> None:
        """See `Narrator`."""
        self._write_run_file()
        broker = ready.broker if self._shared is None else str(self._shared)
        narrate.ready(broker, ready.seconds, "; Ctrl-C stops" if on_terminal() else "")
        if on_terminal() and _groups(self.application):
            from kafkaboot.cli.live_line import LiveLine

            self._live = LiveLine(lambda: handled(self.application), lambda: lag(self.application))
            self._live.start()

    def stopping(self, reason: str) -> None:
        """See `Narrator`."""
        self._end_line()
        narrate.stopping(reason, patience(self.application))

    def stopped(self, stopped: Stopped) -> None:
        """See `Narrator`."""
        self._remove_run_file()
        narrate.tallies(stopped.tallies)
        narrate.ended(stopped.code)

    def failed(self, analysis: Analysis, error: BaseException) -> None:
        """See `Narrator`."""
        from kafkaboot.cli.failure import tell_failed_start

        self._end_line()
        self._remove_run_file()
        tell_failed_start(analysis, error, debug=self._traceback)

    def _end_line(self) -> None:
        if self._live is not None:
            self._live.stop()

    def _write_run_file(self) -> None:
        from kafkaboot.boot.desk import DeskBroker

        blueprint = self.application.blueprint if self.application is not None else None
        if blueprint is None or self.application is None:
            return
        found = blueprint.container.providing(DeskBroker)
        if found:
            broker = blueprint.container.instance(found[0])
            running = Running(
                os.getpid(), broker.kind, broker.bootstrap_servers, "run", blueprint.configuration.profiles
            )
            RunFile(self.application.launch.directory).write(running)

    def _remove_run_file(self) -> None:
        if self.application is not None:
            RunFile(self.application.launch.directory).remove(os.getpid())


def handled(application: Application | None) -> int:
    """Records that all handlers have handled."""
    return sum(route.counters.handled for group in _groups(application) for route in group.routes)


def lag(application: Application | None) -> int | None:
    """Records that all groups are behind; `None` while their figures change under the eyes."""
    try:
        return sum(sum(group.lag().values()) for group in _groups(application))
    except RuntimeError:  # a rebalance on the poller's thread changed what was looked through
        return None


def patience(application: Application | None) -> float:
    """Seconds that stopping waits for handlers."""
    from kafkaboot.consumer import ConsumerSettings

    assert application is not None
    return application.configure().bind("kafkaboot.consumer", ConsumerSettings).drain_timeout


def _groups(application: Application | None) -> list[ConsumerGroup]:
    return application.groups.groups if application is not None and application.groups is not None else []
