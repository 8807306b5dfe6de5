"""An application from configuration to exit code: configure, scan, wire, start, check, run, stop."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from kafkaboot.boot import analysis, heap
from kafkaboot.boot.blueprint import Launch, draw, read
from kafkaboot.boot.facts import HandlerTally, Narrator, Ready, Stopped, Wired
from kafkaboot.boot.lifecycle import Lifecycle
from kafkaboot.boot.pipeline import row
from kafkaboot.boot.running import letter_settings, publish_from, run_loop, start, wanted
from kafkaboot.boot.signals import StopSignals

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from kafkaboot.boot.blueprint import Blueprint
    from kafkaboot.boot.component import Component
    from kafkaboot.boot.groups import Groups
    from kafkaboot.boot.pipeline import HandlerRow
    from kafkaboot.config import Configuration
    from kafkaboot.consumer import ConsumerGroup

log = logging.getLogger("kafkaboot.boot")


class Application:
    """One application in this process. Nothing happens before a method is called.

    Args:
        app: A package, a folder or a YAML file; `None` leaves it to `kafkaboot.application.packages`.
        config: Files and folders with configuration; none: `.` and `config/`.
        profiles: The profiles asked for.
        overrides: `a.b=c`, above every other source.
        environ: The environment's variables; the process's own by default.
        directory: Where relative paths begin; the working directory by default.
        defaults: Defaults by key, below every other source.
        known_profiles: Profiles that may be asked for though nothing belongs to them.
        components: Built instead of the application's own of the same types; a test's doubles.
        narrator: Hears what happens.
    """

    def __init__(
        self,
        app: str | None = None,
        *,
        config: Sequence[str | Path] = (),
        profiles: Sequence[str] = (),
        overrides: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
        directory: str | Path | None = None,
        defaults: Mapping[str, Any] | None = None,
        known_profiles: Collection[str] = (),
        components: Sequence[Component] = (),
        narrator: Narrator | None = None,
    ) -> None:
        began: dict[str, Any] = {"known_profiles": known_profiles, "components": components}
        if environ is not None:
            began["environ"] = environ
        folder = Path(directory or Path.cwd()).resolve()
        self._began = perf_counter()
        self.launch = Launch(
            app, config, profiles, overrides, directory=folder, defaults=defaults or {}, **began
        ).placed()
        self.narrator = narrator or Narrator()
        self.blueprint: Blueprint | None = None
        self.groups: Groups | None = None
        self._configuration: Configuration | None = None
        self._lifecycle: Lifecycle | None = None
        self._stopping: asyncio.Future[str] | None = None
        self._died = False

    # --- before anything is built

    def configure(self) -> Configuration:
        """Read the configuration; a second call answers the same.

        Raises:
            InvalidConfigurationError: A file is missing or unreadable, a profile does not exist.
        """
        if self._configuration is None:
            self._configuration = read(self.launch)
            self.narrator.configured(self._configuration)
        return self._configuration

    def wire(self) -> Wired:
        """Decide everything; nothing is built, no broker is needed.

        Raises:
            KafkabootError: Something does not fit; see `boot/blueprint.draw`.
        """
        configuration = self.configure()
        self.blueprint = draw(self.launch, configuration, self._built)
        self.blueprint.report.components = wanted(self.blueprint)
        wired = Wired(
            self.blueprint.application.name or "",
            configuration.profiles,
            [str(source) for source in configuration.sources],
            self.describe_handlers(),
            self.blueprint.report,
        )
        self.narrator.wired(wired)
        return wired

    def describe_handlers(self) -> list[HandlerRow]:
        """The table of handlers. Wires the application if it is not yet; starts nothing."""
        if self.blueprint is None:
            self.wire()
        assert self.blueprint is not None
        letters = letter_settings(self.blueprint)
        return [row(handler, letters) for handler in self.blueprint.handlers]

    # --- life

    async def start(self) -> Ready:
        """Build and start everything, look at the topics, begin to poll. What had started is stopped if it fails.

        Raises:
            KafkabootError: What keeps it from starting; `boot.analysis` says what to do about it.
        """
        if self.blueprint is None:
            self.wire()
        blueprint = self.blueprint
        assert blueprint is not None
        settings = blueprint.application
        self._lifecycle = Lifecycle(settings.start_timeout, settings.stop_timeout)
        try:
            started = await start(blueprint, self._lifecycle, self._group_died)
        except BaseException:
            await self._lifecycle.stop()
            raise
        self.groups = started.groups
        if settings.tune_gc:
            heap.settle()
        ready = Ready(started.broker, started.created_topics, perf_counter() - self._began)
        self.narrator.ready(ready)
        return ready

    async def stop(self, reason: str = "asked to") -> Stopped:
        """Drain the handlers, then stop everything in reverse order."""
        self.narrator.stopping(reason)
        drained = await self.groups.stop() if self.groups is not None else True
        if self._lifecycle is not None:
            await self._lifecycle.stop()
        code = analysis.DIED if self._died else analysis.DRAINED if drained else analysis.UNDRAINED
        tallies = [
            HandlerTally.of(route)
            for group in (self.groups.groups if self.groups is not None else ())
            for route in group.routes
        ]
        stopped = Stopped(drained, code, tallies)
        self.narrator.stopped(stopped)
        return stopped

    def request_stop(self, reason: str) -> None:
        """Let `run` end as after a signal. On its event loop only."""
        if self._stopping is not None and not self._stopping.done():
            self._stopping.set_result(reason)

    def run(self) -> int:
        """Run on this thread, which must be the main one, until a signal; answers the exit code.

        Every failure is told to the narrator and answered as an exit code. Threads of handlers that did not end in
        time may still be alive after code 5: `exit_now` ends the process without waiting for them.
        """
        try:
            self.wire()
            return run_loop(self._main())
        except KeyboardInterrupt:  # before there was a loop that could be told
            return 128 + signal.SIGINT
        except Exception as error:
            guests = self.blueprint.analyzers if self.blueprint is not None else ()
            found = analysis.analyze(error, guests)
            self.narrator.failed(found, error)
            return found.code

    async def _main(self) -> int:
        self._stopping = asyncio.get_running_loop().create_future()
        with StopSignals(self.request_stop):
            starting = asyncio.create_task(self.start())
            ends: set[asyncio.Future[Any]] = {starting, self._stopping}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
            try:
                await starting
            except asyncio.CancelledError:
                log.info("stopped before it had started")
            reason = await self._stopping
            stopped = await self.stop(reason)
        return stopped.code

    def _group_died(self, group: ConsumerGroup, error: BaseException) -> None:
        self._died = True
        self.request_stop(f"group {group.name} died: {error}")

    def _built(self, component: Component, instance: Any) -> None:
        if component.beside and self.blueprint is not None:
            publish_from(component, instance, self.blueprint)
