"""Cases, and how they are run: interleaved rounds, each side in a fresh process with a fresh group."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.backlog import Shape, Topics

ROOT = Path(__file__).resolve().parent.parent
APPS = ROOT / "benchmarks" / "apps"
QUIX_PYTHON = str(Path(sys.prefix).with_name(Path(sys.prefix).name + "-bench") / "bin" / "python")

Figures = dict[str, float]


@dataclass(frozen=True)
class Side:
    """One of the programs that a case compares.

    Attributes:
        label: Its name in the table.
        command: What is run, after the interpreter.
        shape: The backlog that it reads; `None` when it starts a broker of its own.
        records: How many records make a run, where it is too slow for the whole backlog or has none.
        out: Partitions of the topic that it writes to; 0 for none.
        rate: Orders a second that are sent to it from outside, instead of a backlog; 0 for none.
        interpreter: Another one than the runner's.
    """

    label: str
    command: tuple[str, ...]
    shape: Shape | None
    records: int | None = None
    out: int = 0
    rate: int = 0
    interpreter: str = sys.executable
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def due(self) -> int:
        """Records of a run."""
        return self.records or (self.shape.records if self.shape else 1)


@dataclass(frozen=True)
class Check:
    """One line of PERFORMANCE: a figure of one side, held against another's in the same round.

    Attributes:
        how: `ratio` and `difference` are taken round by round; `value` is the figure itself.
        most: The figure is to stay below bar and aim, not above.
    """

    figure: str
    of: str
    against: str | None = None
    how: Literal["ratio", "difference", "value"] = "ratio"
    bar: float | None = None
    aim: float | None = None
    most: bool = False

    def values(self, rounds: list[dict[str, Figures]]) -> list[float]:
        """One value a round."""
        mine = [sides[self.of][self.figure] for sides in rounds]
        if self.how == "value" or self.against is None:
            return mine
        theirs = [sides[self.against][self.figure] for sides in rounds]
        return [a / b if self.how == "ratio" else a - b for a, b in zip(mine, theirs, strict=True)]

    def holds(self, value: float, limit: float | None) -> bool | None:
        """Whether `value` keeps within `limit`; `None` without one."""
        if limit is None:
            return None
        return value <= limit if self.most else value >= limit


@dataclass(frozen=True)
class Case:
    """A question, the programs that are compared, and what is expected."""

    name: str
    title: str
    sides: tuple[Side, ...]
    checks: tuple[Check, ...]
    columns: tuple[str, ...] = ("rate", "cpu", "peak")

    @property
    def needs_broker(self) -> bool:
        """Whether a side reads from the runner's broker."""
        return any(side.shape for side in self.sides)


@dataclass
class Result:
    """What a case's rounds gave."""

    case: Case
    rounds: list[dict[str, Figures]]
    notes: list[str] = field(default_factory=list)

    def medians(self) -> dict[str, Figures]:
        """By side."""
        return {
            side.label: {
                figure: statistics.median(sides[side.label][figure] for sides in self.rounds)
                for figure in self.rounds[0][side.label]
            }
            for side in self.case.sides
        }

    def verdicts(self) -> Iterator[tuple[Check, list[float], float]]:
        """Each check with its values and their median."""
        for check in self.case.checks:
            values = check.values(self.rounds)
            yield check, values, statistics.median(values)


class RunError(Exception):
    """A side did not finish: the text says which, and how it ended."""


class Runner:
    """Runs cases on one broker."""

    def __init__(self, bootstrap: str, topics: Topics | None, deadline: float = 300) -> None:
        """`topics`: `None` where no case needs the broker. `deadline`: seconds after which a process is given up."""
        self._bootstrap, self._topics, self._deadline = bootstrap, topics, deadline

    def run(self, case: Case, rounds: int) -> Result:
        """One uncounted run of each side, so that broker and disk cache are warm for all, then A B A B ..."""
        written: dict[str, tuple[str, ...]] = {}
        for side in case.sides:
            self.once(side, written)
        result = Result(case, [{side.label: self.once(side, written) for side in case.sides} for _ in range(rounds)])
        if len(set(written.values())) > 1:
            result.notes.append("headers differ: " + "; ".join(f"{k}: {', '.join(v)}" for k, v in written.items()))
        return result

    def once(self, side: Side, written: dict[str, tuple[str, ...]]) -> Figures:
        """One run of one side; `written` learns which headers its output carries."""
        if side.shape is None:
            return self._spawn(side, "", "")
        topics = self._topics
        assert topics is not None
        topic = topics.fresh(side.shape.partitions) if side.rate else topics.loaded(side.shape)
        out = topics.fresh(side.out) if side.out else ""
        try:
            figures = self._spawn(side, topic, out)
            if out:
                # Speed counts only where everything arrived.
                if (there := topics.size(out)) < side.due:
                    raise RunError(f"{side.label} delivered {there:,} records of {side.due:,}")
                written[side.label] = tuple(sorted(name for name, _ in topics.one_of(out)))
            return figures
        finally:
            if out:
                topics.drop(out)
            if side.rate:
                topics.drop(topic)

    def _spawn(self, side: Side, topic: str, out: str) -> Figures:
        with tempfile.TemporaryDirectory(prefix="kafkaboot-bench-") as folder:
            return self._spawned(side, topic, out, Path(folder))

    def _spawned(self, side: Side, topic: str, out: str, folder: Path) -> Figures:
        environ = os.environ | {
            "PYTHONPATH": str(ROOT),
            "BENCH_BOOTSTRAP": self._bootstrap,
            "BENCH_TOPIC": topic,
            "BENCH_OUT": out,
            "BENCH_GROUP": f"bench-{uuid.uuid4().hex[:12]}",
            "BENCH_RECORDS": str(side.due),
            "BENCH_RESULT": str(folder / "result"),
            **({"BENCH_READY": str(folder / "ready")} if side.rate else {}),
            **side.environ,
        }
        if not Path(side.interpreter).exists():
            raise RunError(f"{side.label} needs {side.interpreter}: run `make bench` once")
        with (folder / "log").open("w") as log:
            environ["BENCH_SPAWNED"] = str(time.monotonic())
            command = [side.interpreter, *side.command]
            process = subprocess.Popen(command, cwd=folder, env=environ, stdout=log, stderr=subprocess.STDOUT)
            sender = None
            try:
                if side.rate:
                    sender = subprocess.Popen(
                        [sys.executable, "-m", "benchmarks.sender", str(side.rate)],
                        cwd=folder, env=environ, stdout=log, stderr=subprocess.STDOUT,
                    )  # fmt: skip
                process.wait(self._deadline)
            except subprocess.TimeoutExpired:
                pass
            finally:
                for child in (process, sender):
                    if child is not None and child.poll() is None:
                        child.kill()
                        child.wait()
        if process.returncode or not (folder / "result").exists():
            tail = "\n".join((folder / "log").read_text(errors="replace").splitlines()[-25:])
            raise RunError(f"{side.label} ended with {process.returncode} ({' '.join(command[1:])}):\n{tail}")
        return json.loads((folder / "result").read_text())
