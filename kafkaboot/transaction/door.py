"""The way into a group's open transaction: one lock, under which a record's outputs and its settling are one.

While a transaction is being committed, what comes belongs to the next one and is kept until that has begun. So handlers
go on, and nobody waits for a commit but the outputs.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from kafkaboot.consumer.turnstile import Turnstile
from kafkaboot.errors import ClientError
from kafkaboot.producer import FELL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kafkaboot.client import TransactionalPort
    from kafkaboot.clock import Clock
    from kafkaboot.consumer.lanes import Lane
    from kafkaboot.consumer.offsets import Assignment, Chunk
    from kafkaboot.message import Headers, RawRecord

    Kept = tuple[str, bytes | None, bytes | None, "Headers | None", int, "OnDelivery | None", int]
    OnDelivery = Callable[[object | None, RawRecord], None]

MANY = 256
"""Records that are handed over in one go while everybody else waits."""
ROOM = 0.002
"""Seconds that a full client is given."""
FAR = 2
"""How many times `max-records` may be published in one transaction, when the poller is late."""


class Sealed(NamedTuple):
    """A transaction into which nothing more comes.

    Attributes:
        records: How many were published in it.
        since: When the first of them came, on the monotonic clock.
        rest: Those that the client had no room for.
        answers: What is to be called when it is committed.
    """

    records: int
    since: float
    rest: Sequence[Kept]
    answers: Sequence[Callable[[], None]]


class Door:
    """See the module. It is a `ProducerPort`, whose records are delivered when the transaction ends.

    Attributes:
        lock: Held while a record's outputs go in and it is settled, and while it is looked at what is settled.
        count: Records in the transaction that is open, or kept for the next one.
        since: When the first of them came, on the monotonic clock.
        tainted: Why the transaction must be aborted.
        touched: Partitions whose records have published something themselves.
        port: The client.
        ended: Whether the group has ended, and nothing comes in any more.
    """

    def __init__(self, most: int, clock: Clock) -> None:
        self.lock = Turnstile(reentrant=True)
        self.port: TransactionalPort | None = None
        self.ended = False
        self._most, self._now = most * FAR, clock.monotonic
        self._state: Literal["closed", "open", "sealed"] = "closed"
        self._kept: deque[Kept] = deque()
        self._inside: dict[tuple[Assignment, int], tuple[Lane | None, Chunk, int]] = {}
        self._begin()

    def _begin(self) -> None:
        self.count, self.since = 0, 0.0
        self.tainted: str | None = None
        self._inside.clear()
        self._answers: list[Callable[[], None]] = []

    # --- what comes in

    def takes(self) -> bool:
        """Whether one more record's outputs may come in; under the lock."""
        return self._state != "closed" and self.count < self._most and self.tainted is None

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        headers: Headers | None,
        partition: int,
        on_delivery: OnDelivery | None,
        timestamp: int = 0,
    ) -> None:
        """See `ProducerPort`. What a full client has no room for waits here: a record's outputs stay together.

        Raises:
            BufferError: No transaction is open.
            ClientError: The client refuses this record.
        """
        with self.lock:
            if self._state == "closed":
                raise BufferError("no transaction is open")
            if not self.count:
                self.since = self._now()
            self.count += 1
            if self._state == "open" and not self._kept:
                assert self.port is not None
                try:
                    self.port.produce(topic, value, key, headers, partition, on_delivery, timestamp)
                    return
                except BufferError:
                    pass
                except ClientError as error:
                    if self._refused(error):
                        raise
            self._kept.append((topic, value, key, headers and list(headers), partition, on_delivery, timestamp))

    def publish(self, lane: Lane | None, *record: Any) -> None:
        """What a handler publishes itself: remembered, so that the transaction waits for the handler, or falls with it.

        Raises:
            ClientError: The handler's record is somebody else's by now, or none any more.
        """
        with self.lock:
            if lane is None or not lane.pieces or (at := lane.begun()) < 0:
                raise ClientError(
                    "the handler whose transaction this belongs to has come back",
                    code="_STATE",
                    fate="the record was not sent",
                    todo="await all that a transactional handler publishes before it returns",
                )
            chunk = lane.pieces[0][0]
            if chunk.assignment.over or self.ended:
                raise ClientError(
                    "the transaction that this belongs to was aborted",
                    code="_STATE",
                    fate="the record was not sent; the one that is being handled will be handled again",
                )
            topic, value, key, headers, partition, on_delivery, timestamp = record
            told = on_delivery and partial(self._told, on_delivery)
            self.produce(topic, value, key, headers, partition, told, timestamp)
            self.note(lane, chunk, at)

    def _told(self, on_delivery: OnDelivery, error: object | None, record: RawRecord) -> None:
        """What falls with its transaction is published again when its handler is called again: nothing went wrong."""
        if error is not None and (found := self.translate(error)).code.startswith("_PURGE"):
            error = ClientError("it fell with its transaction", code=FELL, where=found.where)
        on_delivery(error, record)

    def note(self, lane: Lane | None, chunk: Chunk, i: int) -> None:
        """Something was published for this record, which is not settled; under the lock."""
        self._inside[chunk.assignment, chunk.records[i].offset()] = lane, chunk, i

    def on_commit(self, answer: Callable[[], None]) -> None:
        """Call this when the transaction is committed, on the poller's thread."""
        self._answers.append(answer)

    # --- who is in it

    def stained(self, assignment: Assignment, record: RawRecord) -> bool:
        """Whether this record has published something itself; from any thread."""
        with self.lock:
            return (assignment, record.offset()) in self._inside

    def at_work(self) -> list[tuple[Lane, Chunk, int]]:
        """Records that have published something and whose handlers have not come back; under the lock."""
        return [
            (lane, chunk, i)
            for lane, chunk, i in self._inside.values()
            if lane is not None and not chunk.done[i] and _is_at(lane, chunk, i)
        ]

    def touched(self, assignment: Assignment) -> bool:
        """Whether a record of the partition has published something itself; under the lock."""
        return any(of is assignment for of, _ in self._inside)

    @property
    def is_open(self) -> bool:
        """Whether a transaction has begun and nothing of it is being committed."""
        return self._state == "open"

    @property
    def is_full(self) -> bool:
        """Whether the client has no room for what is in the transaction."""
        return self._state == "open" and bool(self._kept)

    # --- its beginning and end

    def open(self, port: TransactionalPort, until: float) -> None:
        """A transaction has begun: hand over what was kept for it; on the thread that ends transactions."""
        with self.lock:
            self.port, self._state = port, "open"
        self.hand_over(self._kept, until)

    def hand_over(self, kept: deque[Kept], until: float) -> None:
        """Give the client what waits for it, in order; what is left at `until` stays."""
        while kept and self.tainted is None:
            assert self.port is not None
            try:
                with self.lock:
                    for _ in range(MANY):
                        if not kept:
                            break
                        self.port.produce(*kept[0])
                        kept.popleft()
            except BufferError:
                if self._now() > until:
                    return
                self.port.serve(ROOM)
            except ClientError as error:
                if self._refused(error):
                    self.tainted = error.line  # its record is settled already
                    if (told := kept[0][5]) is not None:
                        told(error, None)  # type: ignore[arg-type]
                return

    def seal(self) -> Sealed:
        """Let nothing more in; under the lock, in which it was found out what is settled."""
        sealed = Sealed(self.count, self.since, self._kept, self._answers)
        self._kept, self._state = deque(), "sealed"
        self._begin()
        return sealed

    def shut(self) -> None:
        """The transaction falls, with what was kept for the next one. Who waits for a delivery is answered."""
        with self.lock:
            self._state = "closed"
            kept, self._kept = self._kept, deque()
            self._begin()
        answer(kept)

    def _refused(self, error: ClientError) -> bool:
        """Whether the client refuses this record; else it is the transaction that is broken."""
        broken = error.fatal or error.code == "_STATE" or (self.port is not None and self.port.lost is not None)
        if broken:
            self.tainted = error.line
        return not broken

    # --- the rest of a `ProducerPort`

    @property
    def lost(self) -> ClientError | None:
        """See `ProducerPort`."""
        return None

    def serve(self, timeout: float) -> None:
        """See `ProducerPort`."""
        if self.port is not None:
            self.port.serve(timeout)

    def hurry(self) -> None:
        """See `ProducerPort`."""
        if self.port is not None:
            self.port.hurry()

    def translate(self, error: object) -> ClientError:
        """See `ProducerPort`."""
        if isinstance(error, ClientError) or self.port is None:
            return error if isinstance(error, ClientError) else ClientError(str(error))
        return self.port.translate(error)

    def flush(self, timeout: float) -> int:  # noqa: ARG002 - the commit waits for everything
        """See `ProducerPort`."""
        return 0

    def close(self, timeout: float) -> int:  # noqa: ARG002 - whoever owns the client closes it
        """See `ProducerPort`."""
        return 0


def answer(kept: Sequence[Kept]) -> None:
    """Whoever waits for these learns that they will not be delivered."""
    error = ClientError("its transaction was aborted before it was sent", code="_PURGE_QUEUE")
    for *_, on_delivery, _ in kept:
        if on_delivery is not None:
            on_delivery(error, None)  # type: ignore[arg-type]


def _is_at(lane: Lane, chunk: Chunk, i: int) -> bool:
    try:
        return lane.pieces[0][0] is chunk and lane.begun() == i
    except IndexError:
        return False
