"""What a handler returns, on its way out: to its publishers' topics, and to whoever asked."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from kafkaboot.boot.component import Dependency

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kafkaboot.boot.pipeline import Handler
    from kafkaboot.client import ProducerPort
    from kafkaboot.consumer import Forwarding
    from kafkaboot.declare import PublisherSpec
    from kafkaboot.failure import Circuits
    from kafkaboot.producer import Binding, Producer, RequestSettings
    from kafkaboot.transaction import GroupTransactions

    Around = Callable[[Callable[..., Any]], Callable[..., Any]]

log = logging.getLogger("kafkaboot.boot")


PUBLISHER = "@publisher"
"""A wish for a producer, of what publishes or answers; it is no parameter."""


def publishing_wishes(publishers: Sequence[PublisherSpec], *, reply: bool = False) -> list[Dependency]:
    """The producers that publishers want, and that answers want, each once."""
    from kafkaboot.producer import Producer

    names = dict.fromkeys([*([""] if reply else []), *(publisher.producer or "" for publisher in publishers)])
    return [Dependency(_wish(name), Producer, name) for name in names]


def producers_among(filled: dict[str, Any]) -> dict[str, Producer]:
    """Take the producers that `publishing_wishes` brought out of what fills a handler's wishes; by name."""
    wishes = [wish for wish in filled if wish.startswith(PUBLISHER)]
    return {wish.removeprefix(PUBLISHER).removeprefix(" "): filled.pop(wish) for wish in wishes}


def _wish(producer: str) -> str:
    return f"{PUBLISHER} {producer}".rstrip()


def around(handler: Handler, circuits: Circuits | None, *, is_async: bool) -> Around | None:
    """What stands around the call of an accepted record: its circuit, and outside of it what keeps the request."""
    guard = None if handler.spec.circuit is None or circuits is None else _guard(handler, circuits, is_async=is_async)
    if not handler.spec.reply:
        return guard
    from kafkaboot.producer import answering

    return lambda call: answering(call if guard is None else guard(call), is_async=is_async)


def _guard(handler: Handler, circuits: Circuits, *, is_async: bool) -> Around:
    from kafkaboot.failure import CircuitSettings, Holder
    from kafkaboot.failure import around as through

    name = handler.spec.circuit or ""
    row = (circuits.settings.get(name) or CircuitSettings()).row
    if handler.retry.attempts < row:
        log.warning(
            "handler %s (%s): its retry policy %s allows %d attempts, and circuit %r opens at %d failures in a row: "
            "when what is behind it fails, some records are given up before it opens; to do: allow as many attempts, "
            "or set kafkaboot.circuits.%s.consecutive",
            handler.spec.id,
            handler.spec.where,
            handler.retry_name,
            handler.retry.attempts,
            name,
            row,
            name,
        )
    return partial(through, holder=Holder(name, circuits.get(name)), is_async=is_async)


def forwarding(
    handler: Handler,
    producers: Mapping[str, Producer],
    said: RequestSettings | None,
    transacting: GroupTransactions | None = None,
) -> Forwarding | None:
    """Where its results go.

    Args:
        handler: What was decided.
        producers: Those that it publishes with, by name; the application's own under an empty one.
        said: `kafkaboot.requests`; `None`: the defaults.
        transacting: Its group's transactions, where it is transactional: what it returns goes through their door.
    """
    spec = handler.spec
    if not spec.publishers and not spec.reply:
        return None
    from kafkaboot.producer import Answers, Binding, Forward, RequestSettings, returns_many

    many = returns_many(handler.signature.returns)
    if transacting is not None:
        from kafkaboot.transaction import EnclosedForward

        return EnclosedForward(transacting.door, partial(_bound, spec.publishers, producers), many=many)
    bindings = [Binding(publisher, producers[publisher.producer or ""]) for publisher in spec.publishers]
    if spec.reply:
        said = said or RequestSettings()
        return Answers(
            producers[""],
            bindings,
            many=many,
            handler=spec.id,
            where=spec.where,
            tell=said.tell,
            reply_topics=said.reply_topics,
        )
    return Forward(bindings, many=many)


def _bound(publishers: Sequence[PublisherSpec], producers: Mapping[str, Producer], door: ProducerPort) -> list[Binding]:
    """What publishes through a transaction's door, each with its own producer's envelope."""
    from kafkaboot.producer import Binding

    inside = {name: producer.through(door) for name, producer in producers.items()}
    return [Binding(publisher, inside[publisher.producer or ""]) for publisher in publishers]
