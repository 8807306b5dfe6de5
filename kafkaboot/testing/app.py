"""The user's application in the process of its test, on a broker that answers like Kafka."""

from __future__ import annotations

import asyncio
import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from kafkaboot.boot import Application, Component, DeskBroker
from kafkaboot.boot.component import APPLICATION
from kafkaboot.boot.lifecycle import in_thread
from kafkaboot.boot.running import topic_uses
from kafkaboot.client import TopicSpec
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.declare import type_name
from kafkaboot.errors import ConfigurationError, KafkabootError
from kafkaboot.producer import Producer
from kafkaboot.testing.app_chaos import AppChaos
from kafkaboot.testing.brokers import RunningBroker
from kafkaboot.testing.handler_probe import HandlerProbe, Overheard
from kafkaboot.testing.probes import eventually_async
from kafkaboot.testing.quiet import LogLeftAlone
from kafkaboot.testing.topics_seen import TopicsSeen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from kafkaboot.consumer import Route
    from kafkaboot.dev import Broker
    from kafkaboot.message import Record
    from kafkaboot.producer import Receipt
    from kafkaboot.testing.topics_seen import Published

T = TypeVar("T")

PROFILE = "test"
"""Added to the profiles that the configuration makes active; no file has to belong to it."""
WITHIN = {"embedded": 5.0}
"""Seconds that waiting takes at most when a test says nothing, by kind of broker."""
WITHIN_OTHERS = 20.0
REST = 1.0
"""Seconds that `published` waits at most for the handler behind a record to settle its own."""
DEADLINE = 30.0
_LOOK = 0.1
_DEFAULTS = {"kafkaboot.consumer.drain-timeout": "5s"}


