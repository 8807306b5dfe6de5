from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from typing import Any, TypedDict

import msgspec
import pydantic
import pytest

from kafkaboot.declare import (
    RetryPolicy,
    component,
    component_spec,
    event,
    event_handler,
    event_spec,
    handler_methods,
    handler_spec,
    hooks,
    on_start,
    on_stop,
    publisher,
    publisher_specs,
    publishing_methods,
    settings,
    settings_spec,
)
from kafkaboot.errors import DeclarationError


def here() -> int:
    return sys._getframe(1).f_lineno


def test_a_decorated_function_is_the_same_function_and_carries_its_spec() -> None:
    def bill(order: dict) -> int:
        return len(order)

    line = here() + 1
    decorated = event_handler("orders", "refunds", ordering="key", timeout="1m30s")(bill)

    assert decorated is bill
    assert decorated({"a": 1}) == 1
    spec = handler_spec(bill)
    assert spec is not None
    assert (spec.function, spec.id, spec.topics) == (bill, "bill", ("orders", "refunds"))
    assert (spec.ordering, spec.timeout, spec.concurrency, spec.retry) == ("key", 90.0, 8, "default")
    assert (spec.start, spec.batch, spec.group, spec.type, spec.filter) == ("earliest", None, None, None, None)
    assert spec.given == {"topics", "ordering", "timeout"}
    assert spec.where.endswith(f"test_decorators.py:{line}")


def test_every_option_is_kept() -> None:
    def accept(record: Any) -> bool:
        return bool(record)

    policy = RetryPolicy(initial=1)

    @event_handler(
        pattern="^orders[.].*",
        id="bill-all",
        type="order.placed",
        group="billing",
        batch=100,
        ordering="unordered",
        concurrency=1,
        timeout=2,
        retry=policy,
        filter=accept,
        start="latest",
    )
    def bill(orders: list[dict]) -> None: ...

    spec = handler_spec(bill)
    assert spec is not None
    assert (spec.pattern, spec.topics, spec.id, spec.type, spec.group) == (
        "^orders[.].*",
        (),
        "bill-all",
        "order.placed",
        "billing",
    )
    assert (spec.batch, spec.ordering, spec.concurrency, spec.timeout) == (100, "unordered", 1, 2.0)
    assert (spec.retry, spec.filter, spec.start) == (policy, accept, "latest")
    assert len(spec.given) == 11


def test_what_is_switched_off_in_code_counts_as_written() -> None:
    @event_handler("orders", batch=False, retry=False)
    def bill(orders: list[dict]) -> None: ...

    spec = handler_spec(bill)
    assert spec is not None
    assert (spec.batch, spec.retry) == (False, False)
    assert spec.given == {"topics", "batch", "retry"}


def test_publishers_stack_above_and_below_a_handler_and_are_read_from_the_top() -> None:
    @publisher("first", key="order_id")
    @event_handler("orders")
    @publisher("second", key=lambda payload: payload["id"], headers={"a": "b"}, partition=3, type="t")
    @publisher("third")
    async def bill(order: dict) -> dict:
        return order

    spec = handler_spec(bill)
    assert spec is not None
    assert [one.topic for one in spec.publishers] == ["first", "second", "third"]
    assert (spec.publishers[0].key, spec.publishers[1].partition, spec.publishers[1].type) == ("order_id", 3, "t")
    assert spec.publishers[2].where.endswith(f"test_decorators.py:{bill.__code__.co_firstlineno + 3}")


def test_a_wrapper_that_keeps_the_name_is_what_will_be_called() -> None:
    def loud(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any) -> Any:
            return function(*args)

        return wrapper

    @loud
    @event_handler("orders")
    def bill(order: dict) -> None: ...

    spec = handler_spec(bill)
    assert spec is not None
    assert spec.function is bill


class Desk:
    @event_handler("orders")
    async def bill(self, order: dict) -> None: ...

    @publisher("audits")
    async def audit(self) -> dict:
        return {}

    @on_start
    async def connect(self) -> None: ...

    @on_stop
    def close(self, grace: float = 1.0) -> None: ...

    def quiet(self) -> None: ...


def test_a_methods_spec_is_read_through_its_class() -> None:
    (spec,) = handler_methods(Desk)
    assert (spec.owner, spec.function, spec.id) == (Desk, Desk.bill, "bill")
    assert {name: [one.topic for one in specs] for name, specs in publishing_methods(Desk).items()} == {
        "audit": ["audits"]
    }
    assert hooks(Desk) == (("connect",), ("close",))


def test_methods_are_inherited_and_an_override_speaks_for_itself() -> None:
    class Heir(Desk):
        async def bill(self, order: dict) -> None: ...

        @on_stop
        async def farewell(self) -> None: ...

    assert handler_methods(Heir) == []
    assert hooks(Heir) == (("connect",), ("close", "farewell"))
    assert handler_methods(type("Sibling", (Desk,), {}))[0].function is Desk.bill


