"""Handlers of applications under every fault: right ones pass, and each kind of wrong one is found and told."""

import importlib
import logging
import random
import sys
import textwrap
import time
from pathlib import Path

import pytest

from kafkaboot.testing import effect, simulate
from kafkaboot.testing.simulation.schedule import Schedule

OUTSIDE = """
    class Bank:
        async def charge(self, order):
            raise RuntimeError("a real bank")

        def charge_now(self, order):
            raise RuntimeError("a real bank")
"""
ORDERS = [("a", {"id": 1}), ("b", {"id": 2}), ("a", {"id": 3})]


class Plain:
    """Charges as often as it is asked to."""

    def charge_now(self, order):
        effect("charge", order["id"])

    async def charge(self, order):
        self.charge_now(order)


class Idempotent(Plain):
    """Knows what it has done, as banks with idempotency keys do."""

    def charge_now(self, order):
        effect("charge", order["id"], deduplicated=True)


@pytest.fixture
def run(tmp_path, request):
    name = "simulated_" + "".join(c if c.isalnum() else "_" for c in request.node.name)[-60:]

    def simulated(handlers, bank=None, records=ORDERS, **more):
        (tmp_path / f"{name}_outside.py").write_text(textwrap.dedent(OUTSIDE))
        head = f"import asyncio\nimport time\nfrom kafkaboot import *\nfrom {name}_outside import Bank\n"
        (tmp_path / f"{name}.py").write_text(head + textwrap.dedent(handlers))
        sys.path.insert(0, str(tmp_path))
        outside = importlib.import_module(f"{name}_outside")
        doubles = {outside.Bank: bank} if bank else {}
        return simulate(name, {"orders": records}, components=doubles, directory=tmp_path, **more)

    yield simulated
    sys.path[:] = [place for place in sys.path if place != str(tmp_path)]


# --- right ones


def test_a_handler_that_is_right_passes_hundreds_of_schedules_in_seconds_and_sleeps_in_none(run):
    began = time.process_time()
    found = run(
        """
        @event_handler("orders")
        async def bill(order: dict, bank: Bank):
            await asyncio.sleep(60)
            await bank.charge(order)
        """,
        Idempotent,
    )
    assert found.ok, found
    assert found.runs >= 300
    assert set(found.faults) == {"crash", "rebalance", "expire", "commit", "fail", "unanswered"}
    assert time.process_time() - began < 20


@pytest.mark.parametrize("ordering", ["partition", "key", "unordered"])
def test_every_ordering_of_a_right_handler_passes(run, ordering):
    found = run(
        f"""
        @event_handler("orders", ordering="{ordering}")
        async def bill(order: dict, bank: Bank):
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(asyncio.sleep(0.3))
            await bank.charge(order)
        """,
        Idempotent,
        schedules=5,
    )
    assert found.ok, found


def test_threads_are_simulated_too_and_their_sleep_takes_no_time(run):
    began = time.process_time()
    found = run(
        """
        from time import sleep

        @event_handler("orders")
        def bill(order: dict, bank: Bank):
            time.sleep(5)
            sleep(5)
            bank.charge_now(order)
        """,
        Idempotent,
        schedules=5,
    )
    assert found.ok, found
    assert time.process_time() - began < 15


def test_batches_publishers_and_components_with_hooks_pass(run):
    found = run(
        """
        @component
        class Names:
            @on_start
            async def load(self):
                await asyncio.sleep(2)
                self.names = {1: "one"}

        @event_handler("orders")
        @publisher("bills")
        async def bill(order: dict, names: Names) -> dict:
            return {"name": names.names.get(order["id"], "other")}

        @event_handler("bills")
        async def file(bills: list[dict]):
            await asyncio.to_thread(time.sleep, 1)
        """,
        schedules=5,
    )
    assert found.ok, found
    assert found.faults["crash"] > 10


def test_a_batch_that_names_its_failed_record_passes(run):
    found = run(
        """
        @event_handler("orders")
        async def bill(orders: list[dict], bank: Bank):
            for index, order in enumerate(orders):
                await asyncio.sleep(0.1)
                try:
                    await bank.charge(order)
                except ConnectionError as error:
                    raise BatchFailed(index, error)
        """,
        Idempotent,
        schedules=5,
    )
    assert found.ok, found
    assert found.faults["fail"] >= 2


