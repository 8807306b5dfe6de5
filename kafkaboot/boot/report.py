"""What was wired, from where, and why: printed by `--debug`, served to operators."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from kafkaboot.declare import type_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kafkaboot.boot.component import Component
    from kafkaboot.boot.conditions import Answer


class Outcome(StrEnum):
    """What became of an auto-configuration."""

    ON = "on"
    OFF = "off"
    EXCLUDED = "excluded"


@dataclass(slots=True)
class Decision:
    """What was decided about one auto-configuration, and why.

    Attributes:
        name: The auto-configuration's name.
        distribution: The distribution that brought it.
        outcome: On, off, or excluded by the configuration.
        answers: What its conditions said.
        offers: What it offers, each with the answers of its own conditions; one `no` leaves it out.
    """

    name: str
    distribution: str
    outcome: Outcome
    answers: list[Answer] = field(default_factory=list)
    offers: list[tuple[Component, list[Answer]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Override:
    """An option of a handler that the configuration sets over what its code says."""

    handler: str
    option: str
    value: object
    code: object
    origin: str

    def __str__(self) -> str:
        return f"{self.handler}: {self.option} = {self.value} ({self.origin}); the code says {self.code}"


@dataclass(slots=True)
class Report:
    """All decisions of one start.

    Attributes:
        decisions: About auto-configurations.
        components: What is built, in its order; what is merely offered, and nobody asked for, is not.
        overrides: Options of handlers that the configuration decides.
    """

    decisions: Sequence[Decision]
    components: Sequence[Component] = ()
    overrides: Sequence[Override] = ()

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield "Auto-configurations"
        for decision in self.decisions:
            yield f"  {decision.name} ({decision.distribution}): {decision.outcome}"
            if decision.outcome is Outcome.EXCLUDED:
                yield "    no   kafkaboot.autoconfigure.exclude names it"
            yield from (f"    {_said(answer)}" for answer in decision.answers)
            for component, answers in decision.offers:
                offered = all(answer.yes for answer in answers)
                yield f"    {'+' if offered else '-'} {type_name(component.provides)}"
                yield from (f"        {_said(answer)}" for answer in answers)
        yield "Components, in the order in which they are built"
        yield from (f"  {one}, of {one.source}" for one in self.components)
        if self.overrides:
            yield "Options of handlers that the configuration decides"
            yield from (f"  {override}" for override in self.overrides)


def _said(answer: Answer) -> str:
    return f"{'yes' if answer.yes else 'no':<4} {answer.why}"
