"""The topic, the group's processes, the time, and the end in which everything must come right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from kafkaboot.client import TP, Committed
from kafkaboot.client.memory import MemoryKafka
from kafkaboot.clock import ManualClock
from kafkaboot.consumer.settings import ConsumerSettings
from kafkaboot.testing.simulation.ledger import Ledger, Place
from kafkaboot.testing.simulation.process import Process

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kafkaboot.client.memory.group import Group
    from kafkaboot.consumer.route import Ordering

Mode = Literal["prompt", "brief", "held"]

ROUNDS = 500
"""Rounds of half a second after which everything must have come right."""


class Plan(NamedTuple):
    """How a record's handler behaves: at once, after a moment or when it is told to; and how often it fails first."""

    mode: Mode = "prompt"
    fails: int = 0


class World:
    """One topic, one group with one handler, and processes that come and go.

    Args:
        ordering: Of the handler.
        forwarding: Whether the handler returns something that is sent on.
        batch: The largest batch, for a batch handler.
        partitions: Of the topic.
        concurrency: Of the handler.
        poll_records: Of one poll.
        assignment: The group's protocol.
    """

    topic, outputs, group = "orders", "sent", "shop"

    def __init__(
        self,
        ordering: Ordering = "partition",
        *,
        forwarding: bool = False,
        batch: int | None = None,
        partitions: int = 2,
        concurrency: int = 3,
        poll_records: int = 3,
        assignment: Literal["cooperative-sticky", "range"] = "cooperative-sticky",
    ) -> None:
        self.ordering: Ordering = ordering
        self.batch = batch
        self.partitions = partitions
        self.concurrency = concurrency
        self.clock = ManualClock()
        self.ledger = Ledger(ordering == "key", ordering == "partition", forwarding)
        self.kafka = _Watched(self.clock, self.ledger)
        self.kafka.create(self.topic, partitions)
        self.kafka.create(self.outputs, 1)
        self.settings = ConsumerSettings(
            poll_records=poll_records,
            max_buffered=3 * poll_records,
            commit_interval=0.5,
            drain_timeout=0.4,
            revoke_timeout=0.2,
            session_timeout=2.0,
            max_poll_interval=10.0,
            assignment=assignment,
        )
        self.processes: list[Process] = []
        self._started = 0
        self._plans: dict[Place, Plan] = {}
        self._failed: dict[Place, int] = {}
        self._outputs_seen = 0
        self._healed = False

    # --- what is done

    def publish(self, partition: int = 0, key: bytes | None = None, plan: Plan | None = None) -> Place:
        """A record more."""
        record = self.kafka.append(self.topic, b"x", key, None, partition)
        place = Place(partition, record.offset())
        self._plans[place] = plan or Plan()
        self.ledger.published(place, key)
        return place

    def leave_gap(self, partition: int, offsets: int = 1) -> None:
        """Offsets that hold no record."""
        self.kafka.log(TP(self.topic, partition)).leave_gap(offsets)

    def compact(self, partition: int, gone: Iterable[Place]) -> None:
        """Take away records that nobody has read yet."""
        unread = {place for place in gone if place not in self.ledger.executions and place in self.ledger.standing}
        taken = {place for place in unread if not any(_has_read(p, place) for p in self.processes)}
        self.kafka.log(TP(self.topic, partition)).compact(lambda r: Place(partition, r.offset()) not in taken)
        for place in taken:
            self.ledger.compacted(place)

    def start(self) -> Process:
        """One process more."""
        self._started += 1
        process = Process(self, f"process-{self._started}")
        self.processes.append(process)
        return process

    def advance(self, seconds: float) -> None:
        """Time goes by, while nobody polls."""
        self.clock.advance(seconds)
        for process in list(self.processes):
            process.step()

    def wait(self, seconds: float) -> None:
        """Time goes by while one poller waits; the others go on."""
        self.advance(seconds)
        for process in list(self.processes):
            if not process.busy:
                process.turn()

    def tamper(self, partition: int) -> bool:
        """Damage the map beside the committed offset; answers whether there was one."""
        tp, offsets = TP(self.topic, partition), self.kafka.group(self.group).offsets
        known = offsets.get(tp)
        if known is None or not known.metadata:
            return False
        text = known.metadata
        other = "B" if text[-3] == "A" else "A"
        offsets[tp] = Committed(known.offset, f"{text[:-3]}{other}{text[-2:]}")
        self.ledger.tampered(partition)
        return True

    def finish(self) -> None:
        """Nothing fails any more: everything must be handled and committed, and a clean restart repeats nothing."""
        self._heal()
        if not self.processes:
            self.start()
        for _ in range(ROUNDS):
            if not self.ledger.unsettled() and not self.ledger.behind():
                break
            self._go_on()
        assert not self.ledger.unsettled(), f"I1: never settled: {[str(p) for p in self.ledger.unsettled()]}"
        assert not self.ledger.behind(), f"never committed: {[str(p) for p in self.ledger.behind()]}"
        for process in list(self.processes):
            process.stop()
        before = self.ledger.count
        self.start()
        for _ in range(5):
            self._go_on()
        assert self.ledger.count == before, "I3: a clean restart repeats records"

    def close(self) -> None:
        """All processes die."""
        for process in list(self.processes):
            process.crash()

    # --- what handlers ask

    def mode(self, place: Place) -> Mode:
        """How long the record's handler takes."""
        return "prompt" if self._healed else self._plans[place].mode

    def fails(self, place: Place) -> bool:
        """Whether the record's handler fails this time."""
        if self._healed or self._failed.get(place, 0) >= self._plans[place].fails:
            return False
        self._failed[place] = self._failed.get(place, 0) + 1
        return True

    def note_outputs(self, places: list[Place]) -> None:
        """An output of these records was handed over; it counts when it was written."""
        written = self.kafka.log(TP(self.outputs, 0)).end
        if written > self._outputs_seen:
            self._outputs_seen = written
            self.ledger.outputs |= set(places)

    # --- inside

    def _heal(self) -> None:
        self._healed = True
        self.kafka.faults.heal()
        for process in self.processes:
            for future in list(process.held.values()):
                if not future.done():
                    future.set_result(True)

    def _go_on(self) -> None:
        self.kafka.deliver()
        for process in list(self.processes):
            process.turn()
        self.advance(0.5)


class _Watched(MemoryKafka):
    """Tells the ledger of each commit at the moment it is written."""

    def __init__(self, clock: ManualClock, ledger: Ledger) -> None:
        super().__init__(clock)
        self._ledger = ledger

    def write_commit(self, group: Group, member: str, offsets: Mapping[TP, Committed]) -> None:
        super().write_commit(group, member, offsets)
        for tp, committed in offsets.items():
            self._ledger.accepted(tp, committed)


def _has_read(process: Process, place: Place) -> bool:
    return any(
        chunk.records[-1].offset() >= place.offset
        for tp, holding in process.poller.holdings.items()
        if tp.partition == place.partition
        for chunk in holding.assignment.chunks
    )
