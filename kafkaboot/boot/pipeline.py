"""From a declared handler to what the engine runs: its options decided, its arguments found, its call built.

This is the only place where the order of what happens to a record is written: decode, the user's function, then
forward what it returned; on an exception, wait in the lane and try again.
"""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kafkaboot.boot.component import dependency
from kafkaboot.boot.failing import policy, retry_topics
from kafkaboot.boot.graph import Demand
from kafkaboot.boot.inboxes import check_transaction
from kafkaboot.boot.letters import letter_topics
from kafkaboot.boot.outputs import around, forwarding, publishing_wishes
from kafkaboot.boot.report import Override
from kafkaboot.boot.transacting import refuse_contradictions
from kafkaboot.config import InvalidConfigurationError, Problem, nearest
from kafkaboot.declare import Kind, event_name, read_signature
from kafkaboot.errors import DeclarationError
from kafkaboot.sql import wanted
from kafkaboot.topics import naming

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kafkaboot.config import Configuration
    from kafkaboot.consumer import Around, HandlerSettings, Route
    from kafkaboot.declare import HandlerSpec, PublisherSpec, RetryPolicy, Signature
    from kafkaboot.failure import Circuits, CircuitSettings, DeadLetterSettings, RetrySettings
    from kafkaboot.producer import Producer, RequestSettings
    from kafkaboot.transaction import GroupTransactions

SELF, CIRCUIT, INBOX = "self", "circuit=", "inbox="
"""Wishes of a handler that are no parameters, beside its producers: what it is a method of, circuits, databases."""

DEFAULT_BATCH = 500
"""Records of a batch whose handler names no size."""


@dataclass(frozen=True, slots=True)
class Handler:
    """A handler with everything decided that can be decided before its components are built.

    Attributes:
        spec: The declaration with the configuration's options in it and its placeholders resolved.
        signature: What fills each of its parameters.
        demand: The components that it wants.
        group: Its consumer group.
        type: The event name that it takes, or `None` for any.
        batch: The largest batch, or `None` for single records.
        retry: What becomes of a record that it raises on.
        retry_name: How the policy is called in the table of handlers.
        circuit: How its circuit is called there.
    """

    spec: HandlerSpec
    signature: Signature
    demand: Demand
    group: str
    type: str | None
    batch: int | None
    retry: RetryPolicy
    retry_name: str
    circuit: str | None = None


@dataclass(frozen=True, slots=True)
class HandlerRow:
    """One line of the table of handlers."""

    id: str
    topics: tuple[str, ...]
    pattern: str | None
    type: str | None
    group: str
    ordering: str
    concurrency: int
    batch: int | None
    retry: str
    publishes: tuple[str, ...]
    where: str
    circuit: str | None
    keep_order: str | None
    retry_topics: tuple[str, ...]
    retry_delays: tuple[str, ...]
    on_exhausted: str
    dead_letters: tuple[str, ...]
    reply: bool = False
    transactional: bool = False
    inbox: str | None = None


def row(handler: Handler, letters: DeadLetterSettings | None) -> HandlerRow:
    """The handler's line in the table; `letters`: `None` where nobody writes dead letters."""
    spec = handler.spec
    return HandlerRow(
        spec.id,
        spec.topics,
        spec.pattern,
        handler.type,
        handler.group,
        spec.ordering,
        spec.concurrency,
        handler.batch,
        handler.retry_name,
        tuple(publisher.topic for publisher in spec.publishers),
        spec.where,
        handler.circuit,
        handler.retry.keep_order,
        tuple(topic for source in spec.topics for topic in retry_topics(handler, source)),
        tuple(map(naming.written, handler.retry.topics)),
        spec.on_exhausted,
        tuple(letter_topics(handler, letters)) if letters is not None else (),
        spec.reply,
        spec.transactional,
        ("yes" if spec.inbox is True else spec.inbox) or None,
    )


