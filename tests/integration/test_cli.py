"""The command line as people use it: processes, signals, other terminals. On the embedded broker; no JVM is needed."""

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
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from kafkaboot.dev.ports import free_port, is_free
from kafkaboot.testing import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KAFKABOOT = [sys.executable, "-m", "kafkaboot"]

CODE = """
import asyncio, os, pathlib
from pydantic import BaseModel
from kafkaboot import event, event_handler, publisher

@event("order.placed")
class OrderPlaced(BaseModel):
    order_id: str
    seconds: float = 0

@event("invoice.issued")
class InvoiceIssued(BaseModel):
    order_id: str
    worker: str

@event_handler("orders")
@publisher("invoices", key="order_id")
async def bill(order: OrderPlaced) -> InvoiceIssued:
    pathlib.Path(f"begun-{order.order_id}").touch()
    await asyncio.sleep(order.seconds)
    return InvoiceIssued(order_id=order.order_id, worker=os.environ.get("KB_WORKER", "none"))
"""

YAML = """
kafkaboot:
  application: {name: desk, packages: [desk]}
  kafka: {broker: embedded}
  consumer: {drain-timeout: 8s, preset: low-latency}
  topics: {orders: {partitions: 2}}
"""


class Running:
    """A command that runs; what it writes is read while it does."""

    def __init__(self, folder: Path, *arguments: str, environ: dict[str, str] | None = None) -> None:
        self.output = folder / f"{arguments[0]}-{time.monotonic_ns()}.out"
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                [*KAFKABOOT, *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environ or {})},
            )

    @property
    def text(self) -> str:
        return self.output.read_text()

    def says(self, text: str, times: int = 1, deadline: float = 20) -> Self:
        eventually(lambda: self.text.count(text) >= times, deadline, lambda: f"{text!r} x {times} in:\n{self.text}")
        return self

    def ends(self, deadline: float = 20) -> int:
        return self.process.wait(deadline)

    def workers(self) -> list[int]:
        done = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=False
        )
        mine = [int(pid) for pid in done.stdout.split()]
        commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in mine}
        return [pid for pid, command in commands.items() if b"kafkaboot" in command and b"dev.embedded" not in command]


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """The folder of a small application."""
    (tmp_path / "desk").mkdir()
    (tmp_path / "desk" / "__init__.py").write_text(CODE)
    (tmp_path / "application.yaml").write_text(YAML)
    return tmp_path


@pytest.fixture
def start(desk: Path) -> Iterator[Callable[..., Running]]:
    """Starts commands in the folder; what still runs at the end is killed."""
    started: list[Running] = []

    def begin(*arguments: str, environ: dict[str, str] | None = None) -> Running:
        started.append(Running(desk, *arguments, environ=environ))
        return started[-1]

    yield begin
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait(10)


def call(folder: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*KAFKABOOT, *arguments], cwd=folder, input=text, capture_output=True, text=True, timeout=60, check=False
    )


def publish(folder: Path, *orders: dict[str, object]) -> None:
    for order in orders:
        done = call(folder, "publish", "orders", json.dumps(order), "--key", str(order["order_id"]))
        assert done.returncode == 0, done.stderr


# --- run


def test_run_says_what_it_wired_and_ctrl_c_drains_what_is_at_work(desk, start):
    run = start("run").says("ready in ")
    for part in ("kafkaboot ", "profile   default", "application.yaml", "orders -> invoices", "desk/__init__.py:"):
        assert part in run.text
    publish(desk, {"order_id": "slow", "seconds": 1.5})
    eventually((desk / "begun-slow").exists, 10, "the handler began")
    run.process.send_signal(signal.SIGINT)
    assert run.ends() == 0
    assert "Ctrl-C: finishing the records at work, 8 s at most; once more ends at once" in run.text
    assert "bill  handled 1  retried 0  failed 0\n" in run.text
    assert run.text.endswith("drained and stopped\n")
    assert not (desk / ".kafkaboot" / "broker.json").exists()


def test_a_second_signal_ends_at_once(desk, start):
    run = start("run").says("ready in ")
    publish(desk, {"order_id": "endless", "seconds": 600})
    eventually((desk / "begun-endless").exists, 10, "the handler began")
    run.process.send_signal(signal.SIGINT)
    run.says("once more ends at once")
    began = time.monotonic()
    run.process.send_signal(signal.SIGINT)
    assert run.ends() == 130
    assert time.monotonic() - began < 3


