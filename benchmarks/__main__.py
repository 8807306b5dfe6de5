"""`python -m benchmarks [CASE ...]`: run cases on a real Apache Kafka and print their ratios."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import table
from benchmarks.backlog import Topics
from benchmarks.cases import all_cases
from benchmarks.run import Case, RunError, Runner

if TYPE_CHECKING:
    from collections.abc import Iterator


def main() -> int:
    """The exit code says only whether everything ran: 1 when some case did not, never that one was slow."""
    given = arguments()
    cases = all_cases(given.records)
    if given.list:
        print("\n".join(f"{case.name:18} {case.title}" for case in cases.values()))
        return 0
    if unknown := [name for name in given.cases if name not in cases]:
        print(f"no case {', '.join(unknown)}; there are: {', '.join(cases)}", file=sys.stderr)
        return 2
    done, failed, results = [], [], {}
    chosen = [without(cases[name], tuple(given.without)) for name in given.cases or cases]
    needed = any(case.needs_broker for case in chosen)
    with alone(), broker(given.bootstrap) if needed else contextlib.nullcontext("") as bootstrap:
        runner = Runner(bootstrap, Topics(bootstrap) if needed else None)
        print(", ".join(f"{name} {value}" for name, value in table.machine().items()), flush=True)
        for case in chosen:
            if not case.sides:
                continue
            try:
                result = runner.run(case, given.pairs)
            except RunError as error:
                failed.append(case.name)
                print(f"\n{case.name}: did not run\n  {error}", flush=True)
                continue
            done.append(table.as_json(result))
            results[case.name] = result
            print(f"\n{table.text(result)}", flush=True)
    if side_by_side := table.promises(results):
        print(f"\n{side_by_side}", flush=True)
    if given.json:
        given.json.write_text(json.dumps({"machine": table.machine(), "cases": done, "did not run": failed}, indent=1))
    return 1 if failed else 0


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=main.__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="which cases; all without one")
    parser.add_argument("--list", action="store_true", help="name the cases and stop")
    parser.add_argument("--pairs", type=int, default=5, help="counted rounds of each case (5)")
    parser.add_argument("--records", type=int, default=1_000_000, help="records of a run (1,000,000)")
    parser.add_argument("--bootstrap", help="a running broker to use; its bench- topics are kept for the next run")
    parser.add_argument(
        "--without", action="append", default=[], metavar="LABEL", help="leave out the sides whose label begins so"
    )
    parser.add_argument("--json", type=Path, help="write every round to this file")
    return parser.parse_args()


def without(case: Case, labels: tuple[str, ...]) -> Case:
    """The case without the sides whose labels begin so, and without the checks that need them."""
    return dataclasses.replace(
        case,
        sides=tuple(side for side in case.sides if not side.label.startswith(labels)),
        checks=tuple(
            check
            for check in case.checks
            if not f"{check.of}".startswith(labels) and not f"{check.against}".startswith(labels)
        ),
    )


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Two benchmarks at once would measure each other."""
    with (Path(tempfile.gettempdir()) / "kafkaboot-benchmarks.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("another benchmark is running on this machine")
        yield


@contextlib.contextmanager
def broker(bootstrap: str | None) -> Iterator[str]:
    """The broker that was named, or one of our own, with the optimising compiler that a server has."""
    if bootstrap:
        yield bootstrap
        return
    from kafkaboot.dev.local import LocalKafka

    with LocalKafka(jit="full") as local:
        yield local.bootstrap_servers


if __name__ == "__main__":
    sys.exit(main())
