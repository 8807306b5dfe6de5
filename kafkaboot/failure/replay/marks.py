"""What has become of letters: new, until somebody did something with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

NEW, RETRIED, EDITED, PARKED, RESOLVED = "new", "retried", "edited", "parked", "resolved"
STATES = (NEW, RETRIED, EDITED, PARKED, RESOLVED)
DONE = (RETRIED, EDITED, PARKED, RESOLVED)


@dataclass(frozen=True, slots=True)
class Mark:
    """Letters of one partition that got a state together. A later mark replaces an earlier one.

    Attributes:
        partition: Their partition.
        state: Their new state.
        job: The job that did it, or what stands for one.
        by: Who.
        at: When, in milliseconds since the epoch.
        letters: Their offsets by fingerprint, so that a list counts states by cause without reading letters.
    """

    partition: int
    state: str
    job: str
    by: str
    at: int
    letters: dict[str, list[int]]

    @property
    def last(self) -> int:
        """The highest of the offsets."""
        return max((max(offsets) for offsets in self.letters.values() if offsets), default=-1)

    def as_json(self) -> dict[str, Any]:
        """As a row keeps it: runs of offsets as first and count."""
        letters = {fingerprint: _runs(offsets) for fingerprint, offsets in self.letters.items()}
        said = {"partition": self.partition, "state": self.state, "job": self.job, "by": self.by, "at": self.at}
        return {**said, "letters": letters}

    @classmethod
    def of_json(cls, row: dict[str, Any]) -> Mark:
        """What `as_json` wrote."""
        letters = {
            fingerprint: [at for first, count in runs for at in range(first, first + count)]
            for fingerprint, runs in row["letters"].items()
        }
        return cls(row["partition"], row["state"], row["job"], row["by"], row["at"], letters)


class States:
    """The state of every letter that is not new any more.

    Args:
        marks: In the order in which they were written.
        begins: By partition the first offset that is still there.
    """

    def __init__(self, marks: Iterable[Mark], begins: Mapping[int, int]) -> None:
        self._known: dict[int, dict[int, tuple[Mark, str]]] = {}
        for mark in marks:
            begin = begins.get(mark.partition, 0)
            known = self._known.setdefault(mark.partition, {})
            for fingerprint, offsets in mark.letters.items():
                said = (mark, fingerprint)
                known.update((at, said) for at in offsets if at >= begin)

    def of(self, partition: int, offset: int) -> str:
        """The letter's state."""
        found = self._known.get(partition, {}).get(offset)
        return NEW if found is None else found[0].state

    def mark(self, partition: int, offset: int) -> Mark | None:
        """What gave the letter its state; `None` for a new one."""
        found = self._known.get(partition, {}).get(offset)
        return None if found is None else found[0]

    def counts(self, size: int) -> dict[tuple[int, int, str], dict[str, int]]:
        """How many by partition, block of `size` offsets and fingerprint, by state."""
        found: dict[tuple[int, int, str], dict[str, int]] = {}
        for partition, known in self._known.items():
            for at, (mark, fingerprint) in known.items():
                counts = found.setdefault((partition, at // size, fingerprint), {})
                counts[mark.state] = counts.get(mark.state, 0) + 1
        return found

    def done_by(self, job: str) -> dict[str, int]:
        """How many letters have their state from that job, by state."""
        found: dict[str, int] = {}
        for known in self._known.values():
            for mark, _ in known.values():
                if mark.job == job:
                    found[mark.state] = found.get(mark.state, 0) + 1
        return found


@dataclass(slots=True)
class Marking:
    """Collects what becomes of the letters of one batch."""

    job: str
    by: str
    letters: dict[tuple[int, str], dict[str, list[int]]] = field(default_factory=dict)

    def add(self, partition: int, offset: int, fingerprint: str, state: str) -> None:
        """One letter more."""
        self.letters.setdefault((partition, state), {}).setdefault(fingerprint, []).append(offset)

    def marks(self, at: int) -> list[Mark]:
        """One for each partition and state."""
        return [
            Mark(partition, state, self.job, self.by, at, letters)
            for (partition, state), letters in sorted(self.letters.items())
        ]


def _runs(offsets: list[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for at in sorted(offsets):
        if runs and at == sum(runs[-1]):
            runs[-1] = (runs[-1][0], runs[-1][1] + 1)
        else:
            runs.append((at, 1))
    return runs
