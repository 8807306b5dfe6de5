"""Circuits of an application: the handlers' option, `kafkaboot.circuits`, and who hears of a change."""

from __future__ import annotations

import asyncio

import pytest

from kafkaboot.boot.application import Application
from kafkaboot.boot.pipeline import CIRCUIT, route
from kafkaboot.errors import CircuitOpenError, KafkabootError
from kafkaboot.failure import Circuits
from kafkaboot.health import HealthIndicator

BILL = """
class Order(BaseModel):
    order_id: str

HEARD = []

@component
class Board:
    def on_circuit(self, circuit, state, reason):
        HEARD.append((circuit, state))

@circuit("bank")
def pay(order_id): raise ConnectionError(order_id)

@circuit("till")
def ring(): raise ConnectionError  # no handler calls it

@event_handler("orders", circuit="psp", retry="default")
def bill(order: Order) -> None:
    pay(order.order_id)

@event_handler("invoices")
def book(order: Order) -> None: ...
"""


class Raw:
    def __init__(self, value=b'{"order_id": "o-1"}'):
        self._value = value

    def topic(self):
        return "orders"

    def partition(self):
        return 0

    def offset(self):
        return 7

    def key(self):
        return None

    def timestamp(self):
        return (1, 0)

    def __len__(self):
        return 0

    def headers(self):
        return None

    def value(self):
        return self._value


def application(shop, **options):
    return Application(directory=shop.folder, environ={}, **options)


def refused(shop, **options):
    with pytest.raises(KafkabootError) as raised:
        application(shop, **options).wire()
    return str(raised.value).replace(str(shop.folder), ".").replace(shop.name, "shop")


def routes(made):
    """The engine's view of the handlers, by id, and the circuits."""
    made.wire()
    container = made.blueprint.container
    found = {}
    for handler in made.blueprint.handlers:
        filled = container.arguments(handler.demand)
        found[handler.spec.id] = route(handler, None, filled, None, filled.pop(CIRCUIT, None))
    return found, container.get(Circuits)


def test_a_named_circuit_guards_the_call_and_others_are_called_as_they_are(shop):
    shop.handlers(BILL)
    found, circuits = routes(application(shop))

    book = shop.module("handlers").book
    assert found["book"].plain.function is book, "who names no circuit has nothing between"
    plain = found["bill"].plain
    assert plain.function is not shop.module("handlers").bill
    for _ in range(5):
        with pytest.raises(ConnectionError):
            plain.function(plain.decode(b'{"order_id": "o-1"}'))
    with pytest.raises(CircuitOpenError) as caught:
        found["bill"].call(Raw())
    assert caught.value.circuit == "psp"
    assert circuits.get("psp").state == "open"


def test_yaml_gives_a_handler_its_circuit_and_the_table_says_whether_it_has_settings(shop):
    shop.handlers(BILL)
    shop.yaml("  circuits:\n    psp: {consecutive: 2, failure-rate: 40%, slow-call: 2s, open-for: 1m}\n"
              "  handlers:\n    book: {circuit: bank}\n")  # fmt: skip
    made = application(shop)

    bill, book = made.describe_handlers()
    assert (bill.circuit, book.circuit) == ("psp", "bank (defaults)")
    assert [str(one) for one in made.blueprint.report.overrides] == [
        "book: circuit = bank (application.yaml:6); the code says None"
    ]
    settings = made.blueprint.container.get(Circuits).settings["psp"]
    assert (settings.row, settings.failure_rate, settings.slow_call, settings.open_for) == (2, 0.4, 2.0, 60.0)


@pytest.mark.parametrize(("attempts", "consecutive", "late"), [(3, 4, True), (4, 4, False), (3, 0, False)])
def test_a_circuit_that_opens_later_than_a_policy_gives_up_is_told(shop, caplog, attempts, consecutive, late):
    shop.handlers(BILL)
    shop.yaml(f"  circuits:\n    psp: {{consecutive: {consecutive}}}\n"
              f"  retry:\n    default: {{attempts: {attempts}}}\n")  # fmt: skip
    routes(application(shop))

    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert bool(told) is late
    if late:
        assert "handlers.py:" in told[0]
        assert "default allows 3 attempts, and circuit 'psp' opens at 4 failures in a row" in told[0]
        assert told[0].endswith("or set kafkaboot.circuits.psp.consecutive")


