"""The steps of a start, on the event loop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from kafkaboot.boot.component import APPLICATION
from kafkaboot.boot.desk import DeskBroker
from kafkaboot.boot.failing import Failures, retry_group, retry_uses
from kafkaboot.boot.groups import Groups
from kafkaboot.boot.inboxes import Inboxes
from kafkaboot.boot.letters import letter_uses
from kafkaboot.boot.lifecycle import in_thread
from kafkaboot.boot.outputs import producers_among
from kafkaboot.boot.pipeline import CIRCUIT, INBOX, SELF, route
from kafkaboot.boot.transacting import Enclosing
from kafkaboot.boot.wiring.requests import reply_topic, reply_use
from kafkaboot.boot.wiring.topics import TopicCheck, topic_places
from kafkaboot.client import ClientFactory
from kafkaboot.consumer import ConsumerSettings
from kafkaboot.declare import hooks, publishing_methods, resolve
from kafkaboot.errors import DeclarationError
from kafkaboot.failure import Circuits, DeadLetters, DeadLetterSettings
from kafkaboot.health import HealthIndicator
from kafkaboot.producer import Producer, RequestSettings
from kafkaboot.sql import Databases
from kafkaboot.topics import TopicSettings, TopicUse, Wanted, wanted_topics

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from kafkaboot.boot.blueprint import Blueprint
    from kafkaboot.boot.component import Component
    from kafkaboot.boot.container import Container
    from kafkaboot.boot.lifecycle import Lifecycle
    from kafkaboot.boot.pipeline import Handler
    from kafkaboot.consumer import Around, ConsumerGroup, Route
    from kafkaboot.declare import PublisherSpec

T = TypeVar("T")

LETTERS, REQUESTS = "kafkaboot.dead-letter", "kafkaboot.requests"
HAPPENINGS = ("on_failure", "on_rebalance", "on_commit", "on_circuit", "on_dead_letter", "on_transaction")
"""A component with one of these methods overhears what happens (`kafkaboot.hooks`)."""


@dataclass(frozen=True, slots=True)
class Started:
    """What a start brought."""

    groups: Groups | None
    broker: str
    created_topics: Sequence[str]


async def start(
    blueprint: Blueprint, lifecycle: Lifecycle, died: Callable[[ConsumerGroup, BaseException], None]
) -> Started:
    """Build each component behind what it needs, and start it before the next one is built.

    A component may thus use in its constructor what has started already: clients are made for the address that a
    broker of the desk has once it runs. Topics are looked up before a component of the application starts: one that
    publishes when it starts finds those that the configuration declares.
    """
    container = blueprint.container
    listeners: list[object] = []
    created: list[str] = []
    joined: list[Producer] = []
    for component in wanted(blueprint):
        instance = container.instance(component)
        await lifecycle.start(component, instance)
        if any(hasattr(type(instance), happening) for happening in HAPPENINGS):
            listeners.append(instance)
        if isinstance(instance, Circuits):
            instance.listeners = listeners
        if isinstance(instance, DeadLetters):
            instance.announcements.listeners = listeners
        if isinstance(instance, Producer):
            if instance.transactions is not None:
                instance.transactions.listeners = listeners
            if any(handler.spec.transactional for handler in blueprint.handlers):
                instance.join_handlers()
                joined.append(instance)
        if isinstance(instance, TopicCheck):
            created = await in_thread(partial(instance.run, topic_uses(blueprint)))
    groups = _one(container, Groups)
    if groups is not None:
        try:
            inboxes = Inboxes(_one(container, Databases))
            enclosing = Enclosing(container.get(ConsumerSettings), joined)
            failures = Failures(container, enclosing, inboxes)
            routes = routes_of(blueprint, failures, enclosing, inboxes)
            await enclosing.prepare()
            if inboxes.databases is not None:
                await in_thread(inboxes.databases.prepare)
            positions = inboxes.positions({group: retry_group(group) for group in routes})
            groups.start(routes, died, [*listeners, *failures.listeners], failures.retries, positions)
        except BaseException:
            await groups.stop()  # those that came first poll already
            raise
    return Started(groups, _broker(container), created)


def topic_uses(blueprint: Blueprint) -> list[TopicUse]:
    """Who needs which topic."""
    uses = []
    for handler in blueprint.handlers:
        spec = handler.spec
        by_key = f"handler {spec.id} handles a key's records in order" if spec.ordering == "key" else ""
        uses += [TopicUse(topic, f"handler {spec.id} takes it", spec.where, keyed=by_key) for topic in spec.topics]
        if spec.pattern is not None:
            uses.append(TopicUse(spec.pattern, f"handler {spec.id} takes it", spec.where, pattern=True))
        uses += [_published(one, one.topic, f"handler {spec.id} publishes to it") for one in spec.publishers]
    for component in blueprint.declarations.components:
        if isinstance(component.provides, type):
            for method, publishers in publishing_methods(component.provides).items():
                by = f"{component.provides.__name__}.{method} publishes to it"
                uses += [_published(one, blueprint.configuration.resolve(one.topic), by) for one in publishers]
    if (settings := letter_settings(blueprint)) is not None:
        uses += letter_uses(blueprint.handlers, settings)
    if blueprint.configuration.mentions(REQUESTS):
        topic = reply_topic(request_settings(blueprint), blueprint.application.name or "")
        uses.append(reply_use(topic, REQUESTS))
    return uses + retry_uses(blueprint.handlers)


def request_settings(blueprint: Blueprint) -> RequestSettings:
    """`kafkaboot.requests`; the defaults where `requests` is excluded."""
    bound = REQUESTS in blueprint.sections
    return blueprint.configuration.bind(REQUESTS, RequestSettings) if bound else RequestSettings()


def topics_wanted_by(blueprint: Blueprint) -> list[Wanted]:
    """All topics of the application: what its decorators name, and what `kafkaboot.topics` says of them."""
    configuration = blueprint.configuration
    declared = configuration.bind("kafkaboot.topics", dict[str, TopicSettings])
    return wanted_topics(topic_uses(blueprint), declared, topic_places(configuration))


def _published(spec: PublisherSpec, topic: str, by: str) -> TopicUse:
    by_key = spec.key is not None and spec.partition is None
    return TopicUse(topic, by, spec.where, keyed=f"{by} by a key" if by_key else "")


def letter_settings(blueprint: Blueprint) -> DeadLetterSettings | None:
    """`kafkaboot.dead-letter`; `None` where `dead-letter` is excluded."""
    bound = LETTERS in blueprint.sections
    return blueprint.configuration.bind(LETTERS, DeadLetterSettings) if bound else None


def publish_from(component: Component, instance: Any, blueprint: Blueprint) -> None:
    """Let the `@publisher` methods of a fresh component publish what they return."""
    from kafkaboot.producer import Binding, publishing, returns_many

    container = blueprint.container
    for name, specs in publishing_methods(type(instance)).items():
        method = getattr(instance, name)
        resolved = [replace(spec, topic=blueprint.configuration.resolve(spec.topic)) for spec in specs]
        written = method.__func__.__annotations__.get("return")
        returned = None if written is None else resolve(written, method, "return", component.where)
        bindings = [Binding(spec, container.get(Producer, spec.producer or "")) for spec in resolved]
        try:
            setattr(instance, name, publishing(method, bindings, many=returns_many(returned)))
        except AttributeError as error:
            raise DeclarationError(
                f"{type(instance).__name__} has slots, so that its method {name} cannot publish what it returns",
                where=component.where,
                todo="leave `__slots__` (or `slots=True`) out, or inject Producer and publish in the method's body",
            ) from error


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run on a loop of its own, uvloop's where it is installed."""
    loop = _new_loop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main)
    finally:
        try:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            # The loop's executor is not waited for: a handler that hangs in it must not keep the process.
            asyncio.set_event_loop(None)
            loop.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def wanted(blueprint: Blueprint) -> list[Component]:
    """What must be built: handlers' wishes, the application's own components, and what takes part in the life.

    What an auto-configuration merely offers is built when somebody wants it; an indicator of health is, if what it
    indicates is there anyway. The circuits come first, so that components are built and started with them; then the
    look at topics, behind what it needs.
    """
    container = blueprint.container
    roots: list[Any] = [handler.demand for handler in blueprint.handlers]
    roots += [one for one in container.components if one.source == APPLICATION or _takes_part(one)]
    for house in (TopicCheck, Groups):
        roots += container.providing(house)
    there = set(container.order(roots))
    for indicator in container.providing(HealthIndicator):
        if there.issuperset(set(container.order([indicator])) - {indicator}):
            roots.append(indicator)
    first = container.order([*container.providing(Circuits), *container.providing(TopicCheck)])
    return [*first, *(one for one in container.order(roots) if one not in first)]


