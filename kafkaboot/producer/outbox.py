"""What all ways of publishing share: the client, the envelope, the count of failures, and who is to be woken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafkaboot.client import ServesBursts
from kafkaboot.producer.batch import Batch, Ledger
from kafkaboot.producer.delivery import FELL, Delivery, Hop
from kafkaboot.producer.envelope import Envelope, explained
from kafkaboot.producer.key import key_bytes
from kafkaboot.producer.undelivered import closed, refused, undelivered

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Sequence

    from kafkaboot.client import ProducerPort
    from kafkaboot.errors import PublishError
    from kafkaboot.message import Headers, RawRecord
    from kafkaboot.producer.envelope import EnvelopeKind, GivenHeaders
    from kafkaboot.producer.key import Key
    from kafkaboot.producer.receipt import Receipt

    Report = Callable[[object | None, RawRecord], None]

ROOM = 0.002
"""Seconds between two looks at a full buffer."""
TURN = 0.005
"""Seconds that a batch may keep the event loop before others get their turn."""


class Outbox:
    """A producer's inside.

    Attributes:
        failed: Records that were not delivered.
        trouble: The last failed delivery, unless one has succeeded since.
        closed: Whether everything is refused from now on.
        refuse_inside: Raises where no transaction may begin, as the caller is inside of one.
        watch: Told of each failed delivery by who answers for all of them; nobody else is told then.
    """

    def __init__(self, port: ProducerPort, envelope: EnvelopeKind, source: str) -> None:
        self.port = port
        self.envelope = Envelope(envelope, source)
        self.failed = 0
        self.trouble: PublishError | None = None
        self.closed = False
        self.refuse_inside: Callable[[], None] = lambda: None
        self.watch: Callable[[PublishError, RawRecord | None], None] | None = None
        self._hops: tuple[Hop, ...] = ()
        self._ledgers: list[Ledger] = []
        self._bursts = isinstance(port, ServesBursts)
        if isinstance(port, ServesBursts):
            port.after_burst(self.burst_over)

    def hop(self, loop: asyncio.AbstractEventLoop) -> Hop:
        """The way to that loop."""
        for hop in self._hops:
            if hop.loop is loop:
                return hop
        hop = Hop(loop, at_once=not self._bursts)
        # A new tuple each time: the thread of delivery reports may be walking through the old one.
        self._hops = (*(known for known in self._hops if not known.loop.is_closed()), hop)
        return hop

    def burst_over(self) -> None:
        """Wake whoever has been answered since the last time."""
        for hop in self._hops:
            hop.depart()

    def failure(self, error: object, topic: str, record: RawRecord | None) -> PublishError:
        """Count a failed delivery and put it into words."""
        found = undelivered(self.port, error, topic)
        if found.code == FELL:
            return found
        self.failed += 1
        self.trouble = found
        if self.watch is not None:
            self.watch(found, record)
        return found

    def succeeded(self) -> None:
        """The last trouble is over."""
        self.trouble = None

    def record(
        self,
        topic: str,
        payload: Any,
        key: Key,
        headers: GivenHeaders | None,
        partition: int | None,
        timestamp: int | None,
        report: Report | None = None,
    ) -> Handover:
        """A record that is made and not yet handed over; `report` is called with what became of it."""
        try:
            plan = self.envelope.plans[payload.__class__]
            value, key_value = plan.encode(payload), key_bytes(key)
            all_headers = self.envelope.headers(plan, headers)
        except Exception as error:
            raise refused(explained(error, payload), topic) from error
        place = -1 if partition is None else partition
        return Handover(self, topic, (value, key_value, all_headers, place), timestamp or 0, report)

    def batch(
        self,
        topic: str,
        payloads: Iterable[Any],
        key: str | Callable[[Any], Any] | None,
        headers: GivenHeaders | None,
    ) -> Batch:
        """A batch of which nothing is handed over."""
        if self.closed:
            raise closed(topic)
        if not isinstance(payloads, list | tuple):
            payloads = list(payloads)
        ledger = self._ledgers.pop() if self._ledgers else Ledger(self)
        ledger.open(topic, len(payloads))
        return Batch(ledger, self.envelope, payloads, key, headers)

    def finish(self, batch: Batch) -> Sequence[Receipt]:
        """The receipts of a batch of which all is known; only then may its ledger serve another one.

        Raises:
            BatchPublishError: Some records have none.
        """
        try:
            return batch.ledger.receipts()
        finally:
            self._ledgers.append(batch.ledger)


class Handover:
    """A record waiting for room in the client's buffer."""

    def __init__(
        self,
        outbox: Outbox,
        topic: str,
        made: tuple[bytes | None, bytes | None, Headers | None, int],
        timestamp: int,
        report: Report | None = None,
    ) -> None:
        self.delivery = Delivery(outbox, topic)
        self._report = report or self.delivery
        self.topic = topic
        self._outbox, self._made, self._timestamp = outbox, made, timestamp

    def again(self) -> Handover:
        """The very same record, to be handed over once more."""
        return Handover(self._outbox, self.topic, self._made, self._timestamp)

    def done(self) -> bool:
        """Try to hand over; answers whether there was room.

        Raises:
            PublishError: The record is refused.
        """
        if self._outbox.closed:
            raise closed(self.topic)
        value, key, headers, partition = self._made
        try:
            self._outbox.port.produce(self.topic, value, key, headers, partition, self._report, self._timestamp)
        except BufferError:
            return False
        except Exception as error:
            raise refused(error, self.topic) from error
        return True
