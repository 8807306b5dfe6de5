"""`kafkaboot dev` in pieces: which tests a change concerns, keys, first events, and who takes whose place."""

from __future__ import annotations

import os
import pty
import signal
import sys
import time
from dataclasses import dataclass
from typing import Any, ClassVar, NotRequired, TypedDict

import pytest
from pydantic import BaseModel, Field

from kafkaboot.cli import dev_loop
from kafkaboot.cli.affected_tests import TestRun, Tests
from kafkaboot.cli.dev_loop import DevLoop, syntax_error
from kafkaboot.cli.first_event import NoEventError, first_handler, made_of
from kafkaboot.cli.keys import Keys
from kafkaboot.cli.options import Choice
from kafkaboot.cli.worker import EVENT, GO, WIRE
from kafkaboot.errors import DeclarationError
from kafkaboot.testing import eventually

# --- affected tests

FILES = {
    "shop/__init__.py": "",
    "shop/prices.py": "RATE = 1\n",
    "shop/tax.py": "from . import prices\n",
    "shop/bill.py": "from shop.tax import prices\n",
    "shop/mail.py": "",
    "tests/conftest.py": "",
    "tests/orders.py": "import shop.mail\n",
    "tests/test_bill.py": "import shop.bill\n",
    "tests/test_mail.py": "from orders import *\n",
    "tests/test_all.py": "async def test_it(app):\n    pass\n",
    "tests/test_typed.py": "from kafkaboot.testing import TestApp\n",
    "tests/deep/conftest.py": "import shop.prices\n",
    "tests/deep/test_deep.py": "",
    "tests/test_torn.py": "x = (\n",
    ".hidden/test_hidden.py": "",
    "env/pyvenv.cfg": "",
    "env/lib/test_theirs.py": "",
}
WHOLE = {"tests/test_all.py", "tests/test_typed.py"}


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("changed", "concerned"),
    [
        ("shop/prices.py", {"tests/test_bill.py", "tests/deep/test_deep.py"} | WHOLE),
        ("shop/bill.py", {"tests/test_bill.py"} | WHOLE),
        ("shop/mail.py", {"tests/test_mail.py"} | WHOLE),
        ("shop/__init__.py", {"tests/test_bill.py", "tests/test_mail.py", "tests/deep/test_deep.py"} | WHOLE),
        ("tests/orders.py", {"tests/test_mail.py"}),
        ("tests/test_torn.py", {"tests/test_torn.py"}),
        ("tests/deep/conftest.py", {"tests/deep/test_deep.py"}),
        (
            "tests/conftest.py",
            {name for name in FILES if name.startswith("tests/") and "/test_" in name},
        ),
    ],
)
def test_a_change_concerns_the_tests_that_reach_it_by_imports(folder, changed, concerned):
    tests = Tests(folder, [folder / "shop"])
    assert {str(path.relative_to(folder)) for path in tests.affected([folder / changed])} == concerned


def test_tests_of_hidden_folders_and_virtual_environments_are_none_of_ours(folder):
    names = {path.name for path in Tests(folder, [folder / "shop"]).files}
    assert names == {name.rpartition("/")[2] for name in FILES if name.startswith("tests/") and "/test_" in name}


@pytest.fixture
def runs(folder, monkeypatch):
    """Runs with a pytest that answers what `folder/code` says, and writes its arguments."""
    fake = folder / "fake-python"
    fake.write_text(f'#!/bin/sh\necho "called: $@"\nexit $(cat {folder}/code)\n')
    fake.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(fake))
    for path in folder.rglob("*.py"):
        os.utime(path, (1, 1))
    (folder / "application.yaml").write_text("")
    os.utime(folder / "application.yaml", (1, 1))
    run = TestRun(folder, [folder / "shop"], [folder / "application.yaml"])

    def press(code: int) -> None:
        (folder / "code").write_text(str(code))
        run.start()
        run._wait()

    yield press
    run.stop()


def save(path):
    ahead = time.time() + 5
    os.utime(path, (ahead, ahead))


def test_without_a_save_all_tests_run(runs, capsys):
    runs(0)
    said = capsys.readouterr().out
    assert "tests: all, since nothing was saved" in said
    assert "called: -m pytest -q\n" in said
    assert "tests: passed in " in said


