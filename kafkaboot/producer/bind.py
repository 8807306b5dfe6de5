"""`@publisher` bound to a producer: which topic, key, headers and partition a returned payload gets."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import Callable, Iterable, Sequence
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from kafkaboot.producer.delivery import Delivery
from kafkaboot.producer.envelope import explained
from kafkaboot.producer.key import key_bytes, key_getter, missing_field
from kafkaboot.producer.outbox import ROOM
from kafkaboot.producer.undelivered import closed, refused

if TYPE_CHECKING:
    from kafkaboot.declare import PublisherSpec
    from kafkaboot.errors import PublishError
    from kafkaboot.message import Headers
    from kafkaboot.producer.envelope import Plan
    from kafkaboot.producer.sender import Producer

Acknowledge = Callable[[object | None, Any], None]
Made = tuple[bytes | None, bytes | None, "Headers | None", int]
"""A record as it goes to the client: value, key, headers, partition."""


class Binding:
    """One `@publisher`, ready to publish.

    Args:
        spec: What the decorator says, its topic's placeholders resolved.
        producer: What publishes.
    """

    def __init__(self, spec: PublisherSpec, producer: Producer) -> None:
        self.topic, self.where = spec.topic, spec.where
        self.outbox = producer.outbox
        self._spec = spec
        self._produce = producer.outbox.port.produce
        self._envelope = producer.outbox.envelope
        self._ways: dict[type, tuple[Plan, Callable[[Any], Any] | None]] = {}
        self._headers = spec.headers if callable(spec.headers) else None
        self._pick_partition = spec.partition if callable(spec.partition) else None
        self._partition = spec.partition if isinstance(spec.partition, int) else -1

    def produce(self, result: Any, delivered: Acknowledge) -> None:
        """Hand over one payload; `delivered(error, record)` is the client's own callback.

        Raises:
            BufferError: There is no room now.
            PublishError: No record can be made of the payload.
        """
        self.hand(self.make(result), delivered)

    def make(self, payload: Any) -> Made:
        """The record of a payload.

        Raises:
            PublishError: None can be made.
        """
        kind = payload.__class__
        try:
            plan, pick = self._ways.get(kind) or self._way(kind)
            key: Any = None
            if pick is not None:
                key = pick(payload)
                key = key.encode() if key.__class__ is str else key_bytes(key)
            given = None if self._headers is None else self._headers(payload)
            partition = self._partition if self._pick_partition is None else self._pick_partition(payload)
            return plan.encode(payload), key, self._envelope.headers(plan, given), partition
        except Exception as error:
            raise self._explained(error, payload) from error

    def hand(self, made: Made, delivered: Acknowledge | None) -> None:
        """Hand over a record that was made before; raises as `produce` does."""
        if self.outbox.closed:
            raise closed(self.topic)
        value, key, headers, partition = made
        try:
            self._produce(self.topic, value, key, headers, partition, delivered)
        except BufferError:
            raise
        except Exception as error:
            raise refused(error, self.topic) from error

    def _way(self, kind: type) -> tuple[Plan, Callable[[Any], Any] | None]:
        spec = self._spec
        given = None if callable(spec.headers) else spec.headers
        way = self._ways[kind] = (self._envelope.plan(kind, spec.type, given), key_getter(spec.key, kind))
        return way

    def _explained(self, error: Exception, payload: Any) -> PublishError:
        if isinstance(error, KeyError | AttributeError) and isinstance(self._spec.key, str):
            error = missing_field(self._spec.key, type(payload))
        found = refused(explained(error, payload), self.topic)
        found.where = f"{self.where}: {self.topic}" if self.where else self.topic
        return found


def returns_many(annotation: Any) -> bool:
    """Whether a function annotated to return this returns several payloads: `list[Event]` and its like do.

    A bare `list`, or a list of what is only a part of JSON (`list[int]`, `list[dict[str, Any]]`), is one payload.
    """
    members = _members(annotation)
    if len(members) != 1:
        return False
    origin = get_origin(members[0])
    if not isinstance(origin, type) or not issubclass(origin, Iterable) or issubclass(origin, dict | str | bytes):
        return False
    parts = [part for arg in get_args(members[0]) if arg is not Ellipsis for part in _members(arg)]
    return bool(parts) and all(isinstance(part, type) and part.__module__ != "builtins" for part in parts)


def _members(annotation: Any) -> list[Any]:
    """The members of a union without `None`; an annotation that is none, alone."""
    if get_origin(annotation) not in {Union, UnionType}:
        return [annotation]
    return [member for member in get_args(annotation) if member is not NoneType]


def outputs(result: Any, *, many: bool) -> list[Any]:
    """The payloads in a returned value: none in `None`."""
    if result is None:
        return []
    return [part for part in result if part is not None] if many else [result]


def publishing(method: Callable[..., Any], bindings: Sequence[Binding], *, many: bool = False) -> Callable[..., Any]:
    """The same method, publishing what it returns: that is delivered before the call returns.

    Args:
        method: A bound method or a function, `async def` or `def`. A `def` blocks its thread until all is delivered.
        bindings: Where to.
        many: Whether the returned value holds several payloads, see `returns_many`.

    Raises:
        PublishError: From the call: something was not delivered.
    """
    if inspect.iscoroutinefunction(method):

        @functools.wraps(method)
        async def publish_awaited(*args: Any, **kwargs: Any) -> Any:
            result = await method(*args, **kwargs)
            deliveries = []
            for binding, made in _made(bindings, result, many=many):
                delivery = Delivery(binding.outbox, binding.topic)
                while not _handed(binding, made, delivery):  # noqa: ASYNC110 - nobody tells when there is room
                    await asyncio.sleep(ROOM)
                deliveries.append(delivery)
            for delivery in deliveries:
                await delivery
            return result

        return publish_awaited

    @functools.wraps(method)
    def publish_blocking(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        deliveries = []
        for binding, made in _made(bindings, result, many=many):
            delivery = Delivery(binding.outbox, binding.topic)
            while not _handed(binding, made, delivery):
                time.sleep(ROOM)
            deliveries.append(delivery)
        for delivery in deliveries:
            delivery.result()
        return result

    return publish_blocking


def _made(bindings: Sequence[Binding], result: Any, *, many: bool) -> list[tuple[Binding, Made]]:
    return [(binding, binding.make(payload)) for payload in outputs(result, many=many) for binding in bindings]


def _handed(binding: Binding, made: Made, delivery: Delivery) -> bool:
    try:
        binding.hand(made, delivery)
    except BufferError:
        return False
    return True