def test_what_the_application_itself_provides_is_replaced_by_the_double(run):
    found = run(
        """
        @component
        class RealBank(Bank):
            pass

        @component
        class Till:
            def __init__(self, bank: Bank):
                self.bank = bank

        @event_handler("orders")
        async def bill(order: dict, till: Till):
            await till.bank.charge(order)
        """,
        Idempotent,
        schedules=5,
    )
    assert found.ok, found


# --- lost


def test_work_that_goes_on_behind_the_handlers_return_is_lost_by_one_fault(run):
    found = run(
        """
        tasks = set()

        @event_handler("orders", ordering="unordered")
        async def bill(order: dict, bank: Bank):
            async def work():
                await asyncio.sleep(0.1)
                await bank.charge(order)
            tasks.add(asyncio.create_task(work()))
        """,
        Idempotent,
    )
    assert found.breach is not None
    assert found.breach.kind == "lost"
    assert "a task that it had started was cut off" in found.breach.what
    assert [fault.kind for fault in found.schedule] == ["crash"]
    assert "CRASHES" in str(found)


def test_a_task_that_fails_behind_the_handlers_return_is_lost(run):
    found = run(
        """
        @event_handler("orders", ordering="unordered")
        async def bill(order: dict):
            async def work():
                await asyncio.sleep(0.1)
                order["price"]
            asyncio.create_task(work())
        """
    )
    assert found.breach is not None
    assert "returned, and then a task that it had started raised KeyError: 'price'" in found.breach.what
    assert not found.schedule


def test_an_exception_that_is_swallowed_loses_the_effect_that_failed(run):
    found = run(
        """
        @event_handler("orders")
        async def bill(order: dict, bank: Bank):
            try:
                await bank.charge(order)
            except Exception:
                pass
        """,
        Idempotent,
    )
    assert found.breach is not None
    assert found.breach.kind == "lost"
    assert [fault.kind for fault in found.schedule] == ["fail"]
    assert "charge 1 failed in bill" in found.breach.what or "charge 2 failed in bill" in found.breach.what


def test_an_effect_that_is_expected_and_never_tried_is_lost(run):
    handlers = """
        queue = []

        @event_handler("orders")
        async def bill(order: dict, bank: Bank):
            queue.append(order)
            if len(queue) == 2:
                while queue:
                    await bank.charge(queue.pop())
        """
    found = run(handlers, Idempotent, expects={"orders": lambda order: ("charge", order["id"])})
    assert found.breach is not None
    assert found.breach.kind == "lost"
    assert not found.schedule
    assert "was never done" in found.breach.what


def test_a_record_that_no_handler_gets_past_is_not_handled_and_its_error_is_told(run):
    found = run(
        """
        @event_handler("orders")
        async def bill(order: dict):
            order["price"]
        """
    )
    assert found.breach is not None
    assert "raised KeyError: 'price'" in found.breach.what
    assert "it is still being tried" in found.breach.what


# --- repeated


def test_a_memory_that_dies_with_its_process_doubles_an_effect(run):
    found = run(
        """
        @component
        class Seen(set):
            pass

        @event_handler("orders")
        async def bill(order: dict, bank: Bank, seen: Seen):
            if order["id"] not in seen:
                await bank.charge(order)
                seen.add(order["id"])
        """,
        Plain,
    )
    assert found.breach is not None
    assert found.breach.kind == "repeated"
    assert len(found.schedule) == 1


def test_what_a_module_remembers_dies_with_its_process_too_and_the_module_has_its_own_back(run, request):
    found = run(
        """
        seen = set()

        @event_handler("orders")
        async def bill(order: dict, bank: Bank):
            if order["id"] not in seen:
                seen.add(order["id"])
                await bank.charge(order)
        """,
        Plain,
        records=[{"id": 1}],
    )
    assert found.breach is not None
    assert len(found.schedule) == 1
    [module] = [m for name, m in sys.modules.items() if name.endswith(request.node.name[-60:].replace("[", "_"))]
    assert module.seen == set()


# --- out of order


