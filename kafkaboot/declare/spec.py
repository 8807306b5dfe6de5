"""What the decorators say, as plain data: nothing here knows Kafka, a container or a loop."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from kafkaboot.declare.place import caller, frame_place
from kafkaboot.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kafkaboot.message import Record

Ordering = Literal["partition", "key", "unordered"]
Start = Literal["earliest", "latest"]
Exhausted = Literal["dead-letter", "skip", "stop"]
Class: TypeAlias = type[Any]
"""Inside a class with a field called `type`, the name `type` means that field."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """What becomes of a record whose handler raises. It is kept, and its lane waits between attempts.

    Attributes:
        initial: Seconds before the second attempt.
        max: The longest wait, in seconds.
        multiplier: How much longer each wait is than the one before; at least 1.
        jitter: Whether a wait is drawn at random between nothing and its full length.
        attempts: How often the handler is called for one record, the first call included.
        time_limit: Seconds after the first failure in which another attempt may begin; `None`: no limit.
        topics: Seconds that a record waits in each retry topic, after the attempts in its lane; none by default.
        keep_order: `"key"`: later records of a key follow the one that waits in a retry topic.
        fatal: Exceptions that no further attempt mends: classes, or their dotted names.
        retriable: Exceptions that are tried again though they would be fatal otherwise.
        deaths: After so many deaths of the process at one record, it is put aside without being handled.

    Raises:
        DeclarationError: At once: a number that no wait can be made of, or a class that is no exception.
    """

    initial: float = 0.2
    max: float = 30.0
    multiplier: float = 2.0
    jitter: bool = True
    attempts: int = 5
    time_limit: float | None = None
    topics: tuple[float, ...] = ()
    keep_order: Literal["key"] | None = None
    fatal: tuple[Class | str, ...] = ()
    retriable: tuple[Class | str, ...] = ()
    deaths: int = 3

    def __post_init__(self) -> None:
        for name, least in (("initial", 0.0), ("max", 0.0), ("multiplier", 1.0)):
            _number(name, getattr(self, name), least)
        for name in ("attempts", "deaths"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise _refused(
                    f"({name}={value!r}): it must be a whole number of at least 1",
                    "attempts=1 is one call and no second; retry=False says the same of a handler"
                    if name == "attempts"
                    else "leave it out for 3",
                )
        if self.time_limit is not None:
            _number("time_limit", self.time_limit, 0.0)
        for delay in self.topics:
            _number("topics", delay, 0.001)
        if list(self.topics) != sorted(set(self.topics)):
            raise _refused(
                f"(topics={self.topics!r}): each delay must be longer than the one before",
                "write them from the shortest to the longest, for example topics=(5, 60, 600)",
            )
        if self.keep_order not in {None, "key"}:
            raise _refused(
                f"(keep_order={self.keep_order!r}): it must be 'key', or left out",
                'keep_order="key" lets later records of a key follow the one that waits',
            )
        if self.keep_order is not None and not self.topics:
            raise _refused(
                "(keep_order='key') has no topics: in its lane a record keeps its order anyway",
                "leave keep_order out, or give topics=(5, 60)",
            )
        for name in ("fatal", "retriable"):
            for one in getattr(self, name):
                if not isinstance(one, str) and not (isinstance(one, type) and issubclass(one, BaseException)):
                    raise _refused(
                        f"({name}={one!r}): it is no exception",
                        f"give classes of exceptions, or their dotted names: {name}=(TimeoutError, 'shop.Busy')",
                    )


def _number(name: str, value: object, least: float) -> None:
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    if not numeric or not math.isfinite(value) or value < least:  # type: ignore[arg-type,operator]
        raise _refused(
            f"({name}={value!r}): it must be a number of at least {least:g}",
            f"give {name} in {'seconds' if name != 'multiplier' else 'times the wait before'}",
        )


def _refused(what: str, todo: str) -> DeclarationError:
    return DeclarationError(f"RetryPolicy{what}", where=frame_place(caller()), todo=todo)


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
        producer: The name of the producer; `None`: the application's own.
        where: File and line of `@publisher`.
    """

    topic: str
    key: str | Callable[[Any], Any] | None = None
    headers: Mapping[str, str | bytes] | Callable[[Any], Mapping[str, str | bytes]] | None = None
    partition: int | Callable[[Any], int] | None = None
    type: str | None = None
    where: str = ""
    producer: str | None = None


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
        on_exhausted: What becomes of a record after its last attempt.
        circuit: The name of the circuit through which it is called.
        transactional: Whether what it publishes and its offsets become visible together.
        filter: A predicate on the record; what it refuses is settled and counted.
        start: Where a new group begins.
        inbox: Whether it is called in a database's transaction: `True`, or the database's name.
        inbox_key: The header, or a function of the record, that says which records are repetitions.
        reply: Whether what it returns answers the record.
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
    on_exhausted: Exhausted = "dead-letter"
    circuit: str | None = None
    transactional: bool = False
    filter: Callable[[Record], bool] | None = None
    start: Start = "earliest"
    inbox: bool | str = False
    inbox_key: str | Callable[[Record], Any] | None = None
    reply: bool = False
    where: str = ""
    owner: Class | None = None
    publishers: tuple[PublisherSpec, ...] = ()
    given: frozenset[str] = frozenset()

    def takes(self, topic: str) -> bool:
        """Whether it reads that topic."""
        return topic in self.topics or (self.pattern is not None and re.match(self.pattern, topic) is not None)


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


@dataclass(frozen=True, slots=True)
class LetterListenerSpec:
    """A function that is told of dead letters.

    Attributes:
        function: What is called.
        where: File and line of `@on_dead_letter`.
    """

    function: Callable[..., Any]
    where: str
