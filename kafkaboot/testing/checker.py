"""Judges a run by its histories, its topic and the broker's own list of commits. Shares no code with the engine.

The invariants carry the names of the reliability page: I1 no loss, I3 repeats only of what was uncommitted at a fault,
I4 order, I5 no commit beyond an unsettled record, I6 one owner.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Literal

from kafkaboot.testing import history
from kafkaboot.testing.executions import NEVER, Execution, Fault, Place, executions_of, faults_of
from kafkaboot.testing.letters_seen import Carried, LettersSeen
from kafkaboot.testing.report import Report, Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from kafkaboot.testing.history import Event
    from kafkaboot.testing.letters_seen import LetterSeen
    from kafkaboot.testing.offsets_topic import Commit

Ordering = Literal["partition", "key", "unordered"]

_SECOND = 1_000_000_000
_MILLISECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class Input:
    """A record of the input topic, read back from the broker at the end of the run.

    Attributes:
        dies: Whether it must end in the dead letters, and nowhere else.
        carried: Its bytes, where they are to be found again in its letter.
    """

    place: Place
    id: str
    key: str
    seq: int
    dies: bool = False
    carried: Carried | None = None


def check(
    events: Iterable[Event],
    inputs: Iterable[Input],
    commits: Iterable[Commit],
    *,
    letters: Iterable[LetterSeen] = (),
    ordering: Ordering = "partition",
    uncommitted: float = 2.0,
    fencing: float = 0.0,
    seed: int = 0,
) -> Report:
    """Judge a run that has ended.

    Args:
        events: The histories of all processes, see `history.read`.
        inputs: What stands in the input topic.
        commits: What the group committed, see `offsets_topic.parse`.
        letters: What stands in the dead letters.
        ordering: What was promised: each key's records in turn, each partition's, or none.
        uncommitted: Seconds before a fault within which a handled record may still be uncommitted and thus be repeated:
            the time between two commits, and what a busy machine adds to it.
        fencing: Seconds for which a process that lost a partition may go on without knowing.
        seed: Printed, so that the run can be had again.

    Returns:
        The report; it raises nothing, see `Report.demand`.
    """
    run = _Run(sorted(events, key=lambda event: event.at), list(inputs), list(commits), LettersSeen(letters))
    report = Report(seed=seed, records=len(run.inputs), commits=len(run.commits))
    report.handled = len(run.first_end)
    report.faults.update(fault.kind for fault in run.faults)
    report.violations += run.lost()
    report.violations += run.repeats(report, round(uncommitted * _SECOND))
    report.violations += run.letters.misplaced(run.inputs)
    report.violations += run.letters.repeats(run.faults, run.events, run.passed_at(), round(uncommitted * _SECOND))
    run.letters.count(report, run.faults, run.events)
    report.violations += run.committed_early()
    report.violations += run.owned_twice(round(fencing * _SECOND))
    if ordering != "unordered":
        report.violations += run.overtaken(by_key=True)
    if ordering == "partition":
        report.violations += run.overtaken(by_key=False)
    report.in_flight = sum(run.is_in_flight(fault) for fault in run.faults if fault.kind == history.KILLED)
    report.recoveries = [seconds for fault in run.faults for seconds in run.recovery(fault)]
    return report


class _Run:
    """The histories, put together."""

    def __init__(self, events: list[Event], inputs: list[Input], commits: list[Commit], letters: LettersSeen) -> None:
        self.events = events
        self.letters = letters
        self.inputs = {record.place: record for record in inputs}
        self.commits = commits
        self.acked = [event for event in events if event.event == history.ACKED]
        self.faults = faults_of(events)
        self.kills = [fault for fault in self.faults if fault.about]
        self.executions = executions_of(events, self.faults)
        self.by_place: dict[Place, list[Execution]] = defaultdict(list)
        self.by_partition: dict[tuple[str, int], list[Execution]] = defaultdict(list)
        for execution in self.executions:
            self.by_place[execution.place].append(execution)
            self.by_partition[execution.place[:2]].append(execution)
        self.first_end: dict[Place, int] = {}
        for execution in self.executions:
            if execution.end_wall is not None:
                known = self.first_end.get(execution.place, NEVER)
                self.first_end[execution.place] = min(known, execution.end_wall)

    def lost(self) -> Iterator[Violation]:
        for event in self.acked:
            place = Place(event.topic, event.partition, event.offset)
            record = self.inputs.get(place)
            if record is None or record.id != event.id:
                yield Violation("I1", f"{place} was acknowledged with id {event.id}, and is not in the topic")
        for place, record in self.inputs.items():
            if record.dies and place in self.first_end:
                yield Violation("I1", f"{place} (id {record.id}) must die, and was handled to its end")
            elif not record.dies and place not in self.first_end:
                yield Violation("I1", f"{place} (id {record.id}) was never handled to its end")
        for execution in self.executions:
            standing = self.inputs.get(execution.place)
            if standing is None or standing.id != execution.id:
                found = standing.id if standing else "nothing"
                yield Violation("I1", f"{execution} was handled as id {execution.id}, where {found} stands")

    def repeats(self, report: Report, window: int) -> Iterator[Violation]:
        passed = self.passed_at()
        for executions in self.by_place.values():
            for earlier, later in pairwise(executions):
                if earlier.end is None:
                    report.raised += earlier.raised
                    report.interrupted += not earlier.raised
                    continue
                report.repeated += 1
                committed = passed(later.place)
                if later.start_wall > committed:
                    late = (later.start_wall - committed) / _MILLISECOND
                    yield Violation("I3", f"{later} was handled again {late:.0f} ms after its commit")
                elif not any(_explains(fault, earlier, later, window) for fault in self.faults):
                    yield Violation("I3", f"{later} was handled again after process {earlier.process}, without a fault")

    def committed_early(self) -> Iterator[Violation]:
        offsets, ends = self._ends_by_partition()
        settled = {partition: list(accumulate(known, max)) for partition, known in ends.items()}
        for commit in self.commits:
            partition = commit.topic, commit.partition
            below = bisect_left(offsets.get(partition, []), commit.offset)
            latest = (commit.wall_ms + 1) * _MILLISECOND
            if below and settled[partition][below - 1] > latest:
                index = next(index for index in range(below) if ends[partition][index] > latest)
                place = Place(*partition, offsets[partition][index])
                yield Violation("I5", f"offset {commit.offset} was committed while {place} was not settled")

    def overtaken(self, *, by_key: bool) -> Iterator[Violation]:
        ranks, unit_of = self._ranks(by_key=by_key)
        units: dict[tuple[str, ...], list[Execution]] = defaultdict(list)
        for execution in self.executions:
            if execution.place in ranks:
                units[unit_of[execution.place]].append(execution)
        at_rank = {(unit_of[place], rank): place for place, rank in ranks.items()}
        for unit, executions in units.items():
            name = f"key {unit[-1]}" if by_key else "the partition"
            rank, last = -1, None
            for execution in executions:
                here = ranks[execution.place]
                if here > rank + 1 and not (
                    last
                    and self.inputs[last.place].dies
                    and all(self._settled(at_rank[unit, n]) <= execution.start_wall for n in range(rank + 1, here))
                ):
                    yield Violation("I4", f"{execution} overtook {here - rank - 1} earlier records of {name}")
                elif last and last.process == execution.process and execution.start < last.until:
                    yield Violation("I4", f"{execution} began before {last} had ended, both of {name}")
                rank, last = here, execution

    def owned_twice(self, fencing: int) -> Iterator[Violation]:
        for executions in self.by_partition.values():
            busy: dict[int, Execution] = {}
            for execution in executions:
                for process, other in list(busy.items()):
                    if other.until - fencing <= execution.start:
                        del busy[process]
                    elif process != execution.process:
                        yield Violation("I6", f"{execution} began while {other} was at work on the same partition")
                mine = busy.get(execution.process)
                if mine is None or mine.until < execution.until:
                    busy[execution.process] = execution

    def is_in_flight(self, fault: Fault) -> bool:
        return any(
            execution.process == fault.about and execution.end is None and not execution.raised
            for execution in self.executions
        )

    def recovery(self, fault: Fault) -> Iterator[float]:
        """How long nothing moved: on the partitions of a process until another took over, anywhere after an outage.

        Whoever takes over may be killed as well before it has handled anything: then it counts from that kill.
        """
        if fault.end == NEVER:
            return
        if not fault.about:
            new = [e.end for e in self.executions if e.end and e.end > fault.end and self.by_place[e.place][0] is e]
            yield from [(min(new) - fault.end) / _SECOND] if new else []
            return
        waits = []
        for executions in self.by_partition.values():
            mine = [e for e in executions if e.process == fault.about]
            if not mine or max(min(e.until, fault.end) for e in mine) < fault.begin - _SECOND:
                continue
            after = [e.end for e in executions if e.end and e.process != fault.about and e.end > fault.begin]
            if after:
                begin = max(kill.begin for kill in self.kills if fault.begin <= kill.begin < min(after))
                waits.append((min(after) - begin) / _SECOND)
        yield from [max(waits)] if waits else []

    def passed_at(self) -> Callable[[Place], int]:
        """When a commit first passed a place, on the wall clock, in nanoseconds."""
        rising: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
        for commit in sorted(self.commits, key=lambda commit: commit.wall_ms):
            steps = rising[commit.topic, commit.partition]
            if not steps or commit.offset > steps[-1][0]:
                steps.append((commit.offset, (commit.wall_ms + 1) * _MILLISECOND))

        def passed(place: Place) -> int:
            steps = rising.get(place[:2], [])
            index = bisect_left(steps, (place.offset + 1, 0))
            return steps[index][1] if index < len(steps) else NEVER

        return passed

    def _ends_by_partition(self) -> tuple[dict[tuple[str, int], list[int]], dict[tuple[str, int], list[int]]]:
        offsets: dict[tuple[str, int], list[int]] = defaultdict(list)
        ends: dict[tuple[str, int], list[int]] = defaultdict(list)
        for place in sorted(self.inputs):
            offsets[place[:2]].append(place.offset)
            ends[place[:2]].append(self._settled(place))
        return offsets, ends

    def _settled(self, place: Place) -> int:
        """When it was handled to its end, or its letter stood in the topic; on the wall clock, in nanoseconds."""
        return min(self.first_end.get(place, NEVER), self.letters.first.get(place, NEVER))

    def _ranks(self, *, by_key: bool) -> tuple[dict[Place, int], dict[Place, tuple[str, ...]]]:
        """Each record's place among its like, by what stands in the topic: a number missing there is no gap.

        While the letter of a record is on its way, those behind it are handled: a replay may leave them out.
        """
        ranks: dict[Place, int] = {}
        unit_of: dict[Place, tuple[str, ...]] = {}
        counts: Counter[tuple[str, ...]] = Counter()
        for place, record in sorted(self.inputs.items()):
            if record.dies and place not in self.by_place:
                continue  # its bytes reached no handler
            unit = (place.topic, str(place.partition)) + ((record.key,) if by_key else ())
            ranks[place], unit_of[place] = counts[unit], unit
            counts[unit] += 1
        return ranks, unit_of


def _explains(fault: Fault, earlier: Execution, later: Execution, window: int) -> bool:
    if fault.kind == history.TERMINATED or fault.about not in (0, earlier.process):
        return False
    assert earlier.end is not None
    return fault.begin - window <= earlier.end <= fault.end and later.start >= fault.begin
