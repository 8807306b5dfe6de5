"""The laws of the house that a machine can check."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "kafkaboot"
LONGEST = 400
NO_ROOM_IS_CALLED = {"utils", "util", "core", "common", "base", "manager", "managers", "helpers", "helper", "misc"}

SOURCES = sorted(PACKAGE.rglob("*.py"))


def too_long(files: list[Path]) -> list[str]:
    counted = ((file, len(file.read_text().splitlines())) for file in files)
    return [f"{file.name}: {lines} lines" for file, lines in counted if lines > LONGEST]


def test_no_file_is_longer_than_400_lines(tmp_path: Path) -> None:
    assert too_long(SOURCES) == []
    long = tmp_path / "long.py"
    long.write_text("\n" * (LONGEST + 1))
    assert too_long([long]) == [f"long.py: {LONGEST + 1} lines"]


def says_nothing(files: list[Path]) -> list[str]:
    return [str(file) for file in files if {*file.relative_to(PACKAGE).with_suffix("").parts} & NO_ROOM_IS_CALLED]


def test_no_module_has_a_name_that_says_nothing() -> None:
    assert says_nothing(SOURCES) == []
    assert says_nothing([PACKAGE / "consumer" / "utils.py"]) != []


def test_imports_keep_to_the_floors() -> None:
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_file_that_climbs_a_floor_is_found(tmp_path: Path) -> None:
    house = tmp_path / "kafkaboot"
    for room in ("declare", "message"):
        (house / room).mkdir(parents=True)
        (house / room / "__init__.py").write_text("")
    (house / "__init__.py").write_text("")
    (house / "message" / "climbing.py").write_text("import kafkaboot.declare\n")
    (tmp_path / ".importlinter").write_text(
        "[importlinter]\nroot_package = kafkaboot\n"
        "[importlinter:contract:1]\nname = floors\ntype = layers\ncontainers = kafkaboot\n"
        "layers =\n    declare\n    message\n"
    )
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "kafkaboot.message is not allowed to import kafkaboot.declare" in done.stdout
