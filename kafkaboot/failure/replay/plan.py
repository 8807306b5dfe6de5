"""What an errand comes to: counted letter by letter, before anything is touched."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kafkaboot.failure.letter import read as read_letter
from kafkaboot.failure.replay.reading import chunks

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.client import ReaderPort
    from kafkaboot.failure.replay.catalogue import Catalogue
    from kafkaboot.failure.replay.jobs import Errand
    from kafkaboot.failure.replay.routes import Router


@dataclass(slots=True)
class Plan:
    """An errand's letters.

    Attributes:
        errand: What is to be done.
        selected: How many letters are meant.
        causes: How many by fingerprint, exception and handler.
        targets: How many by state and topic.
        groups: How many of those that something is done with, by the consumer group that failed on them.
        left: By the reason for which letters are left as they are: how many, and the place of the first.
        doubtful: How many have headers that cannot be read in part.
        begins, ends: By partition the first letter that is meant, and the offset behind the last.
    """

    errand: Errand
    selected: int = 0
    causes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    targets: Counter[tuple[str, str]] = field(default_factory=Counter)
    groups: Counter[str] = field(default_factory=Counter)
    left: dict[str, tuple[int, str]] = field(default_factory=dict)
    doubtful: int = 0
    begins: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)

    @property
    def remaining(self) -> int:
        """How many are left as they are."""
        return sum(count for count, _ in self.left.values())

    @property
    def going(self) -> int:
        """How many something is done with."""
        return self.selected - self.remaining

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "errand": self.errand.as_json(),
            "selected": self.selected,
            "going": self.going,
            "causes": [
                {"fingerprint": print_, "exception": exception, "handler": handler, "count": count}
                for (print_, exception, handler), count in self.causes.most_common()
            ],
            "targets": [
                {"state": state, "topic": topic, "count": count} for (state, topic), count in self.targets.most_common()
            ],
            "left": [{"why": why, "count": count, "first": first} for why, (count, first) in self.left.items()],
            "doubtful": self.doubtful,
        }


def draw(
    catalogue: Catalogue,
    reader: ReaderPort,
    errand: Errand,
    router: Router,
    heard: Callable[[int, int], None] | None = None,
) -> Plan:
    """Read the letters that can be meant, and count.

    Raises:
        ClientError: The broker does not give them out.
    """
    plan = Plan(errand)
    states = catalogue.states
    begins, ends = catalogue.ranges(errand.selection)
    total = sum(ends[tp] - begin for tp, begin in begins.items())
    report = (lambda count: heard(count, total)) if heard is not None else None
    for chunk in chunks(reader, begins, ends, report):
        for record in chunk:
            letter = read_letter(record)
            if not errand.selection.takes(letter, states.of(letter.partition, letter.offset)):
                continue
            plan.selected += 1
            plan.causes[letter.fingerprint, letter.exception, letter.handler] += 1
            plan.doubtful += bool(letter.doubts)
            plan.begins.setdefault(letter.partition, letter.offset)
            plan.ends[letter.partition] = letter.offset + 1
            route = router.route(letter)
            if route.state:
                plan.targets[route.state, route.topic] += 1
                plan.groups[letter.group] += 1
            else:
                count, first = plan.left.get(route.why, (0, letter.where))
                plan.left[route.why] = (count + 1, first)
    return plan