def _takes_part(component: Component) -> bool:
    return bool(component.starts) or (isinstance(component.provides, type) and any(hooks(component.provides)))


def routes_of(
    blueprint: Blueprint, failures: Failures, enclosing: Enclosing, inboxes: Inboxes | None = None
) -> dict[str, list[Route]]:
    """The blueprint's handlers as the engine runs them, by group; what they need is built.

    Raises:
        DeclarationError: One has an inbox, and there are no `inboxes`.
    """
    routes: dict[str, list[Route]] = {}
    for handler in blueprint.handlers:
        if handler.spec.inbox and inboxes is None:
            raise DeclarationError(
                f"handler {handler.spec.id} has an inbox, and no database is written to here",
                where=handler.spec.where,
                todo="run the application; or choose a handler without an inbox",
            )
        around = inboxes.around(handler) if inboxes is not None else None
        called = _called(blueprint, handler, around, enclosing)
        routes.setdefault(handler.group, []).append(failures.wire(handler, called))
    return routes


def route_of(blueprint: Blueprint, handler: Handler) -> Route:
    """One handler with its policy, for a call by hand: outside of transactions, and its key waits in no retry topic.

    What it does in its inbox's transaction is rolled back.
    """
    called = _called(blueprint, handler, Inboxes(_one(blueprint.container, Databases)).rehearsal(handler))
    return replace(Failures(blueprint.container).wire(handler, called), call=called.call)


def _called(blueprint: Blueprint, handler: Handler, inbox: Around | None, enclosing: Enclosing | None = None) -> Route:
    filled = blueprint.container.arguments(handler.demand)
    producers = producers_among(filled)
    owner, circuits, _ = (filled.pop(wish, None) for wish in (SELF, CIRCUIT, INBOX))
    transacting = enclosing.of(handler.group, handler, producers.get("")) if enclosing is not None else None
    return route(handler, owner, filled, producers, circuits, request_settings(blueprint), transacting, inbox)


def _one(container: Container, wanted: type[Any]) -> Any:
    found = container.providing(wanted)
    return container.instance(found[0]) if found else None


def _broker(container: Container) -> str:
    broker = _one(container, DeskBroker)
    if broker is not None:
        return str(broker.describe())
    clients = _one(container, ClientFactory)
    return str(getattr(clients, "bootstrap_servers", ""))
