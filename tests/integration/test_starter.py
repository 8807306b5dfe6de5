"""The starter that starters/README.md shows, taken from its text, built, and installed next to an application."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from kafkaboot.testing import eventually

README = Path(__file__).parents[2] / "starters" / "README.md"
YAML = """
kafkaboot:
  application: {name: desk, packages: [desk]}
  kafka: {broker: embedded}
  topics: {orders: {}, heartbeats: {}}
"""
CODE = """
from kafkaboot import event_handler

@event_handler("orders")
async def bill(order: dict) -> None: ...

@event_handler("heartbeats")
async def hear(beat: dict) -> None:
    print("heard", sorted(beat), flush=True)
"""


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """An application's folder; what is installed for it is in `site` below."""
    (tmp_path / "application.yaml").write_text(YAML)
    (tmp_path / "desk.py").write_text(CODE)
    return tmp_path


def install(desk: Path, change: tuple[str, str] = ("", "")) -> None:
    """Build a wheel from the README's files, and lay it out as an installer does. No network, no pip."""
    source = desk / "heartbeat"
    blocks = re.findall(r"```(?:toml|python)\n# (\S+)\n(.*?)```", README.read_text(), re.DOTALL)
    assert [path for path, _ in blocks][:2] == ["pyproject.toml", "kafkaboot_heartbeat/__init__.py"]
    for path, text in blocks:
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(text.replace(*change) if change[0] else text)
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(desk / "dist")]
    subprocess.run(build, cwd=source, check=True, capture_output=True, timeout=60)
    (wheel,) = (desk / "dist").glob("kafkaboot_heartbeat-1.0-*.whl")
    zipfile.ZipFile(wheel).extractall(desk / "site")


def start(desk: Path, *arguments: str) -> subprocess.Popen[str]:
    with (desk / "out").open("w") as out:
        return subprocess.Popen(
            [sys.executable, "-m", "kafkaboot", *arguments],
            cwd=desk,
            env={**os.environ, "PYTHONPATH": str(desk / "site"), "COLUMNS": "200"},
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
        )


def run(desk: Path, *arguments: str, until: str) -> str:
    """What `kafkaboot run` has printed when it was stopped after saying `until`."""
    with start(desk, "run", "--debug", *arguments) as process:
        out = desk / "out"
        eventually(lambda: until in out.read_text() or process.poll() is not None, 30, out.read_text)
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0, out.read_text()
    return out.read_text()


def fails(desk: Path, *arguments: str) -> tuple[int, str]:
    with start(desk, *arguments) as process:
        return process.wait(30), (desk / "out").read_text()


def test_a_starter_is_used_because_it_is_installed(desk):
    install(desk)

    text = run(desk, "--set", "kafkaboot.heartbeat.every=50ms", until="heard ['at']")
    assert "heard ['at']" in text
    assert "heartbeat (kafkaboot-heartbeat 1.0): on" in text
    assert re.search(r"yes +nothing else provides \S*Heart\b", text), text


def test_its_section_is_checked_like_the_house_s_own(desk):
    install(desk)

    code, text = fails(desk, "config", "check", "--set", "kafkaboot.heartbeat.evry=1s")
    assert code == 3, text
    assert "kafkaboot.heartbeat.evry" in text
    assert "every" in text


def test_without_it_its_section_is_unknown(desk):
    code, text = fails(desk, "config", "check", "--set", "kafkaboot.heartbeat.every=1s")
    assert code == 3, text
    assert "heartbeat" in text


def test_it_is_switched_off_by_its_name(desk):
    install(desk)

    text = run(desk, "--set", "kafkaboot.autoconfigure.exclude=heartbeat", until="ready")
    assert "heartbeat (kafkaboot-heartbeat 1.0): excluded" in text
    assert "heard" not in text


def test_the_application_s_own_component_wins(desk):
    install(desk)
    (desk / "desk.py").write_text(
        CODE
        + """
from kafkaboot import Producer, component
from kafkaboot_heartbeat.heart import Heart

@component
def slow(producer: Producer) -> Heart:
    return Heart(producer, "orders", 60)
"""
    )

    text = run(desk, until="ready")
    assert re.search(r"no +the application has its own \S*Heart\b", text), text
    assert "heard" not in text


def test_a_broken_one_is_named_with_its_distribution(desk):
    install(desk, change=("import asyncio\n", "import asyncio\nimport a_library_that_is_not_there\n"))

    code, text = fails(desk, "run")
    assert code == 1, text
    assert "'heartbeat' of kafkaboot-heartbeat 1.0 cannot be loaded" in text
    assert "No module named 'a_library_that_is_not_there'" in text
    assert "kafkaboot.autoconfigure.exclude: [heartbeat]" in text

    text = run(desk, "--set", "kafkaboot.autoconfigure.exclude=heartbeat", until="ready")
    assert "heartbeat (kafkaboot-heartbeat 1.0): excluded" in text
