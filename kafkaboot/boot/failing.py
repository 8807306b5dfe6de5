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
    from kafkaboot.boot.inboxes import Inboxes
    from kafkaboot.boot.pipeline import Handler
    from kafkaboot.boot.transacting import Enclosing
    from kafkaboot.consumer import Failing, Forwarding, Route, Transacting
    from kafkaboot.declare import HandlerSpec
    from kafkaboot.failure import DeadLetters, EnclosedLetters, KeyOrder, Recovery, RetrySettings
    from kafkaboot.transaction import GroupTransactions


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


def refuse_retry_topics(handlers: Sequence[Handler]) -> None:
    """Refuse retry topics that cannot mean what they say, and two handlers whose retry topics collide.

    Raises:
        DeclarationError: A handler, or two.
    """
    claims: dict[str, tuple[Handler, tuple[str, str, str | None]]] = {}
    groups = {handler.group: handler for handler in reversed(handlers)}
    for handler in handlers:
        if not handler.retry.topics:
            continue
        _refuse(handler, groups.get(retry_group(handler.group)))
        for source in handler.spec.topics:
            for topic in retry_topics(handler, source):
                claim = (source, handler.group, handler.retry.keep_order)
                other, claimed = claims.setdefault(topic, (handler, claim))
                if claimed != claim:
                    raise DeclarationError(
                        f"the retry topics of handler {handler.spec.id} (topic {source!r}, group {handler.group!r}) "
                        f"and of handler {other.spec.id} (topic {claimed[0]!r}, group {claimed[1]!r}) are both called "
                        f"{topic!r}: each would take the other's records",
                        where=handler.spec.where,
                        todo=f"give one of them other delays, another group or keep-order like the other's "
                        f"({other.spec.where})",
                    )


def _refuse(handler: Handler, namesake: Handler | None) -> None:
    """`namesake`: a handler whose own group is called as that of this one's retries."""
    spec, retry = handler.spec, handler.retry
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
    if namesake is not None:
        raise DeclarationError(
            f"the retry topics of handler {spec.id} are taken by group {namesake.group!r}, which is the group of "
            f"handler {namesake.spec.id}",
            where=spec.where,
            todo=f"give handler {namesake.spec.id} another group ({namesake.spec.where})",
        )
    names = [naming.written(delay) for delay in retry.topics]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DeclarationError(
            f"two delays of retry policy {handler.retry_name!r} of handler {spec.id} are both {twice} to the "
            "millisecond, so that their topics would be one",
            where=spec.where,
            todo="leave one of them out",
        )


def retry_topics(handler: Handler, source: str) -> list[str]:
    """The names of a handler's retry topics for one of its topics."""
    delays = handler.retry.topics[:1] if handler.retry.keep_order is not None else handler.retry.topics
    return [naming.retry(source, handler.group, delay) for delay in delays]


def retry_group(group: str) -> str:
    """The consumer group that takes the retry topics of a group's handlers."""
    return f"{group}.retry"