def test_after_a_save_the_tests_that_import_it_run_until_they_pass(folder, runs, capsys):
    save(folder / "tests/orders.py")
    runs(1)
    runs(0)
    said = capsys.readouterr().out
    assert said.count("tests: 1 of 6 files, which import tests/orders.py\n") == 2
    assert said.count("called: -m pytest -q tests/test_mail.py\n") == 2
    assert "tests: failed (exit code 1) in " in said
    os.utime(folder / "tests/orders.py", (1, 1))  # saved before the run that passed
    runs(0)
    assert "called: -m pytest -q\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("saved", "why"),
    [("application.yaml", "since the configuration changed"), ("loose.py", "since none imports loose.py")],
)
def test_a_save_that_no_test_imports_and_a_new_configuration_concern_all(folder, runs, capsys, saved, why):
    (folder / saved).write_text("")
    save(folder / saved)
    runs(5)
    said = capsys.readouterr().out
    assert f"tests: all, {why}" in said
    assert "tests: there are none" in said


def test_a_run_that_goes_on_is_not_started_twice_and_ends_with_the_command(folder, monkeypatch, capsys):
    fake = folder / "fake-python"
    fake.write_text("#!/bin/sh\nsleep 600\n")
    fake.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(fake))
    run = TestRun(folder, [folder / "shop"], [])
    run.start()
    process = run._process
    run.start()
    assert run._process is process
    assert "tests: they run already" in capsys.readouterr().out
    run.stop()
    assert process.returncode == -signal.SIGKILL


# --- keys


def test_keys_of_a_terminal_come_one_by_one_and_it_is_left_as_it_was(monkeypatch):
    import termios

    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        before = termios.tcgetattr(theirs)
        with Keys() as keys:
            assert keys.sources == [theirs]
            assert keys.pressed() == ""
            os.write(ours, b"te")
            eventually(lambda: keys.pressed() == "te", 5, "both keys, without a line's end")
            assert termios.tcgetattr(theirs) != before
        assert termios.tcgetattr(theirs) == before
    os.close(ours)


