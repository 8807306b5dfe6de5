"""The fixture `probe` as a user's test has it, and `Probe` without pytest."""

from __future__ import annotations

import logging
import sys

import pytest

from kafkaboot import Record
from kafkaboot.boot import Application, DeskBroker
from kafkaboot.testing import Probe
from kafkaboot.testing.probing.capture import ProbeError

CODE = """
import asyncio
from dataclasses import dataclass
from kafkaboot import Producer, component, event, event_handler, on_stop, publisher

@event("paid")
@dataclass
class Paid:
    amount: int

class Bank:
    def collect(self, amount: int) -> None:
        raise AssertionError("the real bank")

@component
def bank() -> Bank:
    return Bank()

@component
class Outbox:
    def __init__(self, producer: Producer) -> None:
        self.producer = producer

    @on_stop
    async def last(self) -> None:
        await self.producer.publish("last", b"bye")

    @publisher("notes")
    async def note(self, text: str) -> str:
        return text

@component
class Elsewhere:
    def __init__(self) -> None:
        raise AssertionError("no handler in the probe needs it")

@event_handler("paid")
@publisher("paid.again")
def take(paid: Paid, bank: Bank) -> Paid:
    bank.collect(paid.amount)
    return paid

@event_handler("slow", timeout=0.01)
async def slow(value: str) -> None:
    await asyncio.sleep(float(value))

@event_handler("left")
async def leaves(value: str) -> None:
    leaves.task = asyncio.create_task(asyncio.sleep(60))

@event_handler("passes")
async def passes(value: str) -> None:
    return None

@event_handler("writes")
async def writes(value: str, outbox: Outbox) -> None:
    receipts = [await outbox.producer.publish("t", b"x", partition=2) for _ in range(2)]
    assert [(one.partition, one.offset) for one in receipts] == [(2, 0), (2, 1)]
    outbox.producer.send("t", b"y").result(1)
    await outbox.note(value)

@event_handler("lists", batch=10)
async def lists(values: list[int]) -> None:
    from kafkaboot import BatchFailed
    if 13 in values:
        raise BatchFailed(values.index(13), ValueError("unlucky"))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package = f"probed_{tmp_path.name}_{id(tmp_path)}".replace("-", "_")
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(CODE)
    (tmp_path / "application.yaml").write_text(
        f"kafkaboot:\n  application: {{name: shop, packages: [{package}]}}\n  kafka: {{broker: embedded}}\n"
    )
    path = list(sys.path)
    yield package
    sys.path[:] = path
    sys.modules.pop(package, None)


@pytest.fixture
def plain(folder):
    return Probe(Application())


def test_a_double_stands_in_for_a_component_and_what_is_published_can_be_read(pytester_project):
    done = pytester_project(
        """
        import pytest
        from kafkaboot import Record
        from kafkaboot.testing import Probe
        from {package} import Bank, Paid

        class Friendly(Bank):
            def collect(self, amount: int) -> None: ...

        @pytest.fixture
        def kafkaboot_components() -> dict[type, object]:
            return {Bank: Friendly()}

        def test_it(probe: Probe) -> None:
            probed = probe("take", Record("paid", 0, 7, value=b'{"amount": 3}'))
            probed.assert_settled()
            assert probed.payloads("paid.again", Paid) == [Paid(3)]

        async def test_an_async_test_is_told_to_be_a_plain_one(probe: Probe) -> None:
            with pytest.raises(RuntimeError, match="plain `def test_...`"):
                probe("take", Record("paid", 0, 7, value=b"x"))
        """
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


@pytest.fixture
def pytester_project(folder, tmp_path):
    import subprocess
    import textwrap

    def run(code):
        (tmp_path / "pyproject.toml").write_text(
            '[tool.pytest.ini_options]\nasyncio_mode = "auto"\nasyncio_default_fixture_loop_scope = "function"\n'
            'pythonpath = ["."]\nfilterwarnings = ["error"]\n'
        )
        (tmp_path / "test_it.py").write_text(textwrap.dedent(code).replace("{package}", folder))
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    return run


def test_only_what_the_handler_needs_is_built_and_no_broker_is_started(plain):
    assert plain("writes", Record("writes", 0, 0, value=b"x")).outcome == "returned"  # Elsewhere would have raised
    assert plain.blueprint.container.providing(DeskBroker) == []  # though one is configured


def test_receipts_are_made_up_and_what_a_stop_hook_publishes_is_told_as_such(plain):
    probed = plain("writes", Record("writes", 0, 0, value=b"hello"))
    probed.assert_settled()
    assert [(one.during, one.record.topic()) for one in probed.published] == [
        ("handler", "t"), ("handler", "t"), ("handler", "t"), ("handler", "notes"), ("stop", "last"),
    ]  # fmt: skip
    assert plain("writes", Record("writes", 0, 0, value=b"x"), start=False).published[-1].record.topic() == "notes"


def test_what_was_raised_is_the_cause_of_a_failed_assertion(plain):
    probed = plain("take", Record("paid", 2, 7, value=b'{"amount": 3}'))
    with pytest.raises(AssertionError, match=r"paid\[2\]@7 raised: AssertionError: the real bank") as caught:
        probed.assert_settled()
    assert caught.value.__cause__ is probed.error
    assert probed.published == []


def test_a_handler_has_its_timeout(plain):
    assert plain("slow", Record("slow", 0, 0, value=b"0")).outcome == "returned"
    assert "took longer than 0.01 s" in str(plain("slow", Record("slow", 0, 0, value=b"30")).error)


def test_the_record_of_a_batch_that_failed_is_judged_alone_and_those_before_it_are_settled(plain):
    records = [Record("lists", 0, at, value=str(at).encode()) for at in range(11, 15)]
    probed = plain("lists", *records)
    assert "lists[0]@13" in probed.fate
    assert list(probed.commits.values()) == [13]
    assert isinstance(probed.error, ValueError)
    assert not probed.settled


def test_a_task_that_is_left_at_work_is_noted(plain):
    assert "left 1 tasks at work" in plain("leaves", Record("left", 0, 0, value=b"x")).notes[0]


def test_an_unknown_handler_names_the_nearest_and_one_record_is_one(plain):
    with pytest.raises(LookupError, match="did you mean 'passes'"):
        plain("pass", Record("passes", 0, 0))
    with pytest.raises(ProbeError, match="takes one record, and was given 2"):
        plain("passes", Record("passes", 0, 0), Record("passes", 0, 1))


def test_the_log_of_the_test_is_left_as_it_was(plain):
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    plain("passes", Record("passes", 0, 0, value=b"x"))
    assert (root.level, list(root.handlers)) == before