def test_records_that_are_undrained_at_the_deadline_end_with_5(desk, start):
    run = start("run", "--set", "kafkaboot.consumer.drain-timeout=1s").says("ready in ")
    publish(desk, {"order_id": "endless", "seconds": 600})
    eventually((desk / "begun-endless").exists, 10, "the handler began")
    run.process.send_signal(signal.SIGTERM)
    assert run.ends() == 5
    assert "will be handled again" in run.text


def test_a_typo_in_the_yaml_ends_with_3_and_no_traceback(desk):
    (desk / "application.yaml").write_text(YAML.replace("drain-timeout", "drain-timeut"))
    done = call(desk, "run")
    assert done.returncode == 3
    assert "application.yaml:5: unknown key `kafkaboot.consumer.drain-timeut`" in done.stderr
    assert "did you mean `drain-timeout`?" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Traceback" in call(desk, "run", "--traceback").stderr


def test_a_broker_that_is_not_there_ends_with_4_soon(desk):
    began = time.monotonic()
    done = call(
        desk,
        "run",
        "--set=kafkaboot.kafka.broker=external",
        "--set=kafkaboot.kafka.bootstrap-servers=127.0.0.1:1",
    )
    assert done.returncode == 4
    assert "no broker answers" in done.stderr
    assert "127.0.0.1:1" in done.stderr
    assert "What to do" in done.stderr
    assert time.monotonic() - began < 20


def test_a_package_that_fails_to_import_ends_with_1_and_its_line(desk):
    (desk / "desk" / "extra.py").write_text("x = 1\ny = x / 0\n")
    done = call(desk, "run")
    assert done.returncode == 1
    assert "desk/extra.py:2: desk.extra cannot be imported: ZeroDivisionError" in done.stderr
    assert "Traceback" not in done.stderr


def test_run_without_a_terminal_loads_no_rich(desk, start):
    (desk / "desk" / "look.py").write_text(
        "import sys\nfrom kafkaboot import component, on_stop\n\n@component\nclass Look:\n    @on_stop\n"
        "    def look(self) -> None:\n        print('rich' in sys.modules, 'click' in sys.modules, flush=True)\n"
    )
    run = start("run").says("ready in ")
    run.process.send_signal(signal.SIGTERM)
    assert run.ends() == 0
    assert "False True" in run.text


def test_on_a_terminal_one_live_line_shows_throughput_and_is_gone_at_the_end(desk):
    ours, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        [*KAFKABOOT, "run"], cwd=desk, stdin=theirs, stdout=theirs, stderr=theirs, env=environ, start_new_session=True
    ) as run:
        os.close(theirs)
        seen = bytearray()
        reader = threading.Thread(target=_drain, args=(ours, seen), daemon=True)
        reader.start()
        try:
            eventually(lambda: seen.count(b" records/s  handled 0  lag 0") >= 2, 20, lambda: seen.decode())
            run.send_signal(signal.SIGINT)
            assert run.wait(20) == 0
        finally:
            run.kill()
        reader.join(10)
    os.close(ours)
    text = seen.decode()
    last = text.rindex("records/s")
    assert "\r\x1b[K" in text[last:]
    assert "handled 0  retried 0  failed 0" in text[last:]
    assert text.index("\x1b[1m") < last  # colours, where somebody sees them


def _drain(terminal: int, seen: bytearray) -> None:
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # Linux says that nobody has the other end any more
            return
        if not data:
            return
        seen += data


def test_debug_says_what_was_wired_and_why(desk, start):
    run = start("run", "--debug").says("ready in ")
    assert "Auto-configurations" in run.text
    assert "yes  kafkaboot.kafka.broker is embedded (application.yaml:4)" in run.text
    run.process.send_signal(signal.SIGTERM)
    assert run.ends() == 0


# --- other terminals


