"""What goes wrong when: the faults of one simulated run, and how they are written."""

from __future__ import annotations

from typing import Literal, NamedTuple, Self, cast, get_args

Kind = Literal["crash", "rebalance", "expire", "commit", "fail", "unanswered"]
"""A process dies; another one joins or leaves; a session ends; commits fail; an effect fails, before or after it."""
Where = Literal["between", "waiting", "effect", "done"]
"""A step: between two moves of a process, while its poller waits, before an effect, and right after it."""

POSSIBLE: dict[Where, tuple[Kind, ...]] = {
    "between": ("crash", "rebalance", "expire", "commit"),
    "waiting": ("crash",),
    "effect": ("crash", "fail"),
    "done": ("crash", "unanswered"),
}


class Fault(NamedTuple):
    """It strikes at the first step from `step` on at which it is possible."""

    step: int
    kind: Kind

    def __str__(self) -> str:
        return f"{self.step}:{self.kind}"


class Schedule(tuple[Fault, ...]):
    """The faults of a run, by step; as text `7:crash 12:commit`."""

    __slots__ = ()

    @classmethod
    def of(cls, *faults: Fault) -> Self:
        """In the order of their steps."""
        return cls(sorted(faults))

    @classmethod
    def read(cls, text: str) -> Self:
        """What `str` wrote.

        Raises:
            ValueError: It is no schedule.
        """
        faults = []
        for word in text.split():
            step, _, kind = word.partition(":")
            if not step.isdecimal() or kind not in get_args(Kind):
                kinds = ", ".join(get_args(Kind))
                raise ValueError(f"{word!r} is no fault of a schedule: write `STEP:KIND`; kinds are {kinds}")
            faults.append(Fault(int(step), cast("Kind", kind)))
        return cls.of(*faults)

    def __str__(self) -> str:
        return " ".join(map(str, self))
