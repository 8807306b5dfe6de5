"""Faults that a test orders: requests that are answered with an error, late, or not at all."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from types import UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin

from kio.schema.errors import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TOPIC_RESOURCE = 2
_NAMES = ("name", "topic", "topic_id", "partition", "partition_index", "index", "group_id", "member_id", "key")
_NAMED = frozenset({*_NAMES, "resource_type", "resource_name", "group_instance_id", "transactional_id"})
"""Fields of a response that repeat what was asked for."""


class Dropped(Exception):  # noqa: N818 - it was ordered
    """The connection is closed instead of an answer."""


class UnknownFaultError(Exception):
    """What was ordered is no fault."""


@dataclass
class Fault:
    """One order.

    Attributes:
        api: kio's name of the request: `produce`, `offset_commit`; `any` for each.
        error: Kafka's name of the error that is answered, nothing done: `NOT_LEADER_OR_FOLLOWER`.
        delay: Seconds before the request is begun.
        drop: Close the connection instead of an answer.
        applied: Of `drop`: do what was asked before, so that only the answer is lost.
        times: Of how many requests; `None` for all until the faults are cleared.
        topic: Only where this topic is asked for; an error is answered for it alone.
        client_id: Only of this client.
    """

    api: str
    error: str | None = None
    delay: float = 0.0
    drop: bool = False
    applied: bool = False
    times: int | None = 1
    topic: str | None = None
    client_id: str | None = None

    @property
    def code(self) -> ErrorCode:
        """The error as the protocol's number."""
        assert self.error is not None
        return ErrorCode[self.error.lower()]


class Faults:
    """Those that are ordered, the oldest first."""

    def __init__(self) -> None:
        self._ordered: list[Fault] = []

    def __len__(self) -> int:
        return len(self._ordered)

    def order(self, fault: Fault, known: set[str]) -> None:
        """Add one.

        Raises:
            UnknownFaultError: No such request is answered, or there is no such error.
        """
        if fault.api != "any" and fault.api not in known:
            raise UnknownFaultError(f"there is no request {fault.api!r}; there are: any, {', '.join(sorted(known))}")
        if fault.error is not None and fault.error.lower() not in ErrorCode.__members__:
            raise UnknownFaultError(f"Kafka has no error {fault.error!r}")
        self._ordered.append(fault)

    def clear(self) -> None:
        """Forget all of them."""
        self._ordered.clear()

    def take(self, api: str, client_id: str, request: Any) -> Fault | None:
        """The one that meets this request, counted down."""
        for fault in self._ordered:
            if (
                fault.api in {api, "any"}
                and fault.client_id in {None, client_id}
                and (fault.topic is None or fault.topic in set(topics_in(request)))
            ):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._ordered.remove(fault)
                return fault
        return None


async def befall(fault: Fault, answer: Callable[[Any], Any], api: str, request: Any, response: Any) -> Any:
    """What becomes of a request; `answer` does what it asks for.

    Raises:
        Dropped: No answer is to be given, and the connection closed.
    """
    if fault.delay:
        await asyncio.sleep(fault.delay)
    if fault.drop:
        if fault.applied:
            await _done(answer(request))
        raise Dropped(f"{api} is dropped by order of a test{', its work done' if fault.applied else ''}")
    if fault.error is None:
        return await _done(answer(request))
    if api == "produce" and not request.acks:
        raise Dropped("produce without acknowledgement fails by order of a test")  # as Kafka tells such a producer
    if api == "metadata":
        real = await _done(answer(request))
        if fault.code is ErrorCode.broker_not_available:
            return replace(real, brokers=(), controller_id=-1, topics=tuple(map(_leaderless, real.topics)))
        topics = (
            replace(one, error_code=fault.code) if fault.topic in {None, one.name} else one for one in real.topics
        )
        return replace(real, topics=tuple(topics))
    return await _failed(fault, answer, api, request, response)


def _leaderless(topic: Any) -> Any:
    """A topic whose brokers are all down, in the answer of one that is about to stop."""
    error = ErrorCode.leader_not_available
    gone = (replace(one, error_code=error, leader_id=-1, isr_nodes=()) for one in topic.partitions)
    return replace(topic, partitions=tuple(gone))


