"""The test that `kafkaboot probe --save-test` writes, in a project of `kafkaboot new`; and pdb on scripted input."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
GREETS = "    return GreetingGiven("
BROKEN = '    if asked.name == "Bob":\n        raise ValueError("no greeting for Bob")\n' + GREETS
VALUE = b'{"name":"Bob"}'
RECORD = """{"topic": "greetings", "partition": 2, "offset": 41, "timestamp": 1700000000000, "key": {"base64": "/wA="},
 "headers": [["trace", "%s"], ["nothing", null], ["quotes", "it's \\"so\\" \\\\ \\n"]], "value": {"name": "Bob"}}"""


def run(folder: Path, *command: object, text: str = "") -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("KAFKABOOT_", "PYTEST_"))}
    return subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env=environ,
        input=text,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def kafkaboot(folder: Path, *arguments: object, text: str = "") -> subprocess.CompletedProcess[str]:
    return run(folder, sys.executable, "-m", "kafkaboot", *arguments, text=text)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    assert kafkaboot(tmp_path, "new", "hello", "--into", "hello").returncode == 0
    folder = tmp_path / "hello"
    handlers = folder / "hello" / "handlers.py"
    handlers.write_text(handlers.read_text().replace(GREETS, BROKEN))
    (folder / "record.json").write_text(RECORD % ("x" * 300))
    return folder


def mend(project: Path) -> None:
    handlers = project / "hello" / "handlers.py"
    handlers.write_text(handlers.read_text().replace(BROKEN, GREETS))


def test_a_saved_test_fails_before_the_fix_and_passes_after_it(project: Path) -> None:
    done = kafkaboot(project, "probe", "greet", "@record.json", "--save-test", "tests/test_bob.py")
    assert done.returncode == 1, done.stderr
    assert "it fails until the handler is mended" in done.stderr

    for check in (["ruff", "check", "tests"], ["ruff", "format", "--check", "tests"], ["mypy"]):
        checked = run(project, BIN / check[0], *check[1:])
        assert checked.returncode == 0, checked.stdout + checked.stderr

    pytest_ = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_bob.py"]
    before = run(project, *pytest_)
    assert before.returncode == 1, before.stdout
    assert "no greeting for Bob" in before.stdout
    assert "greetings[2]@41" in before.stdout

    mend(project)
    after = run(project, *pytest_)
    assert after.returncode == 0, after.stdout

    again = kafkaboot(project, "probe", "greet", "@record.json", "--save-test", "tests/test_bob.py")
    assert again.returncode == 2
    assert "exists" in again.stderr
    forced = kafkaboot(project, "probe", "greet", "@record.json", "--save-test", "tests/test_bob.py", "--force")
    assert forced.returncode == 0
    assert "it passes as the handler is" in forced.stderr


def test_pdb_stops_at_the_first_line_and_where_it_raises(project: Path) -> None:
    script = "p 'first', asked.name\nc\np 'raised', asked.name\nq\n"
    done = kafkaboot(project, "probe", "greet", "@record.json", "--pdb", text=script)
    assert done.returncode == 1, done.stderr
    first, _, rest = done.stdout.partition("('first', 'Bob')")
    assert 'if asked.name == "Bob":' in first
    assert "('raised', 'Bob')" in rest
    assert "outcome  raised" in rest


def test_pdb_that_is_left_ends_the_probe_with_1_and_without_a_traceback(project: Path) -> None:
    done = kafkaboot(project, "probe", "greet", "@record.json", "--pdb", text="q\n")
    assert done.returncode == 1
    assert "left in the debugger" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_pdb_of_a_def_handler_stops_on_the_thread_that_listens_to_the_terminal(project: Path) -> None:
    handlers = project / "hello" / "handlers.py"
    handlers.write_text(handlers.read_text().replace("async def greet", "def greet"))
    done = kafkaboot(project, "probe", "greet", '{"name": "Ada"}', "--pdb",
                     text="import threading\np threading.current_thread().name\nc\n")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "'MainThread'" in done.stdout
    assert "outcome  returned" in done.stdout
