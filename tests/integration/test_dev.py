"""`kafkaboot dev` and `kafkaboot new` as people use them, on a terminal. On the embedded broker."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Self

import pytest

from kafkaboot.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KAFKABOOT = [sys.executable, "-m", "kafkaboot"]
DEADLINE = 40.0

CODE = """
from pydantic import BaseModel
from kafkaboot import event, event_handler, publisher

@event("order.placed")
class OrderPlaced(BaseModel):
    order_id: str

@event("invoice.issued")
class InvoiceIssued(BaseModel):
    order_id: str
    version: str

@event_handler("orders")
@publisher("invoices", key="order_id")
async def bill(order: OrderPlaced) -> InvoiceIssued:
    return InvoiceIssued(order_id=order.order_id, version="first")
"""

YAML = """
kafkaboot:
  application: {name: desk, packages: [desk]}
  kafka: {broker: embedded}
  consumer: {preset: low-latency}
"""


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        environ = {**os.environ, "TERM": "xterm", "COLUMNS": "200", "NO_COLOR": "1"}
        self.process = subprocess.Popen(
            [*KAFKABOOT, *arguments],
            cwd=folder,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environ,
            start_new_session=True,
        )
        os.close(theirs)
        self._seen = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def text(self) -> str:
        return self._seen.decode("utf-8", "replace").replace("\r\n", "\n")

    def says(self, text: str, times: int = 1) -> Self:
        eventually(lambda: self.text.count(text) >= times, DEADLINE, lambda: f"{text!r} x {times} in:\n{self.text}")
        return self

    def press(self, key: str) -> Self:
        os.write(self._ours, key.encode())
        return self

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self._reader.join(10)
        os.close(self._ours)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._ours, 65536)
            except OSError:  # Linux says that nobody has the other end any more
                return
            if not data:
                return
            self._seen += data


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """The folder of a small application."""
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "__init__.py").write_text(CODE)
    (tmp_path / "application.yaml").write_text(YAML)
    return tmp_path


@pytest.fixture
def start() -> Iterator[Callable[..., Terminal]]:
    started: list[Terminal] = []

    def begin(folder: Path, *arguments: str) -> Terminal:
        started.append(Terminal(folder, *arguments))
        return started[-1]

    yield begin
    for one in started:
        one.close()


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*KAFKABOOT, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def invoices(folder: Path, count: int) -> dict[str, str]:
    done = call(folder, "tail", "invoices", "--from", "beginning", "--count", str(count), "--json")
    values = [json.loads(line)["value"] for line in done.stdout.splitlines()]
    assert len({value["order_id"] for value in values}) == count
    return {value["order_id"]: value["version"] for value in values}


def handled(terminal: Terminal) -> int:
    return max((int(found.replace(",", "")) for found in re.findall(r"handled ([\d,]+)", terminal.text)), default=0)


def test_from_nothing_to_the_first_handled_record_in_three_commands(tmp_path, start, capsys):
    began = time.monotonic()
    call(tmp_path, "new", "corner-shop")
    folder = tmp_path / "corner-shop"
    dev = start(folder, "dev").says("greet has handled its first record")
    seconds = time.monotonic() - began
    with capsys.disabled():
        print(f"\nfrom nothing to the first handled record: {seconds:.1f} s")
    assert "sent greeting.asked to greetings[" in dev.text
    tail = call(folder, "tail", "answers", "--from", "beginning", "--count", "1", "--json")
    assert json.loads(tail.stdout)["value"]["text"].startswith("Hello, ")
    dev.press("q").says("drained and stopped")
    assert dev.process.wait(DEADLINE) == 0
    again = start(folder, "dev").says("keys: t tests, e send an event, r restart, q quit")
    assert "a first event" not in again.text
    again.press("q").says("drained and stopped")


def test_a_saved_handler_is_live_with_offsets_kept(desk, start, capsys):
    dev = start(desk, "dev").says("ready in ")
    address = json.loads((desk / ".kafkaboot" / "broker.json").read_text())["address"]
    call(desk, "publish", "orders", '{"order_id": "o-1"}')
    eventually(lambda: handled(dev) == 1, DEADLINE, lambda: dev.text)
    (desk / "desk" / "__init__.py").write_text(CODE.replace('version="first"', 'version="second"'))
    began = time.monotonic()
    dev.says("ready again, offsets kept, in ").says("assigned orders[0]", times=2)
    with capsys.disabled():
        print(f"\nfrom the save until the new handler has its partitions: {time.monotonic() - began:.2f} s")
    assert "changed: desk/__init__.py; trying it beside the running application" in dev.text
    call(desk, "publish", "orders", '{"order_id": "o-2"}')
    assert invoices(desk, 2) == {"o-1": "first", "o-2": "second"}
    assert json.loads((desk / ".kafkaboot" / "broker.json").read_text())["address"] == address
    eventually(lambda: handled(dev) == 2, DEADLINE, lambda: dev.text)
    dev.press("q").says("bill  handled 2  retried 0  failed 0")  # neither record twice


def test_with_a_broken_file_the_application_goes_on_with_what_it_had(desk, start):
    dev = start(desk, "dev").says("ready in ")
    code = desk / "desk" / "__init__.py"
    code.write_text(f"{CODE}\nx = (\n")
    dev.says("desk/__init__.py:19: SyntaxError: '(' was never closed").says("goes on with what it had")
    code.write_text(f"{CODE}\nx = undefined\n")
    dev.says("NameError: name 'undefined' is not defined").says("the application goes on with what it had", times=2)
    dev.press("e").says("bill has handled its first record")
    assert "ready again" not in dev.text
    code.write_text(CODE)
    dev.says("ready again")
    dev.process.send_signal(signal.SIGINT)
    dev.says("Ctrl-C: finishing the records at work").says("drained and stopped")
    assert dev.process.wait(DEADLINE) == 0


def test_a_start_that_fails_waits_for_the_next_save(desk, start):
    code = desk / "desk" / "__init__.py"
    code.write_text(f"{CODE}\nx = (\n")
    dev = start(desk, "dev").says("SyntaxError").says("waiting for a file to change")
    code.write_text(CODE)
    dev.says("ready again").press("q").says("drained and stopped")


def test_keys_test_send_and_restart(desk, start):
    (desk / "tests").mkdir()
    (desk / "tests" / "test_bill.py").write_text("def test_it():\n    assert True\n")
    (desk / "pyproject.toml").write_text('[tool.pytest.ini_options]\naddopts = "-p no:cacheprovider"\n')
    dev = start(desk, "dev").says("keys: t tests")
    dev.press("t").says("tests: all, since nothing was saved").says("1 passed").says("tests: passed in ")
    dev.press("e").says("sent order.placed to orders[").says("bill has handled its first record")
    dev.press("r").says("restarting; the new one is made ready beside").says("ready again")
    dev.press("e").says("sent order.placed to orders[", times=2)
    eventually(lambda: handled(dev) == 2, DEADLINE, lambda: dev.text)
    dev.press("q").says("q: finishing the records at work").says("bill  handled 2  retried 0  failed 0")
    assert dev.process.wait(DEADLINE) == 0


def test_without_a_terminal_there_are_no_keys(desk):
    with (desk / "out").open("wb") as out:
        dev = subprocess.Popen(
            [*KAFKABOOT, "dev"], cwd=desk, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
        )
    try:
        eventually(lambda: "ready in " in (desk / "out").read_text(), DEADLINE, (desk / "out").read_text)
        dev.send_signal(signal.SIGTERM)
        assert dev.wait(DEADLINE) == 0
    finally:
        dev.kill()
        dev.wait(10)
    assert "keys:" not in (desk / "out").read_text()


def test_the_workers_end_when_the_command_is_killed_the_one_that_stands_by_too(desk, start):
    dev = start(desk, "dev").says("keys: t tests")

    def workers() -> dict[int, str]:
        done = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(dev.process.pid)], capture_output=True, text=True, check=False
        )
        found = [line.split(None, 1) for line in done.stdout.splitlines()]
        return {int(pid): command for pid, command in found if "kafkaboot run" in command}

    eventually(lambda: len(workers()) == 2, DEADLINE, workers)
    left = [*workers()]
    dev.process.kill()
    eventually(lambda: not any(runs(pid) for pid in left), DEADLINE, lambda: f"{left} of killed {dev.process.pid}")


def runs(pid: int) -> bool:
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return done.stdout.strip() not in {"", "Z"}