@pytest.mark.parametrize("ordering", ["partition", "key"])
def test_tasks_that_run_behind_the_handlers_return_break_the_order_without_any_fault(run, ordering):
    found = run(
        f"""
        tasks = set()

        @event_handler("orders", ordering="{ordering}")
        async def bill(order: dict):
            tasks.add(asyncio.create_task(asyncio.sleep(1 / order["id"])))
        """
    )
    assert found.breach is not None
    assert found.breach.kind == "out of order"
    assert not found.schedule
    begun = {"partition": "orders[1]@1 (key 'b')", "key": "orders[1]@2 (key 'a')"}[ordering]
    assert f"{begun} began while a task that bill with orders[1]@0 (key 'a')" in found.breach.what


# --- the report


FORGETFUL = """
    @event_handler("orders")
    async def bill(order: dict, bank: Bank):
        await bank.charge(order)
        await asyncio.sleep(1)
    """


def test_the_schedule_that_is_told_shows_the_same_run_again(run):
    found = run(FORGETFUL, Plain)
    again = run(FORGETFUL, Plain, replay=str(found.schedule))
    assert again.breach == found.breach
    assert again.story == found.story
    assert f"replay={str(found.schedule)!r}" in str(found)
    assert run(FORGETFUL, Plain, replay="").ok


def test_random_schedules_find_what_needs_two_faults_and_are_made_as_short_as_it_needs(run):
    handlers = """
        @event_handler("orders")
        async def bill(order: dict, bank: Bank):
            for attempt in range(2):
                try:
                    return await bank.charge(order)
                except ConnectionError:
                    if attempt:
                        return
                    await asyncio.sleep(0.1)
        """
    assert run(handlers, Idempotent, schedules=0).ok
    found = run(handlers, Idempotent, schedules=2000, seed=1)
    assert found.breach is not None
    assert found.breach.kind == "lost"
    assert [fault.kind for fault in found.schedule] == ["fail", "fail"]
    assert found == run(handlers, Idempotent, schedules=2000, seed=1)


SHOP = """
    from decimal import Decimal
    from kafkaboot import component, event, event_handler
    from pydantic import BaseModel

    @event("order.placed")
    class OrderPlaced(BaseModel):
        order_id: str
        total: Decimal

    @component
    class Bank:
        async def charge(self, order_id: str) -> None:
            raise RuntimeError("a real bank")

    @event_handler("orders")
    async def charge(order: OrderPlaced, bank: Bank) -> None:
        await bank.charge(order.order_id)
    """


def test_the_readme_s_example_passes_and_fails_for_a_bank_that_charges_twice(tmp_path, monkeypatch):
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    [example] = [block for block in readme.split("```python\n") if "simulate(" in block.partition("```")[0]]
    code = example.partition("```")[0].replace('"shop"', '"shop_of_the_readme"')
    (tmp_path / "shop_of_the_readme.py").write_text(textwrap.dedent(SHOP))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    shop = importlib.import_module("shop_of_the_readme")

    def tested(code):
        names = {"effect": effect, "simulate": simulate, **vars(shop)}
        exec(code, names)
        names["test_no_order_is_lost_or_charged_twice"]()

    tested(code)
    assert ", deduplicated=True" in code
    with pytest.raises(AssertionError, match="repeated: charge 'o-1' was done a second time"):
        tested(code.replace(", deduplicated=True", ""))


@pytest.mark.parametrize(("form", "ask"), [("async def", "await producer"), ("def", "producer.sync")])
def test_a_request_is_refused_since_nobody_is_there_to_answer(run, form, ask):
    found = run(
        f"""
        @event_handler("orders")
        {form} charge(order: dict, producer: Producer) -> None:
            {ask}.request("prices", order)
        """
    )
    assert found.breach is not None
    assert "a request was made in a simulation, where nobody answers" in found.breach.what


def test_nothing_of_the_simulation_stays_behind(run):
    before = time.sleep, logging.root.manager.disable, random.getstate()
    run(FORGETFUL, Plain)
    assert (time.sleep, logging.root.manager.disable, random.getstate()) == before
    with pytest.raises(RuntimeError, match="none is running"):
        effect("charge", 1)


async def test_an_async_test_is_told_to_be_a_plain_one():
    with pytest.raises(RuntimeError, match="call it from a plain `def` test"):
        simulate("anything", {})


def test_a_schedule_that_cannot_be_read_is_refused_with_what_is_meant():
    assert str(Schedule.read("12:commit 7:crash")) == "7:crash 12:commit"
    with pytest.raises(ValueError, match="'7-crash' is no fault of a schedule: write `STEP:KIND`"):
        Schedule.read("7-crash")