def test_other_terminals_find_the_broker_of_a_running_application(desk, start):
    run = start("run").says("ready in ")
    done = call(desk, "publish", "orders", "-", "--key", "k", "--header", "a=b", "--json", text='{"order_id": "o-1"}\n')
    assert done.returncode == 0, done.stderr
    (receipt,) = json.loads(done.stdout)
    assert receipt["topic"] == "orders"
    tail = call(desk, "tail", "invoices", "--from", "beginning", "--count", "1", "--json")
    shown = json.loads(tail.stdout)
    assert shown["value"] == {"order_id": "o-1", "worker": "none"}
    assert shown["type"] == "invoice.issued"
    assert shown["key"] == "o-1"

    def caught_up() -> bool:
        return json.loads(call(desk, "lag", "--json").stdout)["lag"]["desk"] == 0

    eventually(caught_up, 20, "the group has committed everything")
    lines = json.loads(call(desk, "lag", "--json").stdout)["partitions"]
    assert sum(line["end"] for line in lines) == 1
    assert {line["lag"] for line in lines} <= {0, -1}
    assert any(line["committed"] == 1 for line in lines)
    run.process.send_signal(signal.SIGINT)
    assert run.ends() == 0
    gone = call(desk, "lag")
    assert gone.returncode == 4
    assert "start `kafkaboot run` or `kafkaboot broker`" in gone.stderr


def test_a_value_that_is_not_what_the_application_declares_is_not_published(desk, start):
    start("run").says("ready in ")
    done = call(desk, "publish", "orders", '{"order_id": 7}')
    assert done.returncode == 1
    assert "order_id" in done.stderr
    assert "nothing was published" in done.stderr
    wrong = call(desk, "publish", "orders", "{}", "--type", "order.place")
    assert wrong.returncode == 2
    assert "Did you mean 'order.placed'?" in wrong.stderr
    assert call(desk, "publish", "free", "anything", "--count", "12").stdout.endswith("and 2 more\n")


def test_tail_and_publish_say_which_topic_does_not_exist(desk, start):
    start("run").says("ready in ")
    done = call(desk, "tail", "order")
    assert done.returncode == 1
    assert "topic 'order' does not exist" in done.stderr
    assert "did you mean orders?" in done.stderr


def test_nothing_is_published_while_the_application_cannot_be_read(desk, start):
    start("run").says("ready in ")
    (desk / "desk" / "extra.py").write_text("y = 1 / 0\n")
    done = call(desk, "publish", "orders", "{}")
    assert done.returncode == 1
    assert "desk/extra.py:1" in done.stderr


def test_a_folder_without_an_application_can_look_at_a_broker_and_write_raw_values(tmp_path):
    broker = Running(tmp_path, "broker").says("Ctrl-C stops")
    try:
        assert call(tmp_path, "publish", "free", "any\x1bthing", "--type", "free.said").returncode == 0
        shown = call(tmp_path, "tail", "free", "--from", "beginning", "--count", "1").stdout
        assert shown.rstrip("\n").isprintable()
        assert shown.endswith("free.said  any\\x1bthing\n")
        assert "Name a group: --group" in call(tmp_path, "lag").stderr
    finally:
        broker.process.terminate()
        assert broker.ends() == 0


def test_a_broker_of_its_own_is_found_and_shared_by_an_application(desk, start):
    broker = start("broker").says("Ctrl-C stops")
    address = broker.text.splitlines()[0]
    publish(desk, {"order_id": "early"})
    run = start("run").says("ready in ")
    assert f"embedded at {address}, of `kafkaboot broker`" in run.text
    eventually((desk / "begun-early").exists, 20, "the record from before is handled")
    run.process.send_signal(signal.SIGINT)
    assert run.ends() == 0
    assert (desk / ".kafkaboot" / "broker.json").exists()
    broker.process.send_signal(signal.SIGINT)
    assert broker.ends() == 0
    assert not (desk / ".kafkaboot" / "broker.json").exists()


def test_a_port_for_a_broker_that_chooses_its_own_is_wrong_usage(desk):
    done = call(desk, "broker", "--kind", "container", "--port", "9999")
    assert done.returncode == 2
    assert "--port belongs to the kinds embedded and local" in done.stderr


def test_a_broker_with_a_data_directory_and_a_port_has_its_records_after_a_kill(desk, start):
    port = str(free_port())
    options = ("broker", "--port", port, "--data-dir", str(desk / "kept"))
    broker = start(*options).says("Ctrl-C stops")
    assert broker.text.splitlines()[0] == f"127.0.0.1:{port}"
    assert f"kept in {desk / 'kept'}" in broker.text
    publish(desk, {"order_id": "kept"})
    broker.process.kill()
    broker.process.wait(10)
    eventually(lambda: is_free(int(port)), 20, "the broker ends with its parent")
    start(*options).says("Ctrl-C stops")
    shown = call(desk, "tail", "orders", "--from", "beginning", "--count", "1", "--json").stdout
    assert json.loads(shown)["value"]["order_id"] == "kept"


