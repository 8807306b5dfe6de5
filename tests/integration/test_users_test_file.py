"""The test file of the README: ten lines that run in under a second on the embedded broker, unchanged on a real one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
PYPROJECT = """
[tool.pytest.ini_options]
asyncio_mode = "auto"
asyncio_default_fixture_loop_scope = "function"
pythonpath = ["."]
filterwarnings = ["error"]
addopts = "-p no:cacheprovider -p no:xdist -p no:hypothesispytest"
"""
MARKED = """
import pytest

def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.kafka({address!r}))
"""


def block(path: str) -> str:
    """The code block of the README that begins with a comment naming its file."""
    found = re.search(rf"^```\w+\n# {re.escape(path)}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    assert found, f"the README has no block for {path}"
    return found[1]


def lines(code: str) -> int:
    return len([line for line in code.splitlines() if line.strip()])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for path in ("shop/handlers.py", "config/application.yaml", "tests/test_billing.py"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(block(path), encoding="utf-8")
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "pyproject.toml").write_text(PYPROJECT, encoding="utf-8")
    return tmp_path


def run(project: Path, *arguments: str) -> tuple[float, str]:
    """The seconds that pytest says the run took, and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=project,
        env={name: value for name, value in os.environ.items() if not name.startswith(("KAFKABOOT_", "PYTEST_"))},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    took = re.search(r"1 passed in ([0-9.]+)s", said)
    assert took, said
    return float(took[1]), said


def test_it_has_ten_lines() -> None:
    assert lines(block("tests/test_billing.py")) <= 10


def test_it_runs_on_the_embedded_broker(project: Path, record_property: pytest.RecordProperty) -> None:
    """The seconds are printed, not asserted: the machine may be busy."""
    run(project)  # compiles what was never imported here
    took, _ = run(project)
    record_property("seconds", took)
    print(f"on the embedded broker: {took:.2f} s")


def test_it_fails_when_the_handler_is_wrong(project: Path) -> None:
    handlers = project / "shop" / "handlers.py"
    handlers.write_text(handlers.read_text().replace("(1 + tax.rate)", "(2 + tax.rate)"), encoding="utf-8")
    with pytest.raises(AssertionError, match=r"assert Decimal\('65.70'\) == Decimal\('35.70'\)"):
        run(project)


@pytest.mark.parametrize("how", ["option", "marker"])
def test_it_runs_unchanged_on_a_real_kafka(project: Path, kafka, how: str) -> None:
    address = kafka.bootstrap_servers
    began = time.monotonic()
    if how == "option":
        run(project, "--kafka", address)
    else:
        (project / "conftest.py").write_text(MARKED.format(address=address), encoding="utf-8")
        run(project)
    print(f"on a real Kafka: {time.monotonic() - began:.1f} s")


def test_it_leaves_nothing_on_a_kafka_that_others_use(project: Path, kafka, topic) -> None:
    from kafkaboot.client.confluent.factory import ConfluentClients
    from kafkaboot.client.settings import KafkaSettings

    others = topic()
    run(project, "--kafka", kafka.bootstrap_servers)
    admin = ConfluentClients(KafkaSettings(), bootstrap_servers=kafka.bootstrap_servers).admin()
    try:
        left = set(admin.topics(30))
        assert others in left
        assert not left & {"orders", "invoices"}
        assert "shop" not in admin.groups(30)
    finally:
        admin.close()