def test_a_terminal_that_is_gone_is_not_looked_at_again(monkeypatch):
    ours, theirs = pty.openpty()
    with os.fdopen(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        keys = Keys()
        keys.__enter__()
        os.close(ours)
        assert keys.pressed() == ""
        assert keys.sources == []


def test_where_standard_input_is_no_terminal_there_are_no_keys(monkeypatch):
    with open(os.devnull) as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        with Keys() as keys:
            assert keys.sources == []
            assert keys.pressed() == ""


# --- saved files


def test_a_syntax_error_is_told_with_file_and_line(tmp_path):
    (tmp_path / "bad.py").write_text("x = 1\ny = (\n")
    assert syntax_error(tmp_path, "bad.py") == "bad.py:2: SyntaxError: '(' was never closed: y = ("
    (tmp_path / "bad.py").write_text("def f():\nreturn 1\n")
    assert syntax_error(tmp_path, "bad.py").startswith("bad.py:2: IndentationError: ")
    (tmp_path / "bad.py").write_bytes(b"x = '\0'\n")
    assert syntax_error(tmp_path, "bad.py").startswith("bad.py:")
    (tmp_path / "bad.py").write_text("x = undefined\n")
    assert syntax_error(tmp_path, "bad.py") == ""
    assert syntax_error(tmp_path, "gone.py") == ""


# --- the first event


class Asked(BaseModel):
    name: str = Field(min_length=1)


@dataclass
class Placed:
    order_id: str


class Loose(TypedDict):
    name: str
    more: NotRequired[int]


@pytest.mark.parametrize("kind", [Asked, Placed, dict, list, str, bytes])
def test_an_event_is_made_of_the_type_that_a_handler_takes(kind):
    assert isinstance(made_of(kind), kind)


def test_an_event_is_made_of_unions_and_typed_dicts_too():
    assert isinstance(made_of(Asked | Placed), Asked | Placed)
    assert isinstance(made_of(Loose)["name"], str)


def test_what_no_event_can_be_made_of_is_told():
    with pytest.raises(DeclarationError, match="no sample can be made"):
        made_of(type)


def test_the_first_handler_with_a_payload_is_meant(shop):
    shop(
        code="from typing import Any\nfrom kafkaboot import Record, event_handler\n"
        "@event_handler(pattern='x-.*')\ndef first(one: str) -> None: ...\n"
        "@event_handler('raw')\ndef second(record: Record) -> None: ...\n"
        "@event_handler('orders')\ndef third(order: dict[str, Any] | None) -> None: ...\n"
        "@event_handler('late')\ndef fourth(order: str) -> None: ...\n"
    )
    application = Choice(None, (), (), ()).application()
    application.wire()
    assert first_handler(application.blueprint) == ("third", "orders", dict[str, Any])


def test_without_a_handler_that_names_a_topic_there_is_no_event(shop):
    shop(code="from kafkaboot import event_handler\n@event_handler(pattern='x-.*')\ndef one(x: str) -> None: ...\n")
    application = Choice(None, (), (), ()).application()
    application.wire()
    with pytest.raises(NoEventError, match="names a topic"):
        first_handler(application.blueprint)


# --- who takes whose place


class FakeProcess:
    def wait(self):
        return 0


class FakeWorker:
    made: ClassVar[list[FakeWorker]] = []

    def __init__(self, slot, arguments, *, piped):
        self.orders, self.signals = [], []
        self.process, self.due, self.was_ready = None, 0.0, False
        self.sources, self.tallies, self.lag = [], [], None
        self.stands_by = self.closed = False
        FakeWorker.made.append(self)

    def start(self, *, stand_by=False):
        self.process, self.stands_by = FakeProcess(), stand_by

    def tell(self, order):
        self.orders.append(order)

    def signal(self, number):
        if self.process is not None:
            self.signals.append(number)

    def restart_later(self):
        self.due = time.monotonic() + 100
        return 100

    def close(self):
        self.closed = True


READY = {"ready": 0.1, "broker": ""}
WIRED = {"wired": [], "name": "shop", "profiles": ["default"], "sources": [], "report": ""}
FAILED = {"failed": {"title": "it cannot be wired", "happened": "x", "todo": "y", "code": 1}, "traceback": ""}


@pytest.fixture
def loop(shop, monkeypatch):
    """A loop whose application is ready, and whose second worker stands by."""
    shop()
    monkeypatch.setattr(dev_loop, "Worker", FakeWorker)
    FakeWorker.made = []
    made = DevLoop(Choice(None, (), (), ()), [])
    made._begin([])
    made._told(made._running, WIRED)
    made._told(made._running, READY)
    return made


def saves(loop, *names):
    loop._changes = lambda: names
    loop._watch_files()


def ends(loop, worker, code):
    worker.process = None
    loop._ended(worker, code)


def test_a_save_is_wired_beside_the_running_application_which_then_makes_room(loop, capsys):
    old, new = FakeWorker.made
    assert new.stands_by
    saves(loop, "shop.py")
    assert (new.orders, old.signals) == ([WIRE], [])
    loop._told(new, WIRED)
    assert (new.orders, old.signals) == ([WIRE], [signal.SIGTERM])
    ends(loop, old, 0)
    assert new.orders == [WIRE, GO]
    assert old.closed
    loop._told(new, READY)
    assert loop._running is new
    assert "ready again, offsets kept, in " in capsys.readouterr().out
    assert [worker.stands_by for worker in FakeWorker.made] == [False, True, True]


def test_what_cannot_be_wired_leaves_the_running_application_alone(loop, capsys):
    old, new = FakeWorker.made
    saves(loop, "shop.py")
    loop._told(new, FAILED)
    ends(loop, new, 1)
    assert old.signals == []
    assert loop._running is old
    captured = capsys.readouterr()
    assert "it cannot be wired" in captured.err
    assert "the application goes on with what it had" in captured.out
    assert FakeWorker.made[-1].stands_by


def test_a_process_that_dies_while_it_reads_the_application_is_told(loop, capsys):
    old, new = FakeWorker.made
    saves(loop, "shop.py")
    ends(loop, new, -signal.SIGSEGV)
    assert old.signals == []
    assert "before it ran; the application goes on with what it had" in capsys.readouterr().out


def test_a_second_save_is_read_by_a_process_of_its_own(loop):
    old, first = FakeWorker.made
    saves(loop, "shop.py")
    saves(loop, "shop.py")
    second = FakeWorker.made[-1]
    assert first.signals == [signal.SIGKILL]
    assert second.orders == [WIRE]
    loop._told(second, WIRED)
    saves(loop, "shop.py")  # while the old one drains
    third = FakeWorker.made[-1]
    assert (second.signals, third.orders) == ([signal.SIGKILL], [WIRE])
    ends(loop, old, 0)
    assert (third.orders, old.due) == ([WIRE], 0.0)
    loop._told(third, WIRED)
    assert third.orders == [WIRE, GO]


def test_a_file_with_a_syntax_error_is_not_tried(loop, tmp_path, capsys):
    (tmp_path / "bad.py").write_text("x = (\n")
    (tmp_path / "good.py").write_text("")
    saves(loop, "bad.py")
    saves(loop, "good.py")
    assert FakeWorker.made[1].orders == []
    assert capsys.readouterr().out.count("bad.py:1: SyntaxError") == 2
    (tmp_path / "bad.py").write_text("x = ()\n")
    saves(loop, "bad.py")
    assert FakeWorker.made[1].orders == [WIRE]


def test_an_application_that_dies_is_started_again_and_one_that_cannot_start_waits(loop, capsys):
    old, new = FakeWorker.made
    ends(loop, old, -signal.SIGKILL)
    assert old.due
    assert "was killed by SIGKILL; it starts again in 100 s" in capsys.readouterr().out
    saves(loop, "shop.py")
    loop._told(new, WIRED)
    assert (new.orders, old.due) == ([WIRE, GO], 0.0)
    loop._told(new, FAILED)
    ends(loop, new, 4)
    assert new.due == 0.0
    assert "waiting for a file to change" in capsys.readouterr().out
    assert loop._goes_on()
    saves(loop, "shop.py")
    assert FakeWorker.made[-1].orders == [WIRE]


def test_keys_restart_send_events_and_quit(loop, capsys):
    old, new = FakeWorker.made
    loop._press("e")
    assert old.orders == []
    assert "brokers of the desk only" in capsys.readouterr().out
    loop._on_desk = True
    loop._press("e")
    assert old.orders == [EVENT]
    loop._press("x")
    assert dev_loop.HINT in capsys.readouterr().out
    loop._press("r")
    assert new.orders == [WIRE]
    loop._press("q")
    assert signal.SIGTERM in old.signals
    assert signal.SIGTERM in new.signals
    assert "q: finishing the records at work" in capsys.readouterr().out
    assert loop._goes_on()
    ends(loop, new, -signal.SIGTERM)
    ends(loop, old, 0)
    assert not loop._goes_on()
    assert loop._worst == 0
    loop._press("q")
    assert loop._signals == [signal.SIGINT]


def test_tests_run_while_the_configuration_cannot_be_read(loop, tmp_path, monkeypatch):
    loop._application.configure()
    started = []
    monkeypatch.setattr(TestRun, "start", lambda run: started.append(run._settings))
    (tmp_path / "application.yaml").write_text("kafkaboot: [")
    loop._press("t")
    loop._press("t")
    assert started == [[tmp_path / "application.yaml"]] * 2


def test_the_first_event_is_sent_by_itself_once_and_on_the_desk_only(loop, tmp_path):
    mark = tmp_path / ".kafkaboot" / "first-event"
    mark.parent.mkdir()
    mark.touch()
    loop._told(loop._running, READY)
    assert loop._running.orders == []
    loop._on_desk = True
    loop._told(loop._running, READY)
    loop._told(loop._running, READY)
    assert loop._running.orders == [EVENT]
    assert not mark.exists()


def test_without_watchfiles_the_command_runs_and_says_how_saves_are_seen(loop, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    assert loop._changes_of(loop._application)() == ()
    assert 'pip install "kafkaboot[reload]"' in capsys.readouterr().out
