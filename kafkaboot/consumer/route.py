"""One handler, wired: all that the engine knows of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from kafkaboot.errors import Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kafkaboot.client import TP
    from kafkaboot.consumer.offsets import Assignment
    from kafkaboot.consumer.transacting import Transacting
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


class Around(Protocol):
    """What a handler's calls stand in: a transaction of a database (`sql` fulfils it).

    It stands inside of the handler's filter and circuit, and outside of its timeout: a timeout that hit a commit would
    leave open what became of it.
    """

    def single(self, call: Call) -> Call:
        """The call for single records, as it is to be made."""

    def batch(self, call: BatchCall) -> BatchCall:
        """The same for lists of records."""

    def current(self) -> Any:
        """What a handler's parameter of the kind `TRANSACTION` is filled with, during its call."""


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

    `delivered` is a `partial` whose first argument is what the call was made for: a `Chunk`, with the record's index as
    the second one, or a `BatchRun`. In a transaction nobody waits for deliveries: it is called at once, or never when
    the record's partition has gone meanwhile.
    """

    def forward(self, result: Any, delivered: Callable[[object | None, Any], None]) -> None:
        """Hand over what one call returned."""


def _at_once() -> bool:
    return True


class Failed(NamedTuple):
    """An attempt at a record that raised.

    Attributes:
        record: As it was polled.
        error: What was raised.
        attempt: Which attempt it was; 1 is the first, 0 that there was none yet (`Detour`).
        since: When the first attempt failed, in seconds since the epoch.
        first: Asks whether every earlier record of its key is settled; from any thread. One that is not may be on its
            way to the dead letters, or an output of it to its topic.
    """

    record: RawRecord
    error: BaseException
    attempt: int
    since: float
    first: Callable[[], bool] = _at_once


class Again(NamedTuple):
    """The record stays at the head of its lane and is tried again.

    Attributes:
        delay: Seconds until then.
        counts: Whether the failure was an attempt; it is none where the handler was not to be called at all.
    """

    delay: float
    counts: bool = True


class Settled(NamedTuple):
    """The record is settled as it is.

    Attributes:
        why: One word for the counters: `skipped`.
    """

    why: str


class Away(NamedTuple):
    """The record goes to another topic, and is settled once the broker has acknowledged it there.

    Attributes:
        send: Called once, on the thread that handled the record, with `settled` and `wanted`. It must not block. It
            calls `settled()` exactly once, on any thread, when the record is delivered, and tries for as long as
            `wanted()` answers yes: after a revoke the record is its next owner's.
        why: One word for the counters: `dead_lettered` or `retried_later`.
        fate: What becomes of it, for the log, for example "the record goes to the dead letters in orders.shop.dlt".
    """

    send: Callable[[Callable[[], None], Callable[[], bool]], None]
    why: str
    fate: str


class Halt(NamedTuple):
    """The group ends with the handler's error: the record is kept, and nothing behind it is handled."""


Verdict = Again | Settled | Away | Halt


class Detour(Signal):
    """Raised by a call in place of the handler: it is not to be called for this record now. That is no failure.

    Args:
        why: For whoever looks at the letter of a record that went elsewhere.
        verdict: What becomes of the record instead; must not block.
    """

    def __init__(self, why: str, verdict: Callable[[Failed], Verdict]) -> None:
        super().__init__(why)
        self.verdict = verdict


class Failing(Protocol):
    """What becomes of a record whose handler raised (`failure` fulfils it); any thread calls it."""

    def judge(self, failed: Failed) -> Verdict:
        """Decide; must not block."""


class Positions(Protocol):
    """Where partitions stand in something else than Kafka (`sql` fulfils it). On the poller's thread; may block."""

    def begin(self, assignments: Sequence[Assignment]) -> Mapping[TP, int]:
        """New assignments, before their first record: the offsets to begin at, which win over the group's."""

    def end(self, assignments: Sequence[Assignment]) -> None:
        """They are given back in order, and everything before their `position` is settled."""

    def forget(self, partitions: Sequence[TP]) -> None:
        """They are somebody else's already."""


@dataclass(slots=True)
class Counters:
    """What became of a handler's records in this process."""

    settled: int = 0
    """Handled and filtered; written by the handler's crew."""
    filtered: int = 0
    retried: int = 0
    failed: int = 0
    """Records whose last attempt raised: they are kept, their lane waits."""
    skipped: int = 0
    dead_lettered: int = 0
    retried_later: int = 0
    """Records that went to a retry topic."""

    def count(self, why: str) -> None:
        """A record was settled without being handled."""
        setattr(self, why, getattr(self, why) + 1)

    @property
    def handled(self) -> int:
        """Records that the handler took and did not fail on."""
        return self.settled - self.filtered - self.skipped - self.dead_lettered - self.retried_later


@dataclass(slots=True, eq=False)
class Route:
    """A handler as the engine runs it.

    Attributes:
        id: The handler's name.
        failing: What becomes of a record that it raises on.
        topics: Topics it takes; empty with a `pattern`.
        pattern: A regular expression over topic names.
        type: The event name it takes, or `None` for every type that no other handler of the topic takes.
        call: For single records; `None` for a batch handler.
        batch_call: For a batch handler; `None` otherwise.
        plain: The shorter way to the same as `call`, where there is one.
        batch: The largest batch, in records.
        is_async: Whether the calls answer coroutines.
        transactional: Whether outputs and offsets become visible together.
        transacting: Its group's transactions, where it is.
        stuck_after: Seconds in one call after which a handler is reported as stuck.
        deaths: After so many deaths of the process at one record, it is not handled again.
        paused: Whether an operator has paused it.
    """

    id: str
    failing: Failing
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
    transactional: bool = False
    transacting: Transacting | None = None
    stuck_after: float | None = None
    deaths: int = 3
    paused: bool = False
    where: str = ""
    counters: Counters = field(default_factory=Counters)