async def _failed(fault: Fault, answer: Callable[[Any], Any], api: str, request: Any, response: Any) -> Any:
    kind = getattr(response, "".join(part.title() for part in api.split("_")) + "Response")
    asked = _asked(request, "")
    spared: tuple[Any, ...] = ()
    if fault.topic is not None and asked is not None:
        spared = tuple(one for one in getattr(request, asked) if fault.topic not in set(_named(one)))
    if not spared or asked is None:
        return _mirrored(kind, request, fault.code)
    met = tuple(one for one in getattr(request, asked) if one not in spared)
    failed = _mirrored(kind, replace(request, **{asked: met}), fault.code)
    real = await _done(answer(replace(request, **{asked: spared})))
    parts = {one.name: getattr(real, one.name) + getattr(failed, one.name) for one in fields(kind) if _tells(one.type)}
    return replace(real, **parts)


async def _done(answer: Any) -> Any:
    return await answer if inspect.isawaitable(answer) else answer


def topics_in(request: Any) -> Iterator[str]:
    """The names of the topics that a request asks for."""
    for field in fields(request):
        value = getattr(request, field.name)
        if isinstance(value, tuple):
            for item in value:
                if is_dataclass(item):
                    yield from (_named(item) if "topic" in field.name or field.name == "resources" else topics_in(item))
                elif "topic" in field.name and isinstance(item, str):
                    yield item


def _named(item: Any) -> Iterator[str]:
    if isinstance(item, str):
        yield item
        return
    name = getattr(item, "name", None) or getattr(item, "topic", None)
    if getattr(item, "resource_type", None) == _TOPIC_RESOURCE:
        name = item.resource_name
    if isinstance(name, str):
        yield name
    else:
        yield from topics_in(item)


def _mirrored(kind: Any, asked: Any, code: ErrorCode) -> Any:
    """A response that has the error at every single thing that was asked for, or else at its top."""
    given: dict[str, Any] = {}
    inner = False
    for field in fields(kind):
        element = _element(field.type)
        if element is not None and _tells(field.type):
            source = _asked(asked, field.name)
            items = getattr(asked, source) if source is not None else ()
            given[field.name] = tuple(_mirrored(element, item, code) for item in items)
            inner = inner or bool(items)
    for field in fields(kind):
        if field.name not in given:
            given[field.name] = _value(field, asked, ErrorCode.none if inner else code)
    return kind(**given)


def _value(field: Any, asked: Any, code: ErrorCode) -> Any:
    if field.type is ErrorCode:
        return code
    if field.name in _NAMED:
        if not is_dataclass(asked):
            return asked
        for name in (field.name, "partition" if field.name == "partition_index" else "index"):
            if hasattr(asked, name):
                return getattr(asked, name)
    if field.default is not MISSING:
        return field.default
    return _nothing(field.type, field.metadata.get("kafka_type"))


def _nothing(type_: Any, kind: str | None) -> Any:
    if get_origin(type_) is UnionType:
        return None
    if get_origin(type_) is tuple:
        return ()
    if is_dataclass(type_):
        return type_(**{one.name: _nothing(one.type, one.metadata.get("kafka_type")) for one in fields(type_)})  # type: ignore[operator]
    if kind == "string":
        return ""
    if kind in {"bytes", "records"}:
        return b""
    if kind is not None and kind.startswith("timedelta"):
        return timedelta()
    if kind is not None and kind.startswith("datetime"):
        return datetime.fromtimestamp(0, UTC)
    return False if kind == "bool" else -1


def _asked(request: Any, name: str) -> str | None:
    """The field of a request that a response's list answers to: of the same name, else the first list in it."""
    lists = (
        [one.name for one in fields(request) if isinstance(getattr(request, one.name), tuple)]
        if is_dataclass(request)
        else []
    )
    if name in lists:
        return name
    return next((one for one in lists if getattr(request, one)), None)


def _element(type_: Any) -> Any:
    """The class of a list's elements, if they are entities."""
    if get_origin(type_) is UnionType:
        type_ = next(one for one in get_args(type_) if one is not type(None))
    if get_origin(type_) is not tuple:
        return None
    inner = get_args(type_)[0]
    return inner if is_dataclass(inner) else None


def _tells(type_: Any) -> bool:
    """Whether a list's elements can say that something failed."""
    element = _element(type_)
    return element is not None and any(one.type is ErrorCode or _tells(one.type) for one in fields(element))