class TestApp:
    """An application that runs on the event loop of its test. `async with` starts and stops it.

    Args:
        broker: A started broker.
        app: A package, a folder or a YAML file; `None`: what the configuration names, as for `kafkaboot run`.
        overrides: Values by key, above every other source.
        components: Instances by the type that they are injected for, in place of the application's own.
        directory: Where configuration and packages are looked for; the working directory by default.
    """

    __test__ = False

    def __init__(
        self,
        broker: Broker,
        app: str | None = None,
        *,
        overrides: Mapping[str, object] | None = None,
        components: Mapping[type[Any], object] | None = None,
        directory: str | Path | None = None,
    ) -> None:
        self.broker = broker
        self._asked = app, dict(overrides or {}), dict(components or {}), Path(directory or Path.cwd())
        self._within = WITHIN.get(broker.kind, WITHIN_OTHERS)
        self._overheard = Overheard()
        self._application: Application | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started_before = False

    # --- life

    async def start(self) -> None:
        """Wire, start, and return when the handlers have their partitions.

        Raises:
            KafkabootError: The application does not start.
        """
        self._loop = asyncio.get_running_loop()
        application = self._application = self._made()
        with LogLeftAlone():
            application.wire()
        blueprint = application.blueprint
        assert blueprint is not None
        settings = blueprint.configuration.bind("kafkaboot.kafka", KafkaSettings)
        self._clients = ConfluentClients(settings, bootstrap_servers=self.broker.bootstrap_servers, client_id="test")
        self._seen = TopicsSeen(self._clients.reader())
        self._producer = Producer(self._clients.producer({"linger.ms": 0}), source="/test")
        self._topics = {use.topic for use in topic_uses(blueprint) if not use.pattern}
        try:
            if self.broker.kind == RunningBroker.kind and not self._started_before:
                await in_thread(self._refuse_foreign)
            await application.start()
            self._started_before = True
            await eventually_async(self._assigned, DEADLINE, "every group has its partitions")
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Drain and stop. A second call does nothing."""
        application, self._application = self._application, None
        if application is None:
            return
        await application.stop("the test has ended")
        await self._producer.close(DEADLINE)
        await in_thread(self._seen.close)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()

    async def restart(self) -> None:
        """Stop and start again, as a deployment does: what was committed is not handled again."""
        await self.stop()
        await self.start()

    # --- records in and out

    async def publish(
        self,
        topic: str,
        payload: Any,
        *,
        key: Any = None,
        headers: Mapping[str, str | bytes | None] | None = None,
        partition: int | None = None,
    ) -> Receipt:
        """Publish as another application would; delivered when this returns.

        Args:
            topic: The topic; made if it is not there.
            payload: What is encoded by its type; `bytes` go as they are, `None` is a tombstone.
            key: The record's key.
            headers: Further headers.
            partition: The partition; default: chosen by the key.
        """
        self._running()
        if topic not in self._topics:
            await in_thread(lambda: self._create(topic))
        return await self._producer.publish(topic, payload, key=key, headers=headers, partition=partition)

    async def published(
        self,
        topic: str,
        kind: type[T],
        *,
        where: Callable[[T], bool] | None = None,
        within: float | None = None,
    ) -> T:
        """Wait for a record and answer its payload. Each record is given out once, in the order of its partition.

        The handler behind the record has settled its own input when this returns, if that takes less than a second.

        Args:
            topic: The topic; it may come into being while this waits.
            kind: The payload's type. Records of another event are passed over.
            where: Which payloads will do; all by default.
            within: Seconds.

        Raises:
            AssertionError: None came in time; the text has what stands in the topic and what the handlers did.
        """
        found = await self.published_record(topic, kind, where=where, within=within)
        payload: T = found.payload
        return payload

    async def published_record(
        self,
        topic: str,
        kind: Any = None,
        *,
        where: Callable[[Any], bool] | None = None,
        within: float | None = None,
    ) -> Published:
        """The same with the record: its key, headers, partition. Without a type the payload is the raw value."""
        self._running()
        within = self._within if within is None else within
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        while (found := self._seen.take(topic, kind, where)) is None:
            left = until - loop.time()
            if left <= 0:
                raise AssertionError(await self._missed(topic, kind, where, within))
            self._dead()
            there = await self._seen.look(topic, min(left, _LOOK))
            if not there:
                await asyncio.sleep(min(left, _LOOK))
        await self._at_rest(topic)
        return found

    async def all_published(self, topic: str, kind: type[T]) -> list[T]:
        """The payloads of that type that stand in the topic now, given out or not."""
        self._running()
        while True:
            before = len(self._seen.records(topic))
            await self._seen.look(topic, _LOOK)
            if len(self._seen.records(topic)) == before:
                return self._seen.all(topic, kind)

    async def nothing_published(self, topic: str, kind: Any = None, *, within: float = 0.5) -> None:
        """Look for so many seconds, and be content if no record comes that was not given out before.

        Raises:
            AssertionError: One came.
        """
        try:
            found = await self.published_record(topic, kind, within=within)
        except AssertionError:
            return
        raise AssertionError(f"nothing was expected in {topic}, and there is {found.payload!r} ({found.record!r})")

    def records(self, topic: str) -> list[Record]:
        """What was read of a topic so far, raw."""
        return self._seen.records(topic)

    # --- what is inside

    def handler(self, name: str) -> HandlerProbe:
        """One handler, by its id.

        Raises:
            LookupError: There is none; the text names the nearest.
        """
        routes = {route.id: route for route in self._routes()}
        if name not in routes:
            near = difflib.get_close_matches(name, routes, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(routes)) or 'none'}"
            raise LookupError(f"there is no handler {name!r}; {advice}")
        return HandlerProbe(routes[name], self._overheard.of(name), self._within, self._dead)

    def get(self, wanted: type[T]) -> T:
        """The application's component of a type: a component, a settings class, the `Producer`."""
        blueprint = self._running().blueprint
        assert blueprint is not None
        return blueprint.container.get(wanted)

    @property
    def application(self) -> Application:
        """The application itself."""
        return self._running()

    @property
    def chaos(self) -> AppChaos:
        """Disturbances: a rebalance, failing commits, a broker that restarts."""
        return AppChaos(self._running(), self._clients, self.broker)

    # --- inside

    def _made(self) -> Application:
        app, overrides, components, directory = self._asked
        where = "the test"
        given: list[Component] = [
            Component.holding(self.broker, where=where, source=where, provides=DeskBroker),
            Component.holding(self._overheard, where=where, source=APPLICATION),
            *doubles(components),
        ]
        return configured(app, directory, {"kafkaboot.kafka.topics": "create", **overrides}, given)

    def _create(self, topic: str) -> None:
        admin = self._clients.admin()
        try:
            if topic not in admin.topics(DEADLINE):
                admin.create_topics([TopicSpec(topic, 1, 1)], DEADLINE)
        finally:
            admin.close()
        self._topics.add(topic)

    def _refuse_foreign(self) -> None:
        """On a broker that others use, a topic that is there already is theirs: a test would see their records."""
        admin = self._clients.admin()
        try:
            theirs = sorted(self._topics & admin.topics(DEADLINE).keys())
        finally:
            admin.close()
        if theirs:
            raise ConfigurationError(
                f"topics of the application are on this broker already: {', '.join(theirs)}",
                where=self.broker.bootstrap_servers,
                todo="run tests on a broker of their own (--kafka local), or delete these topics if nobody needs them",
            )

    def _running(self) -> Application:
        if self._application is None:
            raise RuntimeError("the application is not running: its test has ended, or `async with` is missing")
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(
                "the test runs on another event loop than the application: give tests and fixtures the same "
                "loop scope (asyncio_default_test_loop_scope and asyncio_default_fixture_loop_scope)"
            )
        return self._application

    def _routes(self) -> Sequence[Route]:
        groups = self._running().groups
        return [route for group in (groups.groups if groups is not None else ()) for route in group.routes]

    def _dead(self) -> None:
        application = self._application
        for group in application.groups.groups if application is not None and application.groups is not None else ():
            if group.error is not None:
                raise AssertionError(f"group {group.name} of the application died: {group.error}") from group.error

    def _assigned(self) -> bool:
        self._dead()
        groups = self._running().groups
        return all(
            group.poller is not None and (group.poller.holdings or not any(route.topics for route in group.routes))
            for group in (groups.groups if groups is not None else ())
        )

    async def _at_rest(self, topic: str) -> None:
        """A record can be read before the handler that published it has heard so, and settled its own."""
        blueprint = self._running().blueprint
        assert blueprint is not None
        behind = {one.spec.id for one in blueprint.handlers if any(p.topic == topic for p in one.spec.publishers)}
        groups = self._running().groups
        loop = asyncio.get_running_loop()
        until = loop.time() + REST
        pause = 0.001
        while loop.time() < until and any(
            lanes.pending()
            for group in (groups.groups if groups is not None else ())
            for holding in (list(group.poller.holdings.values()) if group.poller is not None else ())
            for name, lanes in list(holding.lanes.items())
            if name in behind
        ):
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.02)

    async def _missed(self, topic: str, kind: Any, where: Callable[[Any], bool] | None, within: float) -> str:
        what = "no record" if kind is None else f"no {type_name(kind)}"
        lines = [f"{what}{' that fits' if where is not None else ''} in {topic} within {within:g} s"]
        if self._seen.records(topic):
            lines += [f"  {line}" for line in self._seen.told(topic, kind, where)]
        else:
            lines.append(f"  {await in_thread(lambda: self._nothing_in(topic))}")
        lines += [f"  {line}" for route in self._routes() for line in str(self.handler(route.id)).splitlines()]
        return "\n".join(lines)

    def _nothing_in(self, topic: str) -> str:
        admin = self._clients.admin()
        try:
            known = [name for name in admin.topics(DEADLINE) if not name.startswith("__")]
        except KafkabootError as error:
            return f"the broker does not answer: {error}"
        finally:
            admin.close()
        if topic in known:
            return f"nothing stands in {topic}"
        near = difflib.get_close_matches(topic, known, n=1)
        advice = f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(sorted(known))}"
        return f"topic {topic} does not exist{advice}"


def doubles(components: Mapping[type[Any], object]) -> list[Component]:
    """A test's instances, by the type that they stand in for."""
    return [
        Component.holding(double, where="the test", source=APPLICATION, provides=kind)
        for kind, double in components.items()
    ]


def configured(
    app: str | None, directory: str | Path, overrides: Mapping[str, object], components: Sequence[Component]
) -> Application:
    """The application as a test runs it: with the profile `test` beside those that the configuration makes active."""
    said = {"kafkaboot.application.tune-gc": False, **overrides}
    plain = Application(app, directory=directory, defaults=_DEFAULTS).configure()
    profiles = [*(name for name in plain.profiles if name != "default"), PROFILE]
    return Application(
        app,
        directory=directory,
        defaults=_DEFAULTS,
        profiles=profiles,
        known_profiles=profiles,
        overrides=[f"{key}={_text(value)}" for key, value in said.items()],
        components=components,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
