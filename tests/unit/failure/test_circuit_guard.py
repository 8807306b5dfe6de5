"""`@circuit`, and the registry that its functions find their circuits in."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from functools import partial

import pytest

from kafkaboot import CircuitOpenError, DeclarationError, circuit, event_handler
from kafkaboot.clock import ManualClock
from kafkaboot.declare import handler_spec
from kafkaboot.failure import Circuits, CircuitSettings, Holder, around, forget
from kafkaboot.health import Status


class Down:
    """A client of something that is down."""

    def __init__(self) -> None:
        self.called = 0

    @circuit("psp")
    def charge(self, card: str, *, amount: int = 1) -> str:
        """Take the money."""
        self.called += 1
        raise ConnectionError(f"{card} {amount}")

    @circuit("psp")
    async def charge_later(self, card: str) -> str:
        self.called += 1
        await asyncio.sleep(0)
        raise ConnectionError(card)


@pytest.fixture
def registry():
    made = Circuits({"psp": CircuitSettings(consecutive=2, open_for=60)}, ManualClock())
    made.take_over()
    yield made
    made.give_back()


def test_without_an_application_a_function_has_a_circuit_with_defaults() -> None:
    down = Down()
    for _ in range(5):
        with pytest.raises(ConnectionError, match="c-1 30"):
            down.charge("c-1", amount=30)
    with pytest.raises(CircuitOpenError, match="circuit 'psp' is open") as caught:
        down.charge("c-1", amount=30)
    assert down.called == 5
    assert 0 < caught.value.after <= 5
    assert caught.value.circuit == "psp"


def test_no_test_finds_a_circuit_that_another_one_opened() -> None:
    forget()  # as the pytest plugin does before each test
    test_without_an_application_a_function_has_a_circuit_with_defaults()
    forget()
    with pytest.raises(ConnectionError):
        Down().charge("c-1")


async def test_an_async_function_is_guarded_the_same_and_shares_its_circuit_by_name() -> None:
    down = Down()
    for _ in range(5):
        with pytest.raises(ConnectionError):
            await down.charge_later("c-1")
    with pytest.raises(CircuitOpenError):
        await down.charge_later("c-1")
    with pytest.raises(CircuitOpenError):
        down.charge("c-1")
    assert down.called == 5


def test_what_is_decorated_keeps_its_name_its_signature_and_its_kind() -> None:
    assert Down.charge.__name__ == "charge"
    assert Down.charge.__doc__ == "Take the money."
    assert list(inspect.signature(Down.charge).parameters) == ["self", "card", "amount"]
    assert inspect.iscoroutinefunction(Down.charge_later)
    assert not inspect.iscoroutinefunction(Down.charge)


async def test_bound_methods_partials_and_callable_objects_may_be_guarded() -> None:
    class Client:
        def get(self, path: str) -> str:
            return path

        async def __call__(self, path: str) -> str:
            return path

    client = Client()
    assert circuit("web")(client.get)("/a") == "/a"
    assert circuit("web")(partial(client.get, "/b"))() == "/b"
    assert await circuit("web")(client)("/c") == "/c"


def test_the_running_applications_circuit_is_taken_from_its_start_to_its_stop(registry: Circuits) -> None:
    down = Down()
    for _ in range(2):
        with pytest.raises(ConnectionError):
            down.charge("c-1")
    with pytest.raises(CircuitOpenError):
        down.charge("c-1")
    assert registry.get("psp").state == "open"
    registry.give_back()
    with pytest.raises(ConnectionError):
        down.charge("c-1")


def test_the_application_that_started_last_is_taken_and_the_one_before_when_it_stops(registry: Circuits) -> None:
    second = Circuits({})
    second.take_over()
    with pytest.raises(ConnectionError):
        Down().charge("c-1")
    assert (second.get("psp").calls, registry.get("psp").calls) == (1, 0)
    second.give_back()
    second.give_back()  # twice does no harm
    with pytest.raises(ConnectionError):
        Down().charge("c-1")
    assert (second.get("psp").calls, registry.get("psp").calls) == (1, 1)


async def test_a_call_at_work_tells_the_circuit_that_let_it_through(registry: Circuits) -> None:
    go = asyncio.Event()

    @circuit("psp")
    async def wait() -> None:
        await go.wait()
        raise ConnectionError

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    registry.give_back()
    go.set()
    with pytest.raises(ConnectionError):
        await task
    assert registry.get("psp").failures == 1


def test_a_handler_may_be_decorated_below_and_above() -> None:
    @event_handler("orders")
    @circuit("psp")
    def below(order: dict[str, str]) -> None: ...

    @circuit("psp")
    @event_handler("orders")
    def above(order: dict[str, str]) -> None: ...

    for function in (below, above):
        spec = handler_spec(function)
        assert spec is not None
        assert spec.function is function, "what stands in the module is called"


@pytest.mark.parametrize(
    ("use", "text"),
    [
        (lambda: circuit(lambda: None), 'write @circuit("psp")'),
        (lambda: circuit("the psp"), "'the psp' cannot be a circuit's name"),
        (lambda: circuit("a.b"), "it is a key under kafkaboot.circuits"),
        (lambda: circuit(""), "cannot be a circuit's name"),
        (lambda: circuit("psp")(Down), "@circuit stands on a function, not on Down"),
        (lambda: circuit("psp")(3), "@circuit stands on a function, not on 3"),
        (lambda: circuit("psp")(staticmethod(len)), "write it below @staticmethod"),
        (lambda: circuit("psp")(_lines), "_lines is a generator"),
        (lambda: event_handler("orders", circuit="the psp"), "@event_handler: 'the psp' cannot be a circuit's name"),
    ],
)
def test_what_cannot_be_guarded_is_refused_at_once_with_its_line(use, text) -> None:
    with pytest.raises(DeclarationError) as caught:
        use()
    assert text in str(caught.value)
    assert "test_circuit_guard.py:" in str(caught.value)


def _lines():
    yield ""


def test_an_unguarded_handler_is_another_matter_from_one_with_a_circuit() -> None:
    @event_handler("orders", circuit="psp")
    def bill(order: dict[str, str]) -> None: ...

    spec = handler_spec(bill)
    assert spec is not None
    assert (spec.circuit, "circuit" in spec.given) == ("psp", True)
    assert spec.function is bill, "the function stays as it was: the engine calls it through the circuit"


# --- the registry


def test_one_circuit_for_each_name_whoever_asks_first() -> None:
    registry = Circuits({})
    found: list[object] = []
    go = threading.Barrier(8)

    def ask() -> None:
        go.wait()
        found.append(registry.get("psp"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(set(map(id, found))) == 1
    assert [one.name for one in registry.all()] == ["psp"]


def test_changes_are_logged_in_one_line_and_told_to_whoever_listens(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[tuple[str, str, str]] = []

    class Listener:
        def on_circuit(self, circuit: str, state: str, reason: str) -> None:
            heard.append((circuit, state, reason))

    class Broken:
        def on_circuit(self, circuit: str, state: str, reason: str) -> None:
            raise RuntimeError("no paper in the printer")

    clock = ManualClock()
    registry = Circuits({"psp": CircuitSettings(consecutive=1, half_open=1)}, clock)
    registry.listeners = [object(), Broken(), Listener()]
    answers: list[object] = [ConnectionError(), "charged"]

    def charge() -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    guarded = around(charge, Holder("psp", registry.get("psp")))
    with caplog.at_level(logging.INFO, "kafkaboot.circuits"):
        with pytest.raises(ConnectionError):
            guarded()
        clock.advance(5)
        assert guarded() == "charged"
    lines = [(record.levelname, record.getMessage()) for record in caplog.records if record.levelname != "ERROR"]
    assert [level for level, _ in lines] == ["WARNING", "INFO", "INFO"]
    assert lines[0][1].startswith("circuit psp is open: 1 failures in a row; the next trial is in ")
    assert lines[2][1] == "circuit psp is closed: 1 trial calls went well"
    assert sum("a circuit listener raised" in record.message for record in caplog.records) == 3
    assert [state for _, state, _ in heard] == ["open", "half-open", "closed"]


def test_an_open_circuit_leaves_health_up_and_is_seen_in_its_details() -> None:
    registry = Circuits({}, ManualClock())
    assert registry.health().details == {}
    made = registry.get("psp")
    guarded = around(Down.charge.__wrapped__, Holder("psp", made))
    for _ in range(5):
        with pytest.raises(ConnectionError):
            guarded(Down(), "c-1")
    with pytest.raises(CircuitOpenError):
        guarded(Down(), "c-1")
    health = registry.health()
    assert health.status is Status.UP
    told = health.details["psp"]
    assert isinstance(told, dict)
    assert told.pop("reason").startswith("5 failures in a row")
    assert told == {"state": "open", "calls": 5, "failures": 5, "rejected": 1}


def test_settings_that_name_exceptions_are_followed() -> None:
    settings = CircuitSettings(consecutive=1, failures=["json.JSONDecodeError"], ignore=["ConnectionError"])
    registry = Circuits({"psp": settings})
    down = around(Down.charge.__wrapped__, Holder("psp", registry.get("psp")))
    for _ in range(9):
        with pytest.raises(ConnectionError):
            down(Down(), "c-1")
    assert registry.get("psp").closed
    import json

    parse = around(json.loads, Holder("psp", registry.get("psp")))
    with pytest.raises(json.JSONDecodeError):
        parse("{")
    assert not registry.get("psp").closed
