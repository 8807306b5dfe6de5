"""Which letters are meant: a filter, never a list of what happens to be on a page."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from kafkaboot.failure.replay.fold import failed_at
from kafkaboot.failure.replay.marks import NEW

if TYPE_CHECKING:
    from kafkaboot.failure.letter import Letter


class Place(NamedTuple):
    """One letter of a topic."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}@{self.offset}"


@dataclass(frozen=True, slots=True)
class Selection:
    """The letters that fit everything that is said; nothing said of a thing means all.

    Attributes:
        fingerprint: The cause's fingerprint, or the beginning of it.
        exception: The exception's class, with its module or without.
        handler: The handler that failed.
        record: One letter alone.
        since, until: Failed at this time or later, and before that one, in milliseconds since the epoch.
        states: Letters in one of these states; empty: in any.
    """

    fingerprint: str | None = None
    exception: str | None = None
    handler: str | None = None
    record: Place | None = None
    since: int | None = None
    until: int | None = None
    states: tuple[str, ...] = (NEW,)

    def cause(self, fingerprint: str, exception: str, handler: str) -> bool:
        """Whether letters of this cause can be among those that are meant."""
        return (
            (self.fingerprint is None or fingerprint.startswith(self.fingerprint))
            and (self.exception is None or self.exception in {exception, exception.rpartition(".")[2]})
            and (self.handler is None or handler == self.handler)
        )

    def takes(self, letter: Letter, state: str) -> bool:
        """Whether this letter is meant."""
        if self.states and state not in self.states:
            return False
        if self.record is not None and self.record != (letter.partition, letter.offset):
            return False
        if not self.cause(letter.fingerprint, letter.exception, letter.handler):
            return False
        if self.since is None and self.until is None:
            return True
        failed = failed_at(letter)
        return (self.since is None or failed >= self.since) and (self.until is None or failed < self.until)

    def as_json(self) -> dict[str, Any]:
        """As a row keeps it, without what was not said."""
        said = {name: value for name, value in asdict(self).items() if value not in (None, ())}
        return {**said, "record": list(self.record)} if self.record is not None else said

    @classmethod
    def of_json(cls, row: dict[str, Any]) -> Selection:
        """What `as_json` wrote."""
        record = row.get("record")
        return cls(
            **{
                **row,
                "record": Place(*record) if record is not None else None,
                "states": tuple(row.get("states", ())),
            }
        )
