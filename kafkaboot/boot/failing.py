"""From a declared retry policy to what the engine asks when a handler raises."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from kafkaboot.client import ClientFactory
from kafkaboot.config import nearest
from kafkaboot.declare import RetryPolicy
from kafkaboot.errors import DeclarationError
from kafkaboot.topics import TopicUse, naming

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kafkaboot.boot.container import Container
    from kafkaboot.boot.pipeline import Handler
    from kafkaboot.consumer import Route
    from kafkaboot.declare import HandlerSpec
    from kafkaboot.failure import DeadLetters, RetrySettings, RetryTopics


def policy(spec: HandlerSpec, policies: Mapping[str, RetrySettings]) -> tuple[RetryPolicy, str]:
    """A handler's policy, and how the table of handlers calls it.

    Raises:
        DeclarationError: It names one that does not exist.
    """
    if isinstance(spec.retry, RetryPolicy):
        return spec.retry, "in code"
    if spec.retry is False:
        default = policies["default"].policy() if "default" in policies else RetryPolicy()
        return dataclasses.replace(default, attempts=1, topics=(), keep_order=None), "none"
    named = policies.get(spec.retry)
    if named is not None:
        return named.policy(), spec.retry
    if spec.retry == "default":
        return RetryPolicy(), spec.retry
    near = nearest(spec.retry, {*policies, "default"})
    advice = f"did you mean `{near}`? " if near else ""
    raise DeclarationError(
        f"handler {spec.id} names the retry policy {spec.retry!r}, which does not exist",
        where=spec.where,
        todo=f"{advice}policies stand under kafkaboot.retry.<name>",
    )


def refuse_unordered(handlers: Sequence[Handler]) -> None:
    """Refuse retry topics that cannot mean what they say, and two handlers whose retry topics collide.

    Raises:
        DeclarationError: A handler, or two.
    """
    claims: dict[str, tuple[Handler, tuple[str, str, str | None]]] = {}
    for handler in handlers:
        spec, retry = handler.spec, handler.retry
        if not retry.topics:
            continue
        if spec.pattern is not None:
            raise DeclarationError(
                f"handler {spec.id} takes topics by a pattern, and its retry policy {handler.retry_name!r} has retry "
                "topics: they are made at start, after the topics that it takes",
                where=spec.where,
                todo="name the topics, or take a policy without topics",
            )
        if retry.keep_order is not None and (handler.batch is not None or spec.ordering == "unordered"):
            what = "takes batches" if handler.batch is not None else "is unordered"
            raise DeclarationError(
                f"handler {spec.id} {what}, and its retry policy {handler.retry_name!r} keeps the order of keys",
                where=spec.where,
                todo='take single records with ordering="key" or "partition", or leave keep-order out',
            )
        for source in spec.topics:
            for topic in retry_topics(handler, source):
                claim = (source, handler.group, retry.keep_order)
                other, claimed = claims.setdefault(topic, (handler, claim))
                if claimed != claim:
                    raise DeclarationError(
                        f"the retry topics of handler {spec.id} (topic {source!r}, group {handler.group!r}) and of "
                        f"handler {other.spec.id} (topic {claimed[0]!r}, group {claimed[1]!r}) are both called "
                        f"{topic!r}: each would take the other's records",
                        where=spec.where,
                        todo=f"give one of them other delays, another group or keep-order like the other's "
                        f"({other.spec.where})",
                    )


def retry_topics(handler: Handler, source: str) -> list[str]:
    """The names of a handler's retry topics for one of its topics."""
    delays = handler.retry.topics[:1] if handler.retry.keep_order is not None else handler.retry.topics
    return [naming.retry(source, handler.group, delay) for delay in delays]


def retry_uses(handlers: Sequence[Handler]) -> list[TopicUse]:
    """The retry topics, each made like its source."""
    return [
        TopicUse(topic, f"handler {handler.spec.id} sends records there for a later attempt", handler.spec.where,
                 source=source)
        for handler in handlers
        for source in handler.spec.topics
        for topic in retry_topics(handler, source)
    ]  # fmt: skip