# --- workers


def test_a_killed_worker_is_replaced_and_all_are_counted_together(desk, start):
    run = start("run", "--workers", "2").says(": ready in ", times=2)
    assert run.text.count("orders -> invoices") == 1
    victim = run.workers()[0]
    os.kill(victim, signal.SIGKILL)
    run.says("was killed by SIGKILL; a new one starts in 0.5 s").says(": ready in ", times=3)
    assert victim not in run.workers()
    publish(desk, *({"order_id": f"o-{number}"} for number in range(6)))
    eventually(lambda: len(list(desk.glob("begun-*"))) == 6, 40, lambda: f"six orders are billed:\n{run.text}")
    shown = call(desk, "tail", "invoices", "--from", "beginning", "--count", "6", "--json").stdout
    assert {json.loads(line)["value"]["worker"] for line in shown.splitlines()} <= {"0", "1"}
    run.process.send_signal(signal.SIGINT)
    assert run.ends(30) == 0, run.text
    # At least once: a rebalance in between may repeat what was not committed yet.
    (handled,) = re.findall(r"^bill  handled (\d+)  retried 0  failed 0\ndrained and stopped$", run.text, re.MULTILINE)
    assert int(handled) >= 6


def test_workers_end_when_their_supervisor_is_killed(desk, start):
    run = start("run", "--workers", "2").says(": ready in ", times=2)
    workers = run.workers()
    assert len(workers) == 2
    run.process.kill()
    run.process.wait(10)
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), 30, f"{workers} ended")


def test_workers_that_cannot_start_say_so_once_and_end_with_its_code(desk):
    (desk / "desk" / "extra.py").write_text("y = 1 / 0\n")
    done = call(desk, "run", "--workers", "2")
    assert done.returncode == 1
    assert done.stderr.count("The application did not start") == 1
    assert "desk/extra.py:1" in done.stderr


def test_reload_restarts_drained_and_waits_while_the_code_is_broken(desk, start):
    pytest.importorskip("watchfiles")
    run = start("run", "--reload").says("ready in ")
    address = json.loads((desk / ".kafkaboot" / "broker.json").read_text())["address"]
    code = desk / "desk" / "__init__.py"
    code.write_text(f"{CODE}\nx = 1\n")
    run.says("changed: desk/__init__.py; restarting").says("ready in ", times=2)
    code.write_text(f"{CODE}\nx = (\n")
    run.says("SyntaxError").says("waiting for a file to change")
    code.write_text(CODE)
    run.says("ready in ", times=3)
    publish(desk, {"order_id": "after"})
    eventually((desk / "begun-after").exists, 20, "the restarted application handles records")
    assert json.loads((desk / ".kafkaboot" / "broker.json").read_text())["address"] == address
    run.process.send_signal(signal.SIGINT)
    assert run.ends() == 0


def test_reload_without_its_extra_prints_the_line_that_installs_it(desk):
    (desk / "watchfiles.py").write_text("raise ImportError('not installed')\n")
    done = call(desk, "run", "--reload")
    assert done.returncode == 1
    assert 'pip install "kafkaboot[reload]"' in done.stderr


# --- new


def test_a_new_application_passes_its_own_lint_types_and_tests_and_runs(tmp_path):
    assert call(tmp_path, "new", "corner-shop").returncode == 0
    folder = tmp_path / "corner-shop"
    for command in (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"], ["pytest", "-q"]):
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, timeout=100, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    run = Running(folder, "run")
    try:
        run.says("ready in ")
        assert call(folder, "publish", "greetings", '{"name": "Ada"}').returncode == 0
        tail = call(folder, "tail", "answers", "--from", "beginning", "--count", "1", "--json")
        assert json.loads(tail.stdout)["value"] == {"name": "Ada", "text": "Hello, Ada!"}
        run.process.send_signal(signal.SIGINT)
        assert run.ends() == 0
    finally:
        run.process.kill()
        run.process.wait(10)
