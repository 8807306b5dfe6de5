"""Handlers behind a circuit in a simulation: its time is virtual, and a new process knows nothing of the last one's."""

import importlib
import sys
import textwrap
import time

import pytest

from kafkaboot import circuit
from kafkaboot.testing import effect, simulate

ORDERS = [("a", {"id": 1}), ("b", {"id": 2}), ("a", {"id": 3})]

BILL = """
from kafkaboot import *
from {name}_outside import Bank

@circuit("bank")
def charge(bank, order):
    bank.charge(order)

@event_handler("orders", {option})
async def bill(order: dict, bank: Bank):
    charge(bank, order)
"""


class Idempotent:
    def charge(self, order):
        effect("charge", order["id"], deduplicated=True)


@pytest.mark.parametrize("option", ['circuit="psp"', ""])
def test_a_handler_behind_a_circuit_that_opens_at_once_passes_without_waiting(tmp_path, option):
    name = "guarded_" + ("outside" if option else "inside")
    (tmp_path / f"{name}_outside.py").write_text("class Bank: ...\n")
    (tmp_path / f"{name}.py").write_text(textwrap.dedent(BILL.format(name=name, option=option)))
    sys.path.insert(0, str(tmp_path))
    try:
        bank = importlib.import_module(f"{name}_outside").Bank
        began = time.process_time()
        found = simulate(
            name,
            {"orders": ORDERS},
            components={bank: Idempotent},
            directory=tmp_path,
            overrides={f"kafkaboot.circuits.{one}.{key}": value
                       for one in ("psp", "bank") for key, value in (("consecutive", 1), ("open-for", "20s"))},
        )  # fmt: skip
        assert found.ok, found
        assert time.process_time() - began < 30
    finally:
        sys.path.remove(str(tmp_path))

    calls = []
    assert circuit("bank")(calls.append)(1) is None, "what the simulation knew of the bank went with it"
    assert calls == [1]