def retry_uses(handlers: Sequence[Handler]) -> list[TopicUse]:
    """The retry topics, each made like its source."""
    return [
        TopicUse(topic, f"handler {handler.spec.id} sends records there for a later attempt", handler.spec.where,
                 source=source, aligned=True)
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

    def __init__(
        self, container: Container, enclosing: Enclosing | None = None, inboxes: Inboxes | None = None
    ) -> None:
        from kafkaboot.failure import DeadLetters

        self._inboxes = inboxes
        self.retries: dict[str, list[Route]] = {}
        self.listeners: list[object] = []
        self._container, self._enclosing = container, enclosing
        self._inside: dict[str, EnclosedLetters] = {}
        self._letters: DeadLetters | None = self._one(DeadLetters)

    def wire(self, handler: Handler, route: Route) -> Route:
        """The route with everything that happens when its handler raises."""
        from kafkaboot.consumer import Backoff
        from kafkaboot.failure import Elsewhere, Meanings, Recovery

        spec, retry = handler.spec, handler.retry
        dead: Elsewhere | None = None
        if self._letters is not None:
            dead = _Dead(self._writer(route.transacting), spec.id, handler.group)
        recovery = Recovery(
            Meanings(retry.fatal, retry.retriable),
            Backoff(retry.initial, retry.max, retry.multiplier, retry.jitter),
            retry.attempts,
            dead,
            retry.time_limit,
            exhausted=spec.on_exhausted,
        )
        route = dataclasses.replace(route, failing=self._watched(handler, recovery), deaths=retry.deaths)
        route = self._with_retry_topics(handler, route, recovery) if retry.topics else route
        return _refusing(route)

    def _with_retry_topics(self, handler: Handler, route: Route, recovery: Recovery) -> Route:
        from kafkaboot.consumer import Counters
        from kafkaboot.failure import BackoffThenDelays, RetryTopics, batch_when_due, guarded, when_due

        spec, retry = handler.spec, handler.retry
        if self._letters is None:
            raise DeclarationError(
                f"handler {spec.id} has retry topics, and `dead-letter`, which writes them, is excluded",
                where=spec.where,
                todo="take it out of kafkaboot.autoconfigure.exclude, or leave topics out of the retry policy",
            )
        order = self._order(handler, route)
        delays, in_lane = retry.topics, retry.topics[1:] if order is not None else ()
        transacting = self._transactions_of(handler, route)
        writers = self._writer(route.transacting), self._writer(transacting)
        topics, from_there = (
            RetryTopics(spec.id, handler.group, spec.topics, delays, writer, order, retry.time_limit)
            for writer in writers
        )
        again = dataclasses.replace(recovery, earlier=from_there.earlier, later=from_there)
        if recovery.dead_letters is not None:
            again = dataclasses.replace(again, dead_letters=_Dead(writers[1], spec.id, handler.group))
        if order is not None:
            backoff = BackoffThenDelays(recovery.backoff, retry.attempts, delays)
            again = dataclasses.replace(again, later=None, backoff=backoff, attempts=retry.attempts + len(delays))
        later = dataclasses.replace(
            route,
            id=f"{spec.id}.retry",
            topics=tuple(topics.topics),
            start="earliest",
            ordering=route.ordering if order is None else "key",
            plain=None,
            call=None if route.call is None else when_due(route.call, delays[-1], in_lane),
            batch_call=None if route.batch_call is None else batch_when_due(route.batch_call, delays[-1]),
            counters=Counters(),
            failing=self._watched(handler, again),
            transacting=transacting,
            forwarding=_through(route.forwarding, transacting),
        )
        self.retries.setdefault(retry_group(handler.group), []).append(_refusing(later))
        main = dataclasses.replace(route, failing=self._watched(handler, dataclasses.replace(recovery, later=topics)))
        if order is None or main.call is None:
            return main
        return dataclasses.replace(main, call=guarded(main.call, order.check(topics)), plain=None)

    def _watched(self, handler: Handler, recovery: Recovery) -> Failing:
        return recovery if self._inboxes is None else self._inboxes.watching(handler, recovery)

    def _writer(self, transacting: Transacting | None) -> DeadLetters | EnclosedLetters:
        """What writes letters and records for later: in the group's transactions, where it has some."""
        from kafkaboot.failure import EnclosedLetters

        assert self._letters is not None
        if transacting is None:
            return self._letters
        if transacting.group not in self._inside:
            self._inside[transacting.group] = EnclosedLetters(self._letters, transacting.door)
        return self._inside[transacting.group]

    def _transactions_of(self, handler: Handler, route: Route) -> GroupTransactions | None:
        """Those of the group that takes the retry topics."""
        if route.transacting is None or self._enclosing is None:
            return None
        return self._enclosing.beside(handler.group, retry_group(handler.group), handler)

    def _order(self, handler: Handler, route: Route) -> KeyOrder | None:
        from kafkaboot.failure import KeyOrder

        if handler.retry.keep_order is None:
            return None
        detours = {source: retry_topics(handler, source)[0] for source in handler.spec.topics}
        clients, repeats = self._one(ClientFactory), route.forwarding is not None
        retries = retry_group(handler.group)
        order = KeyOrder(handler.spec.id, handler.group, detours, retries, clients, repeats=repeats)
        self.listeners.append(order)
        return order

    def _one(self, wanted: type[Any]) -> Any:
        found = self._container.providing(wanted)
        return self._container.instance(found[0]) if found else None


def _through(forwarding: Forwarding | None, transacting: GroupTransactions | None) -> Forwarding | None:
    """The same outputs, in the transactions of the group that takes the retry topics."""
    if transacting is None:
        return forwarding
    from kafkaboot.transaction import EnclosedForward

    return forwarding.behind(transacting.door) if isinstance(forwarding, EnclosedForward) else forwarding


def _refusing(route: Route) -> Route:
    """The route; one that answers tells its askers of what it gives up."""
    from kafkaboot.failure import Refusing
    from kafkaboot.producer import Answers

    if not isinstance(route.forwarding, Answers):
        return route
    return dataclasses.replace(route, failing=Refusing(route.failing, route.forwarding.refuse))


@dataclasses.dataclass(frozen=True, slots=True)
class _Dead:
    """The way to the dead letters of one handler (`Elsewhere`)."""

    letters: DeadLetters | EnclosedLetters
    handler: str
    group: str

    def away(self, failed: Any) -> Any:
        return self.letters.away(failed, self.handler, self.group)
