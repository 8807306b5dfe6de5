"""A handler that publishes in a transaction, in a probe."""

from __future__ import annotations

import sys

import pytest

from kafkaboot.boot.application import Application
from kafkaboot.message import Record
from kafkaboot.testing.probing import Probe

CODE = """
from kafkaboot import Producer, event_handler

@event_handler("orders")
async def bill(order: str, producer: Producer) -> None:
    async with producer.transaction() as tx:
        tx.send("invoices", order + " 1")
        await tx.publish("audit", order + " 2")
        if order == "bad":
            raise ValueError(order)
"""


@pytest.fixture
def probe(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package = f"transacting_{id(tmp_path)}"
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(CODE)
    (tmp_path / "application.yaml").write_text(f"kafkaboot:\n  application: {{name: shop, packages: [{package}]}}\n")
    path = list(sys.path)
    probing = Probe(Application())
    yield lambda value: probing("bill", Record("orders", 0, 41, value=value.encode(), key=b"k"))
    sys.path[:] = path
    sys.modules.pop(package, None)


def test_a_committed_transaction_is_captured_and_an_aborted_one_is_not(probe):
    probed = probe("tea")
    assert [(one.record.topic(), one.record.value()) for one in probed.published] == [
        ("invoices", b"tea 1"),
        ("audit", b"tea 2"),
    ]
    failed = probe("bad")
    assert (failed.outcome, failed.published) == ("raised", [])
