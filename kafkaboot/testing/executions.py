"""What handlers did and what was done to their processes, put together from the lines of the histories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from kafkaboot.testing import history

if TYPE_CHECKING:
    from kafkaboot.testing.history import Event

NEVER = 1 << 63
"""Later than any time of a history."""


class Place(NamedTuple):
    """Where a record stands."""

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]@{self.offset}"


@dataclass(slots=True)
class Execution:
    """A handler at work on one record, once, until `until`. It has an `end` when it neither raised nor was cut off."""

    process: int
    place: Place
    id: str
    start: int
    start_wall: int
    end: int | None = None
    end_wall: int | None = None
    until: int = NEVER
    raised: bool = False

    def __str__(self) -> str:
        return f"{self.place} by process {self.process}"


@dataclass(slots=True)
class Fault:
    """Something that was done to a process (`about`), or to the broker (`about` is 0), from `begin` to `end`."""

    kind: str
    about: int
    begin: int
    end: int = NEVER


def faults_of(events: list[Event]) -> list[Fault]:
    """Each from the moment it was done until the death, the return or the resumption that ended it."""
    faults: list[Fault] = []
    closing = {
        history.DIED: (history.KILLED, history.TERMINATED),
        history.RESUMED: (history.PAUSED,),
        history.BROKER_UP: (history.BROKER_DOWN,),
    }
    for event in events:
        if event.event in (history.KILLED, history.TERMINATED, history.PAUSED, history.BROKER_DOWN):
            faults.append(Fault(event.event, event.about, event.at))
        elif event.event in closing:
            for fault in faults:
                if fault.kind in closing[event.event] and fault.about == event.about and fault.end == NEVER:
                    fault.end = event.at
    return faults


def executions_of(events: list[Event], faults: list[Fault]) -> list[Execution]:
    """In the order in which they began. One without an end lasts until its process died, raised or was last seen."""
    executions: list[Execution] = []
    running: dict[tuple[int, Place], Execution] = {}
    last_seen: dict[int, int] = {}
    for event in events:
        last_seen[event.process] = event.at
        if event.event not in (history.STARTED, history.ENDED, history.FAILED):
            continue
        place = Place(event.topic, event.partition, event.offset)
        if event.event == history.STARTED:
            execution = Execution(event.process, place, event.id, event.at, event.wall)
            executions.append(execution)
            running[event.process, place] = execution
            continue
        ended = running.pop((event.process, place), None)
        if ended is not None:
            ended.until = event.at
            ended.raised = event.event == history.FAILED
            if not ended.raised:
                ended.end, ended.end_wall = event.at, event.wall
    deaths = {fault.about: fault.end for fault in faults if fault.kind in (history.KILLED, history.TERMINATED)}
    for execution in running.values():
        execution.until = min(execution.until, deaths.get(execution.process, NEVER), last_seen[execution.process])
    return executions
