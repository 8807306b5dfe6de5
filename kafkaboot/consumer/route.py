"""One handler, wired: all that the engine knows of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kafkaboot.consumer.backoff import Backoff
    from kafkaboot.message import RawRecord

Ordering = Literal["partition", "key", "unordered"]


class Call(Protocol):
    """The user's function with its arguments filled from a raw record.

    For an `async def` handler the answer is a coroutine; for a `def` handler it is what the function returned.
    """

    def __call__(self, raw: RawRecord, attempt: int = 1) -> Any:
        """`attempt` is 1 for the first."""


class BatchCall(Protocol):
    """The same for a handler that takes a list."""

    def __call__(self, raws: Sequence[RawRecord], attempt: int = 1) -> Any:
        """`attempt` counts for the first record."""


class Plain(NamedTuple):
    """A handler that takes its payload and nothing else of the record: the crew calls it without a frame between.

    A failure of `decode` is told from one of `function` afterwards, by decoding once more.
    """

    function: Callable[[Any], Any]
    decode: Callable[[bytes | None], Any]
    annotation: Any


class Forwarding(Protocol):
    """Where a handler's returned values go (`producer.forward` fulfils it).

    `forward` hands over everything that one call returned. `delivered(error, _)` is called exactly once, on any
    thread, when all of it is delivered (`error` is None) or something is not. It raises `BufferError` when there is
    no room, with nothing handed over.
    """

    def forward(self, result: Any, delivered: Callable[[object | None, Any], None]) -> None:
        """Hand over what one call returned."""


@dataclass(slots=True)
class Counters:
    """What became of a handler's records in this process."""

    settled: int = 0
    """Handled and filtered; written by the handler's crew."""
    filtered: int = 0
    retried: int = 0
    failed: int = 0
    """Records whose last attempt raised: they are kept, their lane waits."""

    @property
    def handled(self) -> int:
        """Records that the handler took and did not fail on."""
        return self.settled - self.filtered


@dataclass(slots=True, eq=False)
class Route:
    """A handler as the engine runs it.

    Attributes:
        id: The handler's name.
        topics: Topics it takes; empty with a `pattern`.
        pattern: A regular expression over topic names.
        type: The event name it takes, or `None` for every type that no other handler of the topic takes.
        call: For single records; `None` for a batch handler.
        batch_call: For a batch handler; `None` otherwise.
        plain: The shorter way to the same as `call`, where there is one.
        batch: The largest batch, in records.
        is_async: Whether the calls answer coroutines.
        stuck_after: Seconds in one call after which a handler is reported as stuck.
    """

    id: str
    backoff: Backoff
    topics: tuple[str, ...] = ()
    pattern: str | None = None
    type: str | None = None
    ordering: Ordering = "partition"
    concurrency: int = 8
    start: Literal["earliest", "latest"] = "earliest"
    is_async: bool = True
    call: Call | None = None
    batch_call: BatchCall | None = None
    plain: Plain | None = None
    batch: int = 500
    forwarding: Forwarding | None = None
    stuck_after: float | None = None
    where: str = ""
    counters: Counters = field(default_factory=Counters)
