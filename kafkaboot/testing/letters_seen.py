"""What stands in the dead letters at the end of a run, and whether it is what must. Shares no code with the engine."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from kafkaboot.testing import history
from kafkaboot.testing.executions import Place
from kafkaboot.testing.report import Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from kafkaboot.testing.checker import Input
    from kafkaboot.testing.executions import Fault
    from kafkaboot.testing.history import Event
    from kafkaboot.testing.report import Report

_MILLISECOND = 1_000_000


class Carried(NamedTuple):
    """What a letter must carry unchanged: the record's key, value and own headers."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]


@dataclass(frozen=True, slots=True)
class LetterSeen:
    """A dead letter.

    Attributes:
        place: Where its record stood, as its headers say.
        carried: The bytes of its record.
        wall_ms: When it was appended, by the broker's clock; the topic's `message.timestamp.type` is `LogAppendTime`.
    """

    place: Place
    carried: Carried
    wall_ms: int


class LettersSeen:
    """All letters of a run.

    Attributes:
        first: When the first letter of a record stood in the topic, on the wall clock, in nanoseconds.
    """

    def __init__(self, letters: Iterable[LetterSeen]) -> None:
        self._by_place: dict[Place, list[LetterSeen]] = defaultdict(list)
        for letter in sorted(letters, key=lambda letter: letter.wall_ms):
            self._by_place[letter.place].append(letter)
        self.first = {place: seen[0].wall_ms * _MILLISECOND for place, seen in self._by_place.items()}

    def misplaced(self, inputs: Mapping[Place, Input]) -> Iterator[Violation]:
        """Letters that are missing, too many, or not what their record was."""
        for place, record in inputs.items():
            if record.dies and place not in self._by_place:
                yield Violation("I1", f"{place} (id {record.id}) must die, and is not in the dead letters")
        for place, letters in self._by_place.items():
            standing = inputs.get(place)
            if standing is None or not standing.dies:
                what = f"id {standing.id}, which need not die" if standing else "nothing"
                yield Violation("I1", f"there is a dead letter of {place}, where {what} stands")
            else:
                for letter in letters:
                    if standing.carried is not None and letter.carried != standing.carried:
                        yield Violation("I1", f"the dead letter of {place} carries {letter.carried}")

    def repeats(
        self, faults: list[Fault], events: list[Event], passed: Callable[[Place], int], window: int
    ) -> Iterator[Violation]:
        """Letters that no kill of their writer explains, or that were written again behind their commit."""
        writers: dict[Place, set[int]] = defaultdict(set)
        for event in events:
            if event.event == history.GIVEN_UP:
                writers[_place(event)].add(event.process)
        for place, letters in self._by_place.items():
            kills = [fault for fault in faults if fault.kind == history.KILLED and fault.about in writers[place]]
            for earlier, later in pairwise(letters):
                if later.wall_ms * _MILLISECOND > passed(place):
                    yield Violation("I3", f"the dead letter of {place} was written again after its commit")
                elif not any(_explains(kill, earlier, later, window, events) for kill in kills):
                    yield Violation("I3", f"the dead letter of {place} was written again without a kill of its writer")

    def count(self, report: Report, faults: list[Fault], events: list[Event]) -> None:
        """Put into the report what there was."""
        report.letters = sum(map(len, self._by_place.values()))
        report.letters_repeated = report.letters - len(self._by_place)
        open_letters: dict[int, set[Place]] = defaultdict(set)
        for event in events:
            if event.event == history.GIVEN_UP:
                open_letters[event.process].add(_place(event))
            elif event.event == history.DEAD_LETTERED:
                open_letters[event.process].discard(_place(event))
        killed = {fault.about for fault in faults if fault.kind == history.KILLED}
        report.letters_in_flight = sum(bool(open_letters[process]) for process in killed)


def _place(event: Event) -> Place:
    return Place(event.topic, event.partition, event.offset)


def _explains(kill: Fault, earlier: LetterSeen, later: LetterSeen, window: int, events: list[Event]) -> bool:
    """The earlier letter was written just before the kill, or was on its way; the later one came behind it."""
    wall = events[0].wall - events[0].at
    begin, end = kill.begin + wall, kill.end + wall
    return begin - window <= earlier.wall_ms * _MILLISECOND <= end and (later.wall_ms + 1) * _MILLISECOND >= begin
