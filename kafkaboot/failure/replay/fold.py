"""Dead letters folded by cause, a thousand offsets at a time: what a list shows without reading the letters.

A block is a deterministic fold of its part of the topic, so that any process may write its row, and a row that is late
only leaves more of the topic to be read. Blocks that retention has deleted drop out whole, and only the last block of a
partition is ever written again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kafkaboot.failure.letter import Letter

BLOCK = 1000
"""Offsets of one block."""
SHOWN = 200
"""Characters of an exception's message that a row keeps."""
HOUR = 3_600_000
"""Milliseconds."""


@dataclass(slots=True)
class Cause:
    """The letters of one fingerprint.

    Attributes:
        exception: The exception's class.
        handler: Whose record it was.
        message: What the latest of them said.
        first, last: When the first and the last of them failed, in milliseconds since the epoch.
        count: How many they are.
        sample: The latest of them: partition and offset.
        hours: How many by hour, in hours since the epoch.
        targets: How many by the topic that they came from; "" for those that name none.
    """

    exception: str
    handler: str
    message: str
    first: int
    last: int
    count: int
    sample: tuple[int, int]
    hours: dict[int, int] = field(default_factory=dict)
    targets: dict[str, int] = field(default_factory=dict)

    def add(self, other: Cause) -> None:
        """Take another part of the same cause in; the later one's words stay."""
        self.first = min(self.first, other.first)
        if other.last >= self.last:
            self.last, self.sample, self.message = other.last, other.sample, other.message
        self.count += other.count
        for hour, count in other.hours.items():
            self.hours[hour] = self.hours.get(hour, 0) + count
        for topic, count in other.targets.items():
            self.targets[topic] = self.targets.get(topic, 0) + count

    def copy(self) -> Cause:
        """One of its own."""
        said = (self.exception, self.handler, self.message, self.first, self.last, self.count, self.sample)
        return Cause(*said, dict(self.hours), dict(self.targets))


@dataclass(slots=True)
class Block:
    """The letters of `[begin, covered)`, which lies within `BLOCK` offsets of one partition.

    Attributes:
        partition: The partition.
        begin: The first offset.
        covered: The offset behind the last one.
        causes: By fingerprint.
    """

    partition: int
    begin: int
    covered: int
    causes: dict[str, Cause] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """Which block of its partition it is."""
        return self.begin // BLOCK

    @property
    def end(self) -> int:
        """The first offset that is no longer this block's."""
        return (self.number + 1) * BLOCK

    def add(self, letter: Letter) -> None:
        """Fold one more in."""
        self.covered = letter.offset + 1
        failed = failed_at(letter)
        source = letter.original.topic or ""
        here = (letter.partition, letter.offset)
        message = letter.message[:SHOWN]
        known = self.causes.get(letter.fingerprint)
        if known is None:
            known = Cause(letter.exception, letter.handler, message, failed, failed, 0, here)
            self.causes[letter.fingerprint] = known
        known.count += 1
        known.first = min(known.first, failed)
        if failed >= known.last:
            known.last, known.sample, known.message = failed, here, message
        hour = failed // HOUR
        known.hours[hour] = known.hours.get(hour, 0) + 1
        known.targets[source] = known.targets.get(source, 0) + 1

    def as_json(self) -> dict[str, Any]:
        """As a row keeps it."""
        return {
            "partition": self.partition,
            "begin": self.begin,
            "covered": self.covered,
            "causes": {
                fingerprint: {
                    "exception": one.exception,
                    "handler": one.handler,
                    "message": one.message,
                    "first": one.first,
                    "last": one.last,
                    "count": one.count,
                    "sample": one.sample[1],
                    "hours": one.hours,
                    "targets": one.targets,
                }
                for fingerprint, one in self.causes.items()
            },
        }

    @classmethod
    def of_json(cls, row: dict[str, Any]) -> Block:
        """What `as_json` wrote."""
        causes = {
            fingerprint: Cause(
                one["exception"],
                one["handler"],
                one["message"],
                one["first"],
                one["last"],
                one["count"],
                (row["partition"], one["sample"]),
                {int(hour): count for hour, count in one["hours"].items()},
                one["targets"],
            )
            for fingerprint, one in row["causes"].items()
        }
        return cls(row["partition"], row["begin"], row["covered"], causes)


def failed_at(letter: Letter) -> int:
    """When the record failed for the last time, in milliseconds since the epoch: as the letter says, else its own."""
    if letter.last_failed is not None:
        return int(letter.last_failed.timestamp() * 1000)
    return letter.timestamp or 0