def test_a_subclass_is_no_component_event_or_settings_class_by_accident() -> None:
    @component(name="fast", primary=True)
    class Tax: ...

    @event("order.placed", version=2)
    class Placed: ...

    @settings("shop")
    class Shop(pydantic.BaseModel): ...

    for parent, read in ((Tax, component_spec), (Placed, event_spec), (Shop, settings_spec)):
        assert read(parent) is not None
        assert read(type("Child", (parent,), {})) is None
    tax, placed, shop = component_spec(Tax), event_spec(Placed), settings_spec(Shop)
    assert tax is not None
    assert placed is not None
    assert shop is not None
    assert (tax.provides, tax.factory, tax.name, tax.primary) == (Tax, Tax, "fast", True)
    assert (placed.name, placed.version, placed.payload) == ("order.placed", 2, Placed)
    assert (shop.prefix, shop.model) == ("shop", Shop)


@component
class Clock: ...


@component
def make_clock() -> Clock:
    return Clock()


def test_a_factory_provides_what_it_says_to_return_even_as_text() -> None:
    spec = component_spec(make_clock)
    assert spec is not None
    assert (spec.factory, spec.provides, spec.name) == (make_clock, Clock, "make_clock")
    assert isinstance(make_clock(), Clock)

    class Local: ...

    @component
    def make_local() -> Local:
        return Local()

    local = component_spec(make_local)
    assert local is not None
    assert local.provides is Local


@pytest.mark.parametrize("above", [True, False])
def test_an_event_may_be_a_dataclass_with_slots_whichever_decorator_is_first(above: bool) -> None:
    class Placed:
        order_id: str

    Placed.__annotations__ = {"order_id": str}
    slotted = dataclass(slots=True)
    payload: Any = event("e")(slotted(Placed)) if above else slotted(event("e")(Placed))
    spec = event_spec(payload)
    assert spec is not None
    assert spec.payload is payload


def test_an_event_may_be_a_struct_a_typed_dict_or_a_model() -> None:
    @event("a")
    class A(msgspec.Struct):
        x: int

    @event("b")
    class B(TypedDict):
        x: int

    @event("c")
    class C(pydantic.BaseModel):
        x: int

    for payload in (A, B, C):
        spec = event_spec(payload)
        assert spec is not None
        assert spec.payload is payload
    assert (A(1).x, B(x=1), C(x=1).model_dump()) == (1, {"x": 1}, {"x": 1})


def handler(**options: Any) -> Any:
    return lambda: event_handler("orders", **options)


def on(target: Any, decorate: Any) -> Any:
    return lambda: decorate(target)


def numbers() -> Any:
    yield 1


async def later() -> Any:
    yield 1


def plain(order: dict) -> None: ...


async def build() -> Clock:
    return Clock()


def nothing(): ...