@dataclass(slots=True)
class Preparation:
    """What the configuration says of handlers, and what is needed to decide them.

    Attributes:
        configuration: Resolves placeholders and tells where an option was written.
        settings: `kafkaboot.handlers`.
        policies: `kafkaboot.retry`.
        circuits: `kafkaboot.circuits`.
        group: The group of a handler that names none.
        injectable: Whether something provides a type.
        overrides: What the configuration decided over the code; grows.
    """

    configuration: Configuration
    settings: Mapping[str, HandlerSettings]
    policies: Mapping[str, RetrySettings]
    circuits: Mapping[str, CircuitSettings]
    group: str
    injectable: Callable[[Any], bool]
    overrides: list[Override] = dataclasses.field(default_factory=list)

    def prepare(self, specs: Sequence[HandlerSpec]) -> list[Handler]:
        """Decide all handlers; one that the configuration disables is left out.

        Raises:
            InvalidConfigurationError: The configuration names handlers or policies that do not exist.
            DeclarationError: A handler that cannot mean what it says.
        """
        self._refuse_unknown(specs)
        enabled = [spec for spec in specs if spec.id not in self.settings or self.settings[spec.id].enabled]
        return [self._prepared(spec) for spec in enabled]

    def _refuse_unknown(self, specs: Sequence[HandlerSpec]) -> None:
        known = {spec.id: spec for spec in specs}
        problems = []
        for name in self.settings:
            if name not in known:
                near = nearest(name, known)
                listed = ", ".join(sorted(known)) or "none"
                problems.append(
                    Problem(
                        f"kafkaboot.handlers.{name}",
                        self._origin(f"kafkaboot.handlers.{name}"),
                        f"`kafkaboot.handlers.{name}` belongs to no handler",
                        f"did you mean `{near}`?" if near else f"handlers that exist: {listed}",
                    )
                )
        if problems:
            raise InvalidConfigurationError(problems)

    def _prepared(self, declared: HandlerSpec) -> Handler:
        spec = self._resolved(self._overridden(declared))
        signature = read_signature(
            spec.function,
            spec.where,
            injectable=self.injectable,
            batch=spec.batch,
            method=spec.owner is not None,
            transaction=lambda kind: wanted(kind) is not None and (bool(spec.inbox) or not self.injectable(kind)),
        )
        check_transaction(spec, signature)
        wishes = [
            dependency(parameter.name, parameter.annotation, parameter.default)
            for parameter in signature.parameters
            if parameter.kind is Kind.INJECT
        ]
        if spec.owner is not None:
            wishes.append(dependency(SELF, spec.owner))
        wishes += publishing_wishes(spec.publishers, reply=spec.reply or spec.transactional)
        if spec.circuit is not None:
            from kafkaboot.failure import Circuits

            wishes.append(dependency(CIRCUIT, Circuits))
        if spec.inbox:
            from kafkaboot.sql import Databases

            wishes.append(dependency(INBOX, Databases))
        payload = signature.payload
        retry, retry_name = policy(spec, self.policies)
        if retry.keep_order is not None and spec.ordering == "partition":
            # A record that leaves for a retry topic is overtaken by its partition anyway, and a key that is about to
            # come back waits for that in its lane.
            spec = dataclasses.replace(spec, ordering="key")
        if spec.transactional:
            refuse_contradictions(spec, retry, retry_name)
        batch = None
        if signature.batch:
            if spec.ordering == "unordered":
                raise DeclarationError(
                    f"handler {spec.id} takes batches and is unordered: each batch would hold one record",
                    where=spec.where,
                    todo='take ordering="partition", or single records',
                )
            if spec.reply:
                raise DeclarationError(
                    f"handler {spec.id} takes batches and says reply=True: one returned value answers many requests",
                    where=spec.where,
                    todo='take single records; ordering="unordered" or "key" handles many at a time',
                )
            batch = DEFAULT_BATCH if spec.batch in {None, True} else int(spec.batch or 0)
        return Handler(
            spec,
            signature,
            Demand(spec.id, spec.where, tuple(wishes)),
            spec.group or self.group,
            spec.type or (event_name(payload.annotation) if payload is not None else None),
            batch,
            retry,
            retry_name,
            spec.circuit and (spec.circuit if spec.circuit in self.circuits else f"{spec.circuit} (defaults)"),
        )

    def _overridden(self, spec: HandlerSpec) -> HandlerSpec:
        said = self.settings.get(spec.id)
        if said is None:
            return spec
        changes: dict[str, Any] = {}
        for option in sorted(said.model_fields_set - {"enabled"}):
            value = getattr(said, option)
            if value is None:
                continue
            changes[option] = tuple(value) if option == "topics" else value
            key = f"kafkaboot.handlers.{spec.id}.{option}"
            self.overrides.append(
                Override(spec.id, option, value, getattr(spec, option), str(self._origin(key) or "configuration"))
            )
        if "topics" in changes and "pattern" in changes:
            key = f"kafkaboot.handlers.{spec.id}"
            raise InvalidConfigurationError(
                [Problem(key, self._origin(key), f"`{key}` has both topics and a pattern", "keep one of the two")]
            )
        if "topics" in changes:
            changes["pattern"] = None
        elif "pattern" in changes:
            changes["topics"] = ()
        return dataclasses.replace(spec, **changes)

    def _resolved(self, spec: HandlerSpec) -> HandlerSpec:
        """The names of topics, groups and types without placeholders."""

        def resolve(text: str) -> str:
            return self.configuration.resolve(text) if "${" in text else text

        publishers = tuple(self._resolved_publisher(publisher) for publisher in spec.publishers)
        return dataclasses.replace(
            spec,
            topics=tuple(map(resolve, spec.topics)),
            pattern=spec.pattern and resolve(spec.pattern),
            group=spec.group and resolve(spec.group),
            type=spec.type and resolve(spec.type),
            publishers=publishers,
        )

    def _resolved_publisher(self, publisher: PublisherSpec) -> PublisherSpec:
        return dataclasses.replace(publisher, topic=self.configuration.resolve(publisher.topic))

    def _origin(self, key: str) -> Any:
        return self.configuration.explain(key)[0].origin if self.configuration.mentions(key) else None