def test_a_timeout_counts_as_a_failure_and_a_refused_or_undecodable_record_does_not(shop):
    shop.handlers(
        """
        import asyncio

        class Order(BaseModel):
            order_id: str

        @event_handler("orders", circuit="psp", timeout=0.01, filter=lambda record: record.value != b"no")
        async def bill(order: Order) -> None:
            await asyncio.Event().wait()
        """
    )
    found, circuits = routes(application(shop, overrides=["kafkaboot.circuits.psp.consecutive=2"]))
    call = found["bill"].call

    async def handle():
        await call(Raw(b"no"))
        with pytest.raises(KafkabootError, match="order_id"):
            await call(Raw(b"{}"))
        assert (circuits.get("psp").calls, circuits.get("psp").failures) == (1, 0)
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await call(Raw())
        with pytest.raises(CircuitOpenError):
            await call(Raw())
        await call(Raw(b"no"))  # what needs nothing of it is settled all the same

    asyncio.run(handle())


def test_a_batch_is_called_through_its_circuit(shop):
    shop.handlers(
        """
        class Order(BaseModel):
            order_id: str

        @event_handler("orders", circuit="psp")
        async def bill(orders: list[Order]) -> None:
            raise BatchFailed(1, ConnectionError())
        """
    )
    found, _ = routes(application(shop, overrides=["kafkaboot.circuits.psp.consecutive=1"]))

    async def handle():
        with pytest.raises(KafkabootError, match="record 1"):
            await found["bill"].batch_call([Raw(), Raw()])
        with pytest.raises(CircuitOpenError):
            await found["bill"].batch_call([Raw(), Raw()])

    asyncio.run(handle())


@pytest.mark.parametrize(
    ("named", "text"),
    [
        ("failures: [json.JSONDecodeEror]", "`kafkaboot.circuits.psp.failures` names the exception 'json."),
        ("failures: [json.JSONDecodeEror]", "has no 'JSONDecodeEror'\n  To do: did you mean `json.JSONDecodeError`?"),
        ("ignore: [TimeoutEror]", "module 'builtins' has no 'TimeoutEror'\n  To do: did you mean `TimeoutError`?"),
        ("ignore: [nowhere.Busy]", "there is no module 'nowhere'\n  To do: write the class's dotted name"),
        ("ignore: [json.loads]", "module 'json' has something else of the name 'loads'"),
    ],
)  # fmt: skip
def test_an_exception_that_does_not_exist_fails_the_start_with_its_line(shop, named, text):
    shop.handlers(BILL)
    shop.yaml(f"  circuits:\n    psp:\n      {named}\n")

    said = refused(shop)
    assert said.startswith("application.yaml:5: ")
    assert text in said


def test_an_exception_of_the_application_may_be_named(shop):
    shop.handlers(BILL + "\nclass CardRefused(Exception): ...\n")
    shop.yaml(f"  circuits:\n    psp: {{consecutive: 1, ignore: [{shop.name}.handlers.CardRefused]}}\n")

    _, circuits = routes(application(shop))
    blames = circuits.get("psp")._blame
    assert not blames(shop.module("handlers").CardRefused())
    assert blames(RuntimeError())


@pytest.mark.parametrize(
    ("yaml", "text"),
    [
        ("circuits: {psp: {failure-rate: 500%}}", "a ratio is wanted: 50%, or a number from 0 to 1"),
        ("circuits: {psp: {windw: 5}}", "did you mean `window`?"),
        ("circuits: {psp: {window: 5, minimum-calls: 6}}", "minimum-calls (6) must be at most the window (5)"),
        ("handlers: {bill: {circuit: the psp}}", "kafkaboot.handlers.bill.circuit"),
    ],
)
def test_what_cannot_be_meant_fails_the_start_with_its_line(shop, yaml, text):
    shop.handlers(BILL)
    shop.yaml(f"  {yaml}\n")

    said = refused(shop)
    assert text in said
    assert "application.yaml:3" in said


def test_a_handler_with_a_circuit_and_no_circuits_is_told_before_the_start(shop):
    shop.handlers(BILL)

    said = refused(shop, overrides=["kafkaboot.autoconfigure.exclude=circuits"])
    assert "nothing provides Circuits" in said
    assert "bill" in said


async def test_a_component_hears_of_a_change_and_the_functions_take_the_applications_circuits(shop):
    shop.handlers(BILL)
    shop.yaml("  circuits: {till: {consecutive: 2, open-for: 1h}}\n  kafka: {topics: off}\n")
    made = application(shop)
    await made.start()
    handlers = shop.module("handlers")
    try:
        container = made.blueprint.container
        assert "circuits" in {container.instance(one).name for one in container.providing(HealthIndicator)}
        for _ in range(2):
            with pytest.raises(ConnectionError):
                handlers.ring()
        with pytest.raises(CircuitOpenError):
            handlers.ring()
        assert ("till", "open") in handlers.HEARD
    finally:
        await made.stop()
    with pytest.raises(ConnectionError):
        handlers.ring()  # the application has gone, and what it knew of the till with it