def none() -> None: ...


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda: event_handler(), "@event_handler has neither topics nor a pattern"),
        (lambda: event_handler("orders", pattern="x"), "@event_handler has both topics and pattern='x'"),
        (lambda: event_handler(plain), "@event_handler needs the topics that it takes"),  # type: ignore[arg-type]
        (lambda: event_handler(["a"]), "a topic's name is a text, not ['a']"),  # type: ignore[arg-type]
        (lambda: event_handler("two words"), "'two words' cannot be a topic's name"),
        (lambda: event_handler("a", "a"), "names the topic 'a' twice"),
        (lambda: event_handler("^orders"), "To do: write pattern='^orders'"),
        (lambda: event_handler(pattern="("), "pattern='(' is no regular expression: missing )"),
        (lambda: event_handler(pattern=""), "pattern must be a regular expression as text, not ''"),
        (handler(ordering="keys"), "ordering='keys' is not known\n  To do: did you mean 'key'?"),
        (handler(ordering="x"), "To do: write one of 'partition', 'key', 'unordered'"),
        (handler(start="Latest"), "start='Latest' is not known\n  To do: did you mean 'latest'?"),
        (handler(concurrency=0), "concurrency must be a whole number of at least 1, not 0"),
        (handler(concurrency=True), "concurrency must be a whole number of at least 1, not True"),
        (handler(concurrency=2.5), "concurrency must be a whole number of at least 1, not 2.5"),
        (handler(batch=0), "batch must be a whole number of at least 1, not 0"),
        (handler(timeout=-1), "timeout must be a duration longer than nothing, not -1"),
        (handler(timeout="soon"), "timeout must be a duration longer than nothing, not 'soon'"),
        (handler(timeout=float("nan")), "timeout must be a duration longer than nothing, not nan"),
        (handler(id="two words"), "id='two words' cannot be a handler's id"),
        (handler(id="a.b"), "id='a.b' cannot be a handler's id"),
        (handler(group=""), "group must be a text without blanks, not ''"),
        (handler(type=7), "type must be a text without blanks, not 7"),
        (handler(retry=True), "retry must be a policy's name, a RetryPolicy or False, not True"),
        (handler(filter="x"), "filter must be a plain function of the record, not 'x'"),
        (handler(filter=build), "filter must be a plain function of the record"),
        (on(Desk, event_handler("a")), "@event_handler cannot stand on the class Desk"),
        (on(staticmethod(plain), event_handler("a")), "@event_handler cannot stand on a staticmethod"),
        (on(classmethod(plain), event_handler("a")), "@event_handler cannot stand on a classmethod"),
        (on(lambda order: None, event_handler("a")), "@event_handler cannot stand on a lambda"),
        (on(functools.partial(plain), event_handler("a")), "@event_handler stands on a function, not on functools"),
        (on(numbers, event_handler("a")), "numbers is a generator, and a record is settled when its function returns"),
        (on(later, event_handler("a")), "later is a generator"),
        (on(Desk.bill, event_handler("a")), "@event_handler stands twice on bill"),
        (lambda: publisher(plain), "@publisher needs the topic that it writes to"),  # type: ignore[arg-type]
        (lambda: publisher("a b"), "@publisher: 'a b' cannot be a topic's name"),
        (lambda: publisher("a", key=""), "@publisher: key must be a text without blanks, not ''"),
        (lambda: publisher("a", partition=-1), "@publisher: partition must be a whole number of at least 0"),
        (lambda: publisher("a", headers={"a": 1}), "@publisher: headers must map names to str or bytes"),  # type: ignore[dict-item]
        (lambda: publisher("a", headers=7), "@publisher: headers must map names to str or bytes"),  # type: ignore[arg-type]
        (on(Desk, publisher("a")), "@publisher cannot stand on the class Desk"),
        (on(numbers, publisher("a")), "@publisher: numbers is a generator"),
        (lambda: event(""), "@event: the name must be a text without blanks, not ''"),
        (lambda: event(Desk), "@event: the name must be a text without blanks"),  # type: ignore[arg-type]
        (lambda: event("e", version=0), "@event: version must be a whole number of at least 1, not 0"),
        (on(plain, event("e")), "@event stands on a class, not on <function plain"),
        (lambda: event("e")(event("f")(type("Two", (), {}))), "@event stands twice on Two"),
        (on(7, component), "@component cannot stand on 7"),
        (on(build, component), "@component: build is async"),
        (on(nothing, component), "@component: nothing does not say what it provides"),
        (on(none, component), "@component: none does not say what it provides"),
        (on(Clock, component), "@component stands twice on Clock"),
        (on(Desk, settings("shop")), "@settings: Desk is no pydantic model"),
        (lambda: settings("kafkaboot.shop"), "@settings: the section 'kafkaboot.shop' belongs to kafkaboot"),
        (lambda: settings("my shop"), "@settings: the prefix must be a text without blanks"),
        (on(plain, settings("shop")), "@settings stands on a class"),
        (on(none, on_start), "@on_start: none must be a component's method that takes nothing but self"),
        (on(Clock, on_stop), "@on_stop cannot stand on the class Clock"),
    ],
)
def test_wrong_use_is_refused_at_once_with_file_and_line(wrong: Any, text: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        wrong()
    assert text in str(caught.value)
    assert "test_decorators.py:" in caught.value.where


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(TypeError, match="lanes"):
        event_handler("orders", lanes=4)  # type: ignore[call-arg]


def test_a_static_method_made_above_the_decorator_is_refused_when_the_class_is_read() -> None:
    class Desk:
        @staticmethod
        @event_handler("orders")
        def bill(order: dict) -> None: ...

    with pytest.raises(DeclarationError, match=r"Desk\.bill is a staticmethod") as caught:
        handler_methods(Desk)
    assert "test_decorators.py:" in caught.value.where


@pytest.mark.parametrize("wrong", [{"initial": -1}, {"max": float("inf")}, {"multiplier": 0.5}, {"initial": "1s"}])
def test_a_retry_policy_that_no_wait_can_be_made_of_is_refused(wrong: Any) -> None:
    with pytest.raises(DeclarationError, match=r"RetryPolicy\("):
        RetryPolicy(**wrong)


def test_placeholders_are_left_for_the_start() -> None:
    @event_handler("${shop.topic}")
    @publisher("${shop.out:invoices}")
    def bill(order: dict) -> dict:
        return order

    spec = handler_spec(bill)
    assert spec is not None
    assert spec.topics == ("${shop.topic}",)
    assert publisher_specs(bill)[0].topic == "${shop.out:invoices}"