def refuse_overlaps(handlers: Sequence[Handler]) -> None:
    """Refuse two handlers of one group that claim the same records, before anything is built.

    Raises:
        DeclarationError: Two do.
    """
    from kafkaboot.consumer import Backoff, Route
    from kafkaboot.consumer.dispatch import Dispatch

    groups: dict[str, list[Route]] = {}
    for handler in handlers:
        spec = handler.spec
        claim = Route(spec.id, Backoff(), spec.topics, spec.pattern, handler.type, where=spec.where)
        claim.transactional = spec.transactional
        groups.setdefault(handler.group, []).append(claim)
    for group, claims in groups.items():
        Dispatch(group, claims)


def route(
    handler: Handler,
    owner: Any,
    filled: Mapping[str, Any],
    producers: Mapping[str, Producer],
    circuits: Circuits | None = None,
    requests: RequestSettings | None = None,
    transacting: GroupTransactions | None = None,
    inbox: Around | None = None,
) -> Route:
    """The handler as the engine runs it.

    Args:
        handler: What was decided.
        owner: The component that it is a method of, or `None`.
        filled: Its components, by parameter.
        producers: Those that what it returns is published with, by name; the application's own under an empty one.
        circuits: The circuits, where it is called through one; else `None`.
        requests: `kafkaboot.requests`, for a handler with `reply=True`; `None`: the defaults.
        transacting: Its group's transactions, where it is transactional; without them it is as if it were not.
        inbox: What its calls stand in, where it has an inbox.
    """
    from kafkaboot.consumer import Backoff, Counters, Route
    from kafkaboot.consumer.invoke import Calls

    spec = handler.spec
    function = spec.function if owner is None else spec.function.__get__(owner)
    is_async = inspect.iscoroutinefunction(function)
    counters = Counters()
    calls = Calls(
        function,
        handler.signature,
        filled,
        name=spec.id,
        counters=counters,
        is_async=is_async,
        timeout=spec.timeout,
        accepts=spec.filter,
        guard=around(handler, circuits, is_async=is_async),
        around=inbox,
    )
    retry = handler.retry
    return Route(
        spec.id,
        Backoff(retry.initial, retry.max, retry.multiplier, retry.jitter),
        topics=spec.topics,
        pattern=spec.pattern,
        type=handler.type,
        ordering=spec.ordering,
        concurrency=spec.concurrency,
        start=spec.start,
        is_async=is_async,
        call=calls.single() if handler.batch is None else None,
        plain=calls.plain() if handler.batch is None and not spec.reply else None,
        batch_call=calls.batch() if handler.batch is not None else None,
        batch=handler.batch or DEFAULT_BATCH,
        forwarding=forwarding(handler, producers, requests, transacting),
        transactional=transacting is not None,
        transacting=transacting,
        # A coroutine is cancelled at its timeout; a thread cannot be, so that it is reported as stuck instead.
        stuck_after=None if is_async else spec.timeout,
        where=spec.where,
        counters=counters,
    )
