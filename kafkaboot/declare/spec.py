"""What the decorators say, as plain data: nothing here knows Kafka, a container or a loop."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from kafkaboot.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kafkaboot.message import Record

Ordering = Literal["partition", "key", "unordered"]
Start = Literal["earliest", "latest"]
Class: TypeAlias = type[Any]
"""Inside a class with a field called `type`, the name `type` means that field."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The back-off between the attempts of a handler that raises. The record is kept, and its lane waits.

    Attributes:
        initial: Seconds before the second attempt.
        max: The longest wait, in seconds.
        multiplier: How much longer each wait is than the one before; at least 1.
        jitter: Whether a wait is drawn at random between nothing and its full length.

    Raises:
        DeclarationError: A number that no wait can be made of.
    """

    initial: float = 0.2
    max: float = 30.0
    multiplier: float = 2.0
    jitter: bool = True

    def __post_init__(self) -> None:
        for name, least in (("initial", 0.0), ("max", 0.0), ("multiplier", 1.0)):
            value = getattr(self, name)
            numeric = isinstance(value, int | float) and not isinstance(value, bool)
            if not numeric or not math.isfinite(value) or value < least:
                raise DeclarationError(
                    f"RetryPolicy({name}={value!r}): it must be a number of at least {least:g}",
                    todo=f"give {name} in {'seconds' if name != 'multiplier' else 'times the wait before'}",
                )


@dataclass(frozen=True, slots=True)
class EventSpec:
    """A payload's stable name on the wire.

    Attributes:
        name: The logical name, for example `order.placed`; never a Python path.
        payload: The class that carries it.
        version: Its schema's version, from 1.
        where: File and line of `@event`.
    """

    name: str
    payload: type
    version: int = 1
    where: str = ""


@dataclass(frozen=True, slots=True)
class PublisherSpec:
    """Where a returned value goes.

    Attributes:
        topic: The topic; `${placeholders}` allowed.
        key: The payload's field, or a callable that gets the payload and answers the key.
        headers: Headers, or a callable that gets the payload and answers them.
        partition: The partition, or a callable that gets the payload and answers it; `None`: by the key.
        type: The event name to write instead of the payload's own.
        where: File and line of `@publisher`.
    """

    topic: str
    key: str | Callable[[Any], Any] | None = None
    headers: Mapping[str, str | bytes] | Callable[[Any], Mapping[str, str | bytes]] | None = None
    partition: int | Callable[[Any], int] | None = None
    type: str | None = None
    where: str = ""


@dataclass(frozen=True, slots=True)
class HandlerSpec:
    """A handler as it was declared. YAML may say otherwise; `given` tells what was written in code.

    Attributes:
        function: What is called: a module's function, or a class's function where `owner` is set.
        id: Its name in YAML, metrics, logs and the command line.
        topics: The topics it takes; empty with a `pattern`.
        pattern: A regular expression over topic names.
        type: The event name it takes; `None` leaves that to the payload.
        group: The consumer group; `None` is the application's name.
        batch: `True` or a size for a batch handler, `False` for none, `None` leaves that to the payload.
        ordering: What is handled one after the other.
        concurrency: Lanes of this handler that may run at once.
        timeout: Seconds that one call may take.
        retry: A policy's name, a policy, or `False`.
        filter: A predicate on the record; what it refuses is settled and counted.
        start: Where a new group begins.
        where: File and line of `@event_handler`.
        owner: The component's class, where the function is its method.
        publishers: What becomes of the returned value, in the order in which the decorators stand.
        given: The names of the options that were written in code.
    """

    function: Callable[..., Any]
    id: str
    topics: tuple[str, ...] = ()
    pattern: str | None = None
    type: str | None = None
    group: str | None = None
    batch: bool | int | None = None
    ordering: Ordering = "partition"
    concurrency: int = 8
    timeout: float | None = None
    retry: str | RetryPolicy | Literal[False] = "default"
    filter: Callable[[Record], bool] | None = None
    start: Start = "earliest"
    where: str = ""
    owner: Class | None = None
    publishers: tuple[PublisherSpec, ...] = ()
    given: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ComponentSpec:
    """Something that is built once and injected by type.

    Attributes:
        factory: The class, or the function that builds it.
        provides: The type that it is known by.
        where: File and line of `@component`.
        name: Its name, for `Annotated[T, Named("...")]`.
        primary: Whether it wins where several fit.
    """

    factory: Callable[..., Any]
    provides: Any
    where: str
    name: str
    primary: bool = False


@dataclass(frozen=True, slots=True)
class SettingsSpec:
    """A section of the application's own configuration.

    Attributes:
        prefix: The section, for example `shop.billing`.
        model: The pydantic model that it is bound to.
        where: File and line of `@settings`.
    """

    prefix: str
    model: type
    where: str
