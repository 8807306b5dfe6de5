"""What handlers did and what the group committed, judged as it happens. Shares no code with the engine.

The invariants carry the names of the reliability page: I1 no loss, I3 repeats only of what was uncommitted at a fault,
I4 order, I5 no commit beyond an unsettled record, I6 one owner. A breach is noted at the moment at which it occurs.
"""

from __future__ import annotations

from base64 import b64decode
from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kafkaboot.client import TP, Committed

Outcome = Literal["running", "ended", "raised", "cut"]


class Place(NamedTuple):
    """A record of the topic."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"orders[{self.partition}]@{self.offset}"


@dataclass(slots=True, eq=False)
class Execution:
    """A handler at work on one record, once.

    Attributes:
        stay: Which assignment of the partition, to which process.
        call: Which call; a batch is one.
        abandoned: Whether the process lost the partition meanwhile, or gave it back when it had waited long enough.
        reported: Whether the process has heard that its output was delivered.
    """

    place: Place
    process: str
    stay: int
    call: int
    outcome: Outcome = "running"
    abandoned: bool = False
    reported: bool = False

    def __str__(self) -> str:
        return f"{self.place} in {self.process}"


@dataclass
class Ledger:
    """Everything that is known from outside the engine.

    Attributes:
        by_key, by_partition: What was promised of the order.
        forwarding: Whether a record is settled by its output, not by its handler's return.
        outputs: The records whose outputs were written.
        standing: The records that can be read, with their keys.
        count: Executions so far.
        breaches: What was found. The engine would take an exception for a handler's own.
    """

    by_key: bool
    by_partition: bool
    forwarding: bool
    standing: dict[Place, bytes | None] = field(default_factory=dict)
    outputs: set[Place] = field(default_factory=set)
    executions: dict[Place, list[Execution]] = field(default_factory=lambda: defaultdict(list))
    count: int = 0
    breaches: list[str] = field(default_factory=list)
    _units: dict[tuple[int, bytes | None], list[int]] = field(default_factory=lambda: defaultdict(list))
    _begun: dict[tuple[int, bytes | None], int] = field(default_factory=dict)
    _running: list[Execution] = field(default_factory=list)
    _stays: dict[tuple[str, int], int] = field(default_factory=dict)
    _committed: dict[int, Committed] = field(default_factory=dict)
    _maps: dict[int, list[range]] = field(default_factory=dict)
    _refused: set[int] = field(default_factory=set)
    _damaged: set[int] = field(default_factory=set)
    _final: set[Place] = field(default_factory=set)
    _number: int = 0

    # --- what happens

    def published(self, place: Place, key: bytes | None) -> None:
        """A record stands in the topic."""
        self.standing[place] = key
        self._units[self._unit(place, key)].append(place.offset)

    def compacted(self, place: Place) -> None:
        """It does not stand there any more."""
        key = self.standing.pop(place)
        self._units[self._unit(place, key)].remove(place.offset)

    def began(self, process: str, places: Sequence[Place]) -> list[Execution]:
        """A handler is called, for one record or for a batch."""
        self._number += 1
        made = [Execution(p, process, self._stays.get((process, p.partition), 0), self._number) for p in places]
        for execution in made:
            self._judge_owner(execution)
            self._judge_repetition(execution)
            self._judge_order(execution)
            self._running.append(execution)
            self.executions[execution.place].append(execution)
            self.count += 1
        return made

    def over(self, executions: Iterable[Execution], outcome: Outcome) -> None:
        """A handler returned, raised, or was cut off with its process."""
        for execution in executions:
            execution.outcome = outcome
            self._running.remove(execution)

    def refused(self, place: Place) -> None:
        """Its output was not delivered: from here on its partition may be handled again, by whoever has it."""
        self._refused.add(place.partition)
        self._final = {p for p in self._final if p.partition != place.partition or p.offset < place.offset}

    def assigned(self, process: str, partitions: Iterable[int]) -> None:
        """A process got partitions."""
        for partition in partitions:
            self._number += 1
            self._stays[process, partition] = self._number

    def gave_back(self, process: str, partitions: Iterable[int], *, waited: bool, committed: bool) -> None:
        """A process says that partitions are no longer its own.

        Args:
            process: Which.
            partitions: Those.
            waited: Whether it has waited for its handlers as long as it may.
            committed: Whether no commit of it failed meanwhile.
        """
        for partition in partitions:
            stay = self._stays.pop((process, partition), 0)
            for execution in self._at_work(process, partition):
                if execution.stay == stay:
                    self._demand(waited, f"I6: {execution} was at work while its partition was given back")
                    execution.abandoned = True
            if committed and partition not in self._refused:
                self._final |= {
                    execution.place
                    for executions in self.executions.values()
                    for execution in executions
                    if execution.stay == stay and execution.outcome == "ended"
                    and (not self.forwarding or execution.reported)
                    and execution.place.partition == partition
                    and not execution.abandoned
                    and (partition not in self._damaged or execution.place.offset < self._offset(partition))
                }  # fmt: skip

    def lost(self, process: str, partitions: Iterable[int]) -> None:
        """A process lost partitions, and knows it."""
        for partition in partitions:
            self._stays.pop((process, partition), None)
            for execution in self._at_work(process, partition):
                execution.abandoned = True

    def died(self, process: str) -> None:
        """A process is dead."""
        mine = [execution for execution in self._running if execution.process == process]
        self.over(mine, "cut")
        for key in [key for key in self._stays if key[0] == process]:
            del self._stays[key]

    def accepted(self, tp: TP, committed: Committed) -> None:
        """The group has written a commit."""
        assert committed.offset is not None
        before = self._committed.get(tp.partition)
        if before is not None and before.offset is not None:
            self._demand(
                before.offset <= committed.offset, f"I5: {tp} went back from {before.offset} to {committed.offset}"
            )
        covered = _map(committed)
        for place in sorted(self.standing):
            if place.partition == tp.partition and not self.settled(place):
                self._demand(
                    place.offset >= committed.offset, f"I5: {committed.offset} was committed, {place} is not settled"
                )
                self._demand(
                    not _in(covered, place.offset), f"I5: the map says that {place} is done, and it is not settled"
                )
        self._committed[tp.partition], self._maps[tp.partition] = committed, covered
        self._damaged.discard(tp.partition)

    def tampered(self, partition: int) -> None:
        """What stands beside the committed offset was damaged: nothing beyond the offset is known."""
        self._maps[partition] = []
        self._damaged.add(partition)
        self._final = {p for p in self._final if p.partition != partition or p.offset < self._offset(partition)}

    # --- what is known

    def settled(self, place: Place) -> bool:
        """Whether the record is done with."""
        if self.forwarding:
            return place in self.outputs
        return any(execution.outcome == "ended" for execution in self.executions.get(place, ()))

    def unsettled(self) -> list[Place]:
        """Records that stand in the topic and are not done with."""
        return [place for place in sorted(self.standing) if not self.settled(place)]

    def behind(self) -> list[Place]:
        """Records that the committed offsets have not passed."""
        return [place for place in sorted(self.standing) if place.offset >= self._offset(place.partition)]

    # --- judgement

    def _demand(self, kept: object, breach: str) -> None:
        if not kept:
            self.breaches.append(breach)

    def _judge_owner(self, new: Execution) -> None:
        self._demand(new.stay, f"I6: {new} began though its partition is not the process's own")
        for other in self._running:
            if other.place.partition == new.place.partition and other.process != new.process:
                known = self._stays.get((other.process, other.place.partition), 0)
                self._demand(other.abandoned or known == other.stay, f"I6: {new} began while {other} was at work")

    def _judge_repetition(self, new: Execution) -> None:
        place = new.place
        earlier = [e for e in self.executions.get(place, ()) if e.outcome == "ended"]
        if not earlier or not self.settled(place):
            return
        self._demand(place not in self._final, f"I3: {new} was handled again after it had been given back cleanly")
        committed = self._committed.get(place.partition)
        self._demand(committed is None or place.offset >= (committed.offset or 0), f"I3: {new} is below {committed}")
        if place.partition in self._refused:
            return
        self._demand(not _in(self._maps.get(place.partition, []), place.offset), f"I3: {new} is done by {committed}")
        self._demand(
            all(e.stay != new.stay or e.abandoned for e in earlier), f"I3: {new} was handled again without a fault"
        )

    def _judge_order(self, new: Execution) -> None:
        if not (self.by_key or self.by_partition):
            return
        unit = self._unit(new.place, self.standing.get(new.place))
        offsets = self._units[unit]
        index = bisect_left(offsets, new.place.offset)
        last = self._begun.get(unit, -1)
        overtaken = [offset for offset in offsets[:index] if offset > last]
        self._demand(not overtaken, f"I4: {new} overtook {overtaken} of {unit}")
        for offset in offsets[:index]:
            place = Place(new.place.partition, offset)
            done = [e for e in self.executions.get(place, ()) if e.outcome == "ended" or e.call == new.call]
            self._demand(done, f"I4: {new} began, and {place} before it was not handled")
        for other in self._running:
            if self._unit(other.place, self.standing.get(other.place)) == unit and other.process == new.process:
                self._demand(other.abandoned or other.call == new.call, f"I4: {new} began while {other} was at work")
        self._begun[unit] = new.place.offset

    def _offset(self, partition: int) -> int:
        committed = self._committed.get(partition)
        return (committed.offset or 0) if committed else 0

    def _unit(self, place: Place, key: bytes | None) -> tuple[int, bytes | None]:
        return place.partition, key if self.by_key else None

    def _at_work(self, process: str, partition: int) -> list[Execution]:
        return [e for e in self._running if e.process == process and e.place.partition == partition]


def _in(done: list[range], offset: int) -> bool:
    return any(offset in run for run in done)


def _map(committed: Committed) -> list[range]:
    """What the metadata of an undamaged commit says: varints of alternating runs, not done and done."""
    part = next((part for part in committed.metadata.split() if part.startswith("kb1:")), None)
    if part is None:
        return []
    runs, number, shift = [], 0, 0
    for byte in b64decode(part.partition(":")[2])[4:]:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            runs.append(number)
            number, shift = 0, 0
    done, edge = [], committed.offset or 0
    for index, length in enumerate(runs):
        if index % 2:
            done.append(range(edge, edge + length))
        edge += length
    return done
