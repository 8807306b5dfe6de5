"""One handler of an application that does not run, called with records as the engine would call it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import nullcontext
from contextvars import copy_context
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from time import perf_counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self

from kafkaboot.boot import Application, Component
from kafkaboot.boot.component import APPLICATION
from kafkaboot.boot.lifecycle import Lifecycle, in_thread
from kafkaboot.boot.running import route_of, run_loop
from kafkaboot.client import ClientFactory
from kafkaboot.failure import Circuits
from kafkaboot.message import HANDLING, Worker
from kafkaboot.producer import Producer
from kafkaboot.producer.answers import Answered
from kafkaboot.testing.probing import debugger
from kafkaboot.testing.probing.capture import Capture, CapturingClients, ProbeError
from kafkaboot.testing.probing.given import doubts, raw_of, request_of
from kafkaboot.testing.probing.judge import judged
from kafkaboot.testing.probing.probed import Probed
from kafkaboot.testing.quiet import LogLeftAlone

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kafkaboot.boot.blueprint import Blueprint
    from kafkaboot.boot.pipeline import Handler
    from kafkaboot.consumer import Route
    from kafkaboot.message import RawRecord, Record

NO_BROKER = "kafkaboot.kafka.broker=external"
"""No broker of the desk is started for a probe: it has no way to Kafka."""


class Probe:
    """Calls handlers of an application with records, and lets nothing out: `probe("bill", record)`.

    Each call wires the application afresh, builds and starts what the handler needs and nothing else, calls it once,
    and stops what it started. Publishes through the application's `Producer`, its `@publisher`s and the handler's
    returned value are captured; no consumer is made and nothing is committed. Other effects of its components (a
    database, another service) really happen.

    Args:
        application: What is meant; it is never started itself.
    """

    def __init__(self, application: Application) -> None:
        self._launch = application.launch
        self._plain: Blueprint | None = None

    def __call__(self, handler: str, *records: Record, start: bool = True, stop_in: bool = False) -> Probed:
        """Call a handler once, on an event loop of its own on this thread.

        Args:
            handler: Its id.
            records: One record; several for a handler that takes batches.
            start: Whether the start and stop hooks of the components that it needs run.
            stop_in: Whether pdb stops at the handler's first line, and where it raises. It has no timeout then.

        Raises:
            LookupError: There is no handler of that name; the text names the nearest.
            ProbeError: Something needs a way to Kafka, or makes a producer whose records would get out.
            KafkabootError: The application cannot be wired, or a component that the handler needs does not start.
        """
        _refuse_loop()
        found = self.handler(handler)
        if not records or (len(records) > 1 and found.batch is None):
            raise ProbeError(
                f"handler {handler} takes one record, and was given {len(records)}", where=found.spec.where
            )
        capture = Capture()
        with LogLeftAlone():
            blueprint = self._captured(capture)
            level = logging.getLogger().level
        run = _Run(blueprint, self.handler(handler, blueprint), records, capture, stop_in)
        with _Logs(level) as logs:
            run_loop(run.run(start=start))
        return run.probed(logs)

    def handler(self, name: str, blueprint: Blueprint | None = None) -> Handler:
        """One handler, by its id.

        Raises:
            LookupError: There is none; the text names the nearest.
        """
        handlers = {one.spec.id: one for one in (blueprint or self.blueprint).handlers}
        if name not in handlers:
            near = get_close_matches(name, handlers, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(handlers)) or 'none'}"
            raise LookupError(f"there is no handler {name!r}; {advice}")
        return handlers[name]

    @property
    def blueprint(self) -> Blueprint:
        """The application as it is, wired and not built."""
        if self._plain is None:
            with LogLeftAlone():
                self._plain = self._wired(self._launch.components)
        return self._plain

    def _captured(self, capture: Capture) -> Blueprint:
        """The application with every way to Kafka exchanged."""
        return self.exchanged(CapturingClients(capture), lambda: Producer(capture), "the probe")

    def exchanged(
        self, clients: ClientFactory, producer: Callable[[], Producer], whose: str, overrides: Sequence[str] = ()
    ) -> Blueprint:
        """The application wired with another way to Kafka.

        Args:
            clients: Makes all of its clients.
            producer: Makes what stands in for a `Producer` that the application declares itself.
            whose: Who does it, for texts.
            overrides: Further `a.b=c`.

        Raises:
            ProbeError: It has a producer of its own kind, which cannot be exchanged.
        """
        container = self.blueprint.container
        own = [one for one in container.providing(ClientFactory) if one.source == APPLICATION]
        given = [_standing_in(one, clients) for one in own] or [
            Component.holding(clients, where=whose, source=whose, provides=ClientFactory)
        ]
        for one in container.providing(Producer):
            if one.source == APPLICATION and one.provides is not Producer:
                raise ProbeError(
                    f"{one} is a producer of the application's own, whose records {whose} cannot keep back",
                    todo="take an application whose components take kafkaboot's Producer",
                )
            if one.source == APPLICATION:
                given.append(_standing_in(one, producer()))
        replaced = {one.provides for one in given}
        kept = [one for one in self._launch.components if one.provides not in replaced]
        return self._wired([*kept, *given], overrides)

    def _wired(self, components: Sequence[Component], overrides: Sequence[str] = ()) -> Blueprint:
        launch = self._launch
        application = Application(
            launch.app,
            config=launch.config,
            profiles=launch.profiles,
            overrides=[*launch.overrides, *overrides, NO_BROKER],
            environ=launch.environ,
            directory=launch.directory,
            defaults=launch.defaults,
            known_profiles=launch.known_profiles,
            components=components,
        )
        application.wire()
        assert application.blueprint is not None
        return application.blueprint


def _standing_in(component: Component, instance: object) -> Component:
    return replace(component, factory=lambda: instance, beside=(), starts=(), stops=())


@dataclass(slots=True)
class _Run:
    """One call, from the first component's start to the last one's stop."""

    blueprint: Blueprint
    handler: Handler
    given: Sequence[Record]
    capture: Capture
    stop_in: bool
    returned: Any = None
    error: BaseException | None = None
    seconds: float = 0.0
    left: int = 0
    route: Route | None = None
    raws: Sequence[RawRecord] = ()

    async def run(self, *, start: bool) -> None:
        settings, container = self.blueprint.application, self.blueprint.container
        lifecycle = Lifecycle(settings.start_timeout, settings.stop_timeout)
        try:
            for component in container.order([*container.providing(Circuits), self.handler.demand]):
                instance = container.instance(component)
                if start:
                    await lifecycle.start(component, instance)
            handler = self.handler
            if self.stop_in:  # whoever looks around takes longer than any timeout
                handler = replace(handler, spec=replace(handler.spec, timeout=None))
            self.route = route_of(self.blueprint, handler)
            taken = request_of if handler.spec.reply else raw_of
            self.raws = [taken(record) for record in self.given]
            before = asyncio.all_tasks()
            self.capture.during = "handler"
            await self._call(self.route)
            self.left = len(asyncio.all_tasks() - before)
            self.capture.during = "stop"
        finally:
            await lifecycle.stop()

    async def _call(self, route: Route) -> None:
        """As a crew calls it: the function, then where its result goes."""
        call: Callable[[], Any]
        if route.batch_call is not None:
            call = partial(route.batch_call, self.raws)
        else:
            assert route.call is not None
            call = partial(route.call, self.raws[0])
        began = perf_counter()
        worker = Worker(singly=route.batch_call is None)
        worker.lane = SimpleNamespace(handled=lambda: self.raws[0])
        HANDLING.set(worker)
        try:
            with debugger.at_first_line(self.handler.spec.function) if self.stop_in else nullcontext():
                if route.is_async:
                    self.returned = await call()
                else:
                    self.returned = call() if self.stop_in else await in_thread(partial(copy_context().run, call))
            if route.forwarding is not None and self.returned is not None:
                route.forwarding.forward(self.returned, lambda *_: None)
            if isinstance(self.returned, Answered):
                self.returned = self.returned.result
        except (KeyboardInterrupt, debugger.Left):
            raise
        except BaseException as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise
            self.error = error
        self.seconds = perf_counter() - began
        if self.error is not None and self.stop_in:
            debugger.in_failure(self.error)

    def probed(self, logs: _Logs) -> Probed:
        assert self.route is not None
        found = judged(self.route, self.raws, self.error)
        spec = self.handler.spec
        notes = [note for record in self.given for note in doubts(self.blueprint.handlers, self.handler, record)]
        if self.left:
            notes.append(f"it left {self.left} tasks at work, which were cancelled: what they do is not awaited")
        return Probed(
            spec.id,
            spec.where,
            self.handler.group,
            self.raws,
            found.outcome,
            found.error,
            self.returned,
            self.capture.published,
            found.commits,
            found.fate,
            found.delay,
            logs.records,
            self.seconds,
            notes,
        )


class _Logs(logging.Handler):
    """Keeps what is logged while it is entered."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self._root_level = level
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def __enter__(self) -> Self:
        root = logging.getLogger()
        self._before = root.level
        root.addHandler(self)
        root.setLevel(self._root_level)
        return self

    def __exit__(self, *_: object) -> None:
        root = logging.getLogger()
        root.removeHandler(self)
        root.setLevel(self._before)


def _refuse_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("a probe runs an event loop of its own: call it in a plain `def test_...`, not in an async one")
