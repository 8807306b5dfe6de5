"""Deleting letters. Kafka deletes beginnings of partitions only: all that stands before the first letter that stays."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kafkaboot.client import TP
from kafkaboot.failure.letter import read as read_letter
from kafkaboot.failure.replay import index
from kafkaboot.failure.replay.reading import chunks

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.client import AdminPort, ReaderPort
    from kafkaboot.failure.replay.catalogue import Catalogue
    from kafkaboot.failure.replay.selection import Selection


@dataclass(slots=True)
class Purge:
    """What can be deleted.

    Attributes:
        selection: The letters that are meant to go.
        letters: How many can be deleted.
        before: By partition the offset before which everything goes.
        kept: How many are meant to go and stay, because they stand behind one that is to stay.
        states: How many can be deleted, by state.
        blockers: By partition the first letter that is to stay while others behind it are meant to go.
    """

    selection: Selection
    letters: int = 0
    before: dict[int, int] = field(default_factory=dict)
    kept: int = 0
    states: dict[str, int] = field(default_factory=dict)
    blockers: dict[int, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For programs, and for the audit."""
        return {
            "selection": self.selection.as_json(),
            "letters": self.letters,
            "before": self.before,
            "kept": self.kept,
            "states": self.states,
        }


def draw(
    catalogue: Catalogue, reader: ReaderPort, selection: Selection, heard: Callable[[int, int], None] | None = None
) -> Purge:
    """Look which letters can go.

    Raises:
        ClientError: The broker does not give the letters out.
    """
    purge, states = Purge(selection), catalogue.states
    stays: dict[int, int] = {}
    begins = {TP(catalogue.topic, partition): at for partition, at in catalogue.begins.items()}
    ends = {TP(catalogue.topic, partition): at for partition, at in catalogue.ends.items()}
    total = sum(ends[tp] - begin for tp, begin in begins.items())
    for chunk in chunks(reader, begins, ends, None if heard is None else lambda count: heard(count, total)):
        for record in chunk:
            letter = read_letter(record)
            partition, offset = letter.partition, letter.offset
            state = states.of(partition, offset)
            if not selection.takes(letter, state):
                stays.setdefault(partition, offset)
            elif partition in stays:
                purge.kept += 1
                purge.blockers.setdefault(partition, stays[partition])
            else:
                purge.letters += 1
                purge.before[partition] = offset + 1
                purge.states[state] = purge.states.get(state, 0) + 1
    return purge


def delete(catalogue: Catalogue, admin: AdminPort, purge: Purge) -> list[str]:
    """Delete; answers the keys of what the index said of letters that are gone.

    Raises:
        ClientError: The broker refuses.
    """
    admin.delete_records({TP(catalogue.topic, one): at for one, at in purge.before.items()}, index.TIMEOUT)
    return catalogue.contents.gone(purge.before)
