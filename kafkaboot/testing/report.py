"""What a run under faults contained, and what was wrong with it.

A check that saw nothing proves nothing: `Report.demand` puts a floor under what the run must have contained.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Violation:
    """One promise broken, once."""

    invariant: str
    what: str


@dataclass(slots=True)
class Report:
    """What a run contained and what was wrong with it."""

    seed: int = 0
    records: int = 0
    handled: int = 0
    repeated: int = 0
    interrupted: int = 0
    raised: int = 0
    commits: int = 0
    in_flight: int = 0
    letters: int = 0
    letters_repeated: int = 0
    letters_in_flight: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    recoveries: list[float] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)

    def broken(self, invariant: str) -> list[Violation]:
        """The violations of one invariant."""
        return [found for found in self.violations if found.invariant == invariant]

    def demand(
        self,
        *,
        records: int,
        faults: int = 0,
        in_flight: int = 0,
        commits: int = 1,
        letters: int = 0,
        letters_in_flight: int = 0,
    ) -> None:
        """The run kept every promise, and contained at least this much.

        Args:
            records: Records of the input topic.
            faults: Things done to processes and brokers.
            in_flight: Processes killed while a handler was at work in them.
            commits: Commits that the broker wrote down.
            letters: Dead letters, repeated ones included.
            letters_in_flight: Processes killed while they had a letter that was not acknowledged.

        Raises:
            AssertionError: With the whole report.
        """
        assert not self.violations, f"promises were broken\n{self}"
        floors = {
            "records": (self.records, records),
            "faults": (sum(self.faults.values()), faults),
            "kills in flight": (self.in_flight, in_flight),
            "commits": (self.commits, commits),
            "letters": (self.letters, letters),
            "kills with letters in flight": (self.letters_in_flight, letters_in_flight),
        }
        for name, (found, floor) in floors.items():
            assert found >= floor, f"{found} {name} are no evidence, at least {floor} were due\n{self}"

    def __str__(self) -> str:
        found = Counter(violation.invariant for violation in self.violations)
        faults = ", ".join(f"{count} {kind}" for kind, count in sorted(self.faults.items())) or "none"
        lines = [
            f"records {self.records}  handled {self.handled}  commits {self.commits}  seed {self.seed}",
            f"faults: {faults}; killed with work in flight: {self.in_flight}",
            f"lost {found['I1']}  out of order {found['I4']}  committed early {found['I5']}  two owners {found['I6']}",
            (
                f"duplicated {self.repeated}, {found['I3']} of them against the rule; interrupted {self.interrupted}, "
                f"raised {self.raised}"
            ),
        ]
        if self.letters:
            lines.append(
                f"dead letters {self.letters}  repeated {self.letters_repeated}  "
                f"killed with letters in flight: {self.letters_in_flight}"
            )
        if self.recoveries:
            ranked = sorted(self.recoveries)
            p50, p95 = (ranked[min(len(ranked) - 1, int(len(ranked) * share))] for share in (0.5, 0.95))
            lines.append(f"recovery p50 {p50:.2f} s  p95 {p95:.2f} s  max {ranked[-1]:.2f} s")
        for invariant in sorted(found):
            shown = [violation.what for violation in self.broken(invariant)[:_SHOWN]]
            lines += [f"{invariant}: {what}" for what in shown]
            lines += [f"{invariant}: and {found[invariant] - _SHOWN} more"] * (found[invariant] > _SHOWN)
        return "\n".join(lines)
