"""Many records at once: one counter and three arrays for all of them, nothing that the garbage collector would follow.

A client's callback is told only `(error, record)`, so each record of a batch needs a callback that knows its place. An
`int` with a `__call__` is the cheapest there is: unlike a partial or a bound method it is no container, so a hundred
thousand of them in flight start no garbage collection.
"""

from __future__ import annotations

import itertools
from array import array
from time import monotonic
from typing import TYPE_CHECKING, Any

from kafkaboot.errors import BatchPublishError, PublishError
from kafkaboot.message import carried
from kafkaboot.message.headers import CE_ID
from kafkaboot.producer.envelope import explained
from kafkaboot.producer.key import key_bytes, key_getter, missing_field
from kafkaboot.producer.receipt import Receipts
from kafkaboot.producer.undelivered import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kafkaboot.message import RawRecord
    from kafkaboot.producer.envelope import Envelope, GivenHeaders, Plan
    from kafkaboot.producer.outbox import Outbox

STRIDE = 128
"""Records that share one look at the clock."""


class Ledger:
    """What became of the records of one batch. It is used again for another batch when all is known of this one.

    `place(i)` is the callback of the record `i`. Its class is made once a ledger: a class costs as much as ten records.
    """

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.place: Callable[[int], Callable[[object | None, RawRecord], None]] = _places(self)
        self.open("", 0)

    def open(self, topic: str, count: int) -> None:
        """Begin a batch of `count` records."""
        self.topic = topic
        self.offsets = array("q", [-1]) * count
        self.timestamps = array("q", [-1]) * count
        self.partitions = array("i", [-1]) * count
        self.failed: list[tuple[int, PublishError]] = []
        self.count = count
        # One C call, so that two threads which settle records at the same moment cannot count the same number.
        self.tick = itertools.count(1).__next__
        self.complete = not count
        self.finished: Callable[[], None] | None = None

    def fail(self, index: int, error: PublishError) -> None:
        """The record will not be delivered."""
        self.failed.append((index, error))
        if self.tick() == self.count:
            self.close()

    def close(self) -> None:
        """All is known. Whoever waits sets `finished` first and looks at `complete` afterwards."""
        if not self.failed:
            self.outbox.succeeded()
        self.complete = True
        if self.finished is not None:
            self.finished()

    def abandon(self, error: PublishError) -> None:
        """Whoever waits learns that of the records of which nothing is known nothing will be."""
        if not self.complete:
            known = {index for index, _ in self.failed}
            unknown = (i for i, offset in enumerate(self.offsets) if offset < 0 and i not in known)
            self.failed += [(index, error) for index in unknown]
            self.close()

    def receipts(self) -> Receipts:
        """All receipts.

        Raises:
            BatchPublishError: Some have none.
        """
        receipts = Receipts(self.topic, self.partitions, self.offsets, self.timestamps)
        if not self.failed:
            return receipts
        self.failed.sort(key=lambda failure: failure[0])
        causes = dict.fromkeys(str(error) for _, error in self.failed)
        shown = "\n  ".join(list(causes)[:3])
        more = f"\n  and {len(causes) - 3} other causes" if len(causes) > 3 else ""
        lost = {index for index, _ in self.failed}
        raise BatchPublishError(
            f"{self.topic}: {len(self.failed)} of {len(receipts)} records were not delivered: {shown}{more}",
            failed=[*self.failed],
            receipts=[None if i in lost else receipts[i] for i in range(len(receipts))],
        )


def _places(ledger: Ledger) -> Any:
    class Place(int):
        __slots__ = ()

        def __call__(self, error: object | None, record: RawRecord) -> None:
            if error is not None:
                ledger.fail(int(self), ledger.outbox.failure(error, ledger.topic, record))
                return
            ledger.offsets[self] = record.offset()
            ledger.partitions[self] = record.partition()
            ledger.timestamps[self] = record.timestamp()[1]
            if ledger.tick() == ledger.count:
                ledger.close()

    return Place


class Batch:
    """The way of a batch into the client's buffer, in stretches, so that others get their turn."""

    def __init__(
        self,
        ledger: Ledger,
        envelope: Envelope,
        payloads: Sequence[Any],
        key: str | Callable[[Any], Any] | None,
        headers: GivenHeaders | None,
    ) -> None:
        self.ledger, self._envelope, self._payloads = ledger, envelope, payloads
        self._key, self._headers = key, headers
        self._turns: dict[type, tuple[Plan, Callable[[Any], Any] | None]] = {}
        self._at = 0

    def __len__(self) -> int:
        return len(self._payloads)

    @property
    def handed_over(self) -> bool:
        """Whether the client has everything."""
        return self._at == len(self._payloads)

    def push(self, until: float) -> bool:
        """Hand records over until the monotonic time `until`; answers whether there was room for all of them."""
        count = len(self._payloads)
        while self._at < count:
            if not self._stride(self._at, min(self._at + STRIDE, count)):
                return False
            if monotonic() > until:
                break
        return True

    def _stride(self, start: int, stop: int) -> bool:
        ledger, envelope, payloads = self.ledger, self._envelope, self._payloads
        produce, place, topic = ledger.outbox.port.produce, ledger.place, ledger.topic
        prefix, next_id, stamp, ids = envelope.prefix, envelope.next_id, envelope.stamp(), carried()
        kind: Any = None
        plan: Any = None
        pick: Any = None
        for i in range(start, stop):
            payload = payloads[i]
            try:
                if payload.__class__ is not kind:
                    kind = payload.__class__
                    plan, pick = self._turn_to(kind)
                    encode, quick = plan.encode, plan.fresh and plan.late is None
                    if quick:
                        headers = plan.fixed.copy()
                        headers[1] = stamp
                        if ids is not None and plan.carries:
                            headers += ids
                value = encode(payload)
                key = None
                if pick is not None:
                    key = pick(payload)
                    key = key.encode() if key.__class__ is str else key_bytes(key)
                if quick:
                    headers[0] = (CE_ID, b"%b%d" % (prefix, next_id()))
                else:
                    headers = envelope.headers(plan)
                produce(topic, value, key, headers, -1, place(i))
            except BufferError:
                self._at = i
                return False
            except Exception as error:
                ledger.fail(i, self._explained(error, payload))
        self._at = stop
        return True

    def _turn_to(self, kind: type) -> tuple[Plan, Callable[[Any], Any] | None]:
        known = self._turns.get(kind)
        if known is None:
            plan = self._envelope.plan(kind, given=self._headers) if self._headers else self._envelope.plans[kind]
            known = self._turns[kind] = (plan, key_getter(self._key, kind))
        return known

    def _explained(self, error: Exception, payload: Any) -> PublishError:
        if isinstance(error, KeyError | AttributeError) and isinstance(self._key, str):
            error = missing_field(self._key, type(payload))
        return refused(explained(error, payload), self.ledger.topic)