class Failures:
    """What handlers do when they raise, wired; the only place that knows in which order.

    Retries in the lane, then retry topics, then dead letters; an open circuit keeps a record from all of them.

    Attributes:
        retries: The routes of retry topics, by the group that takes them.
        listeners: What wants to hear of rebalances.
    """

    def __init__(self, container: Container) -> None:
        from kafkaboot.failure import DeadLetters

        self.retries: dict[str, list[Route]] = {}
        self.listeners: list[object] = []
        self._container = container
        self._letters: DeadLetters | None = self._one(DeadLetters)

    def wire(self, handler: Handler, route: Route) -> Route:
        """The route with everything that happens when its handler raises."""
        from kafkaboot.consumer import Backoff
        from kafkaboot.failure import Elsewhere, Meanings, Recovery

        spec, retry = handler.spec, handler.retry
        dead: Elsewhere | None = None
        if self._letters is not None:
            dead = _Dead(self._letters, spec.id, handler.group)
        recovery = Recovery(
            Meanings(retry.fatal, retry.retriable),
            Backoff(retry.initial, retry.max, retry.multiplier, retry.jitter),
            retry.attempts,
            dead,
            retry.time_limit,
            None,
            spec.on_exhausted,
        )
        route = dataclasses.replace(route, failing=recovery, deaths=retry.deaths)
        return self._with_retry_topics(handler, route, recovery) if retry.topics else route

    def _with_retry_topics(self, handler: Handler, route: Route, recovery: Any) -> Route:
        from kafkaboot.consumer import Counters
        from kafkaboot.failure import KeyOrder, RetryTopics, Steps, batch_when_due, guarded, when_due

        if self._letters is None:
            raise DeclarationError(
                f"handler {handler.spec.id} has retry topics, and `dead-letter`, which writes them, is excluded",
                where=handler.spec.where,
                todo="take it out of kafkaboot.autoconfigure.exclude, or leave topics out of the retry policy",
            )
        spec, delays = handler.spec, handler.retry.topics
        retries = f"{handler.group}.retry"
        order = None
        if handler.retry.keep_order is not None:
            detours = {source: retry_topics(handler, source)[0] for source in spec.topics}
            order = KeyOrder(handler.group, detours, retries, self._one(ClientFactory))
            self.listeners.append(order)
        topics: RetryTopics = RetryTopics(spec.id, handler.group, spec.topics, delays, self._letters, order)
        in_lane = delays if order is not None else delays[:1]
        later = dataclasses.replace(
            route,
            id=f"{spec.id}.retry",
            topics=tuple(topics.topics),
            start="earliest",
            ordering="key" if order is not None else route.ordering,
            plain=None,
            call=None if route.call is None else when_due(route.call, in_lane),
            batch_call=None if route.batch_call is None else batch_when_due(route.batch_call),
            counters=Counters(),
            failing=dataclasses.replace(
                recovery,
                backoff=Steps(in_lane),
                attempts=len(in_lane) if order is not None else 1,
                later=None if order is not None else topics,
            ),
        )
        self.retries.setdefault(retries, []).append(later)
        main = dataclasses.replace(route, failing=dataclasses.replace(recovery, later=topics))
        if order is None or main.call is None:
            return main
        return dataclasses.replace(main, call=guarded(main.call, order.check(topics)), plain=None)

    def _one(self, wanted: type[Any]) -> Any:
        found = self._container.providing(wanted)
        return self._container.instance(found[0]) if found else None


@dataclasses.dataclass(frozen=True, slots=True)
class _Dead:
    """The way to the dead letters of one handler (`Elsewhere`)."""

    letters: DeadLetters
    handler: str
    group: str

    def away(self, failed: Any) -> Any:
        return self.letters.away(failed, self.handler, self.group)
