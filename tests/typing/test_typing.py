"""What the decorators do to the types of a user's code, as mypy sees it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def mypy(file: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(HERE / file)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        cwd=HERE.parent.parent,
    )


def test_decorated_code_keeps_its_types_under_mypy_strict() -> None:
    done = mypy("user_code.py")
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


def test_each_mistake_in_code_is_found_on_its_line() -> None:
    done = mypy("wrong_code.py")
    found = {int(line.split(":")[1]) for line in done.stdout.splitlines() if ": error:" in line}
    lines = (HERE / "wrong_code.py").read_text().splitlines()
    calls = ("event_handler(", "publisher(", "event(", "on_start(", "on_dead_letter(", "bill(")
    assert found == {number for number, line in enumerate(lines, 1) if line.startswith(calls)}
