from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import pydantic
import pytest

from kafkaboot.declare import Header, Key, Kind, Named, Payload, event_handler, publisher, read_signature
from kafkaboot.errors import DeclarationError
from kafkaboot.message import Context, Record

if TYPE_CHECKING:
    from decimal import Decimal


class Order(pydantic.BaseModel):
    order_id: str


@dataclass
class Data:
    order_id: str


class Tax: ...


class ShopSettings(pydantic.BaseModel): ...


def injectable(wanted: Any) -> bool:
    return wanted in {Tax, ShopSettings}


def kinds(function: Any, **options: Any) -> dict[str, Kind]:
    signature = read_signature(function, "shop.py:1", injectable=injectable, **options)
    return {parameter.name: parameter.kind for parameter in signature.parameters}


def test_each_parameter_is_filled_by_its_annotation() -> None:
    async def bill(
        tax: Tax,
        order: Order,
        record: Record,
        tenant: Annotated[str, Header("tenant")],
        key: Annotated[bytes | None, Key()],
        context: Context,
        settings: ShopSettings,
        *,
        other: Annotated[Tax, Named("other")],
        rate: float = 0.2,
    ) -> int: ...

    signature = read_signature(bill, "shop.py:1", injectable=injectable)
    by_name = {parameter.name: parameter for parameter in signature.parameters}
    assert {name: parameter.kind.name for name, parameter in by_name.items()} == {
        "tax": "INJECT",
        "order": "PAYLOAD",
        "record": "RECORD",
        "tenant": "HEADER",
        "key": "KEY",
        "context": "CONTEXT",
        "settings": "INJECT",
        "other": "INJECT",
        "rate": "INJECT",
    }
    assert (by_name["order"].annotation, by_name["order"].required) == (Order, True)
    assert (by_name["tenant"].header, by_name["tenant"].annotation, by_name["tenant"].required) == ("tenant", str, True)
    assert (by_name["key"].annotation, by_name["key"].optional, by_name["key"].required) == (bytes, True, False)
    assert by_name["other"].annotation == Annotated[Tax, Named("other")]
    assert (by_name["other"].keyword_only, by_name["tax"].keyword_only) == (True, False)
    assert (by_name["rate"].default, by_name["rate"].required) == (0.2, False)
    assert signature.returns is int
    assert signature.payload is by_name["order"]
    assert not signature.batch


def test_a_marked_payload_wins_over_the_first() -> None:
    def bill(rates: dict, order: Annotated[Order, Payload()]) -> None: ...

    assert kinds(bill) == {"rates": Kind.INJECT, "order": Kind.PAYLOAD}


def test_a_plain_class_is_never_the_payload_so_that_a_forgotten_component_is_reported_as_one() -> None:
    class Forgotten: ...

    @event_handler("orders")
    def bill(forgotten: Forgotten, order: Order) -> None: ...

    assert kinds(bill) == {"forgotten": Kind.INJECT, "order": Kind.PAYLOAD}


@pytest.mark.parametrize("payload", [Order, Data, dict, dict[str, Any], list, str, bytes, Any, Order | Data])
def test_a_payload_may_be_any_type_that_bytes_become(payload: Any) -> None:
    def bill(order: payload) -> None: ...

    bill.__annotations__["order"] = payload
    (parameter,) = read_signature(bill, "shop.py:1").parameters
    assert (parameter.kind, parameter.annotation) == (Kind.PAYLOAD, payload)


def test_an_optional_payload_takes_null_values() -> None:
    def bill(order: Order | None) -> None: ...

    payload = read_signature(bill, "shop.py:1").payload
    assert payload is not None
    assert (payload.annotation, payload.optional, payload.required) == (Order | None, True, False)


def test_a_list_is_a_batch_of_its_elements() -> None:
    def bill(orders: list[Order | None], records: list[Record], tax: Tax, context: Context) -> None: ...

    signature = read_signature(bill, "shop.py:1", injectable=injectable)
    assert [parameter.kind.name for parameter in signature.parameters] == ["BATCH", "RECORDS", "INJECT", "CONTEXT"]
    assert signature.batch
    assert signature.payload is not None
    assert (signature.payload.annotation, signature.payload.optional) == (Order | None, True)


def test_a_list_is_a_json_array_where_the_handler_says_that_it_is_no_batch() -> None:
    def bill(orders: list[Order]) -> None: ...

    (parameter,) = read_signature(bill, "shop.py:1", batch=False).parameters
    assert (parameter.kind, parameter.annotation) == (Kind.PAYLOAD, list[Order])


def test_records_alone_make_a_batch() -> None:
    def bill(records: list[Record]) -> None: ...

    assert read_signature(bill, "shop.py:1", batch=50).batch


def test_a_list_of_components_is_injected() -> None:
    def bill(order: Order, taxes: list[Tax], perhaps: Tax | None) -> None: ...

    assert kinds(bill) == {"order": Kind.PAYLOAD, "taxes": Kind.INJECT, "perhaps": Kind.INJECT}


def test_a_methods_self_is_left_out_bound_or_not() -> None:
    class Desk:
        def bill(self, order: Order) -> None: ...

    assert kinds(Desk.bill, method=True) == {"order": Kind.PAYLOAD}
    assert kinds(Desk().bill) == {"order": Kind.PAYLOAD}


def test_annotations_without_text_are_read_alike() -> None:
    def bill(order: dict, key: str) -> None: ...

    bill.__annotations__ = {"order": Order, "key": Annotated[str, Key()], "return": None}
    assert kinds(bill) == {"order": Kind.PAYLOAD, "key": Kind.KEY}


def test_names_of_a_closure_and_of_the_decorators_surroundings_are_known() -> None:
    class Local(pydantic.BaseModel): ...

    class Closed(pydantic.BaseModel): ...

    @event_handler("orders")
    def bill(order: Local) -> None: ...

    def refund(order: Closed) -> type:
        return Closed

    class Desk:
        @event_handler("orders")
        def bill(self, order: Local) -> None: ...

    assert kinds(bill) == kinds(refund) == kinds(Desk.bill, method=True) == {"order": Kind.PAYLOAD}


def test_a_return_annotation_under_type_checking_harms_only_who_publishes() -> None:
    def bill(order: Order) -> Decimal: ...

    assert read_signature(bill, "shop.py:1").returns is Any
    publisher("invoices")(bill)
    with pytest.raises(DeclarationError, match=r"the return annotation of .*bill is annotated with 'Decimal'"):
        read_signature(bill, "shop.py:1")


def under_type_checking(total: Decimal) -> None: ...


def unannotated(order) -> None: ...


def star(*orders: Order) -> None: ...


def double_star(**orders: Order) -> None: ...


def positional(order: Order, /) -> None: ...


def unreadable(order: int | "nonsense("): ...  # type: ignore[valid-type]  # noqa: F722


def two_payloads(a: Annotated[Order, Payload()], b: Annotated[Order, Payload()]) -> None: ...


def two_marks(a: Annotated[str, Key(), Header("b")]) -> None: ...


def forgotten_parentheses(order: Order, a: Annotated[str, Key]) -> None: ...


def header_as_number(order: Order, a: Annotated[int, Header("a")]) -> None: ...


def batch_with_header(orders: list[Order], a: Annotated[str, Header("a")]) -> None: ...


def batch_with_key(orders: list[Order], a: Annotated[str, Key()]) -> None: ...


def batch_with_record(orders: list[Order], record: Record) -> None: ...


def batch_or_none(orders: list[Order] | None) -> None: ...


def records_and_payload(records: list[Record], order: Order) -> None: ...


def single(order: Order) -> None: ...


def unhashable_marks(order: Annotated[dict, []], a: Annotated[str, Key(), {}]) -> None: ...


def empty() -> None: ...


def records(records: list[Record]) -> None: ...


@pytest.mark.parametrize(
    ("function", "options", "text"),
    [
        (
            under_type_checking,
            {},
            (
                "parameter 'total' of under_type_checking is annotated with 'Decimal', which " + __name__ + " does not"
                " know at run time\n  To do: define Decimal in the module, or import it outside of `if TYPE_CHECKING:`"
            ),
        ),
        (unannotated, {}, "handler unannotated has the parameter 'order' without an annotation"),
        (star, {}, "handler star takes *orders, and nothing says what to fill it with"),
        (double_star, {}, "handler double_star takes **orders"),
        (positional, {}, "handler positional has the positional-only parameter 'order'"),
        (unreadable, {}, "parameter 'order' of unreadable has an annotation that cannot be read"),
        (two_payloads, {}, "handler two_payloads marks 'a' and 'b' as its payload"),
        (two_marks, {}, "handler two_marks marks 'a' as several things at once"),
        (forgotten_parentheses, {}, "marks 'a' with the class Key\n  To do: write Key()"),
        (header_as_number, {}, "handler header_as_number wants the header 'a' as int"),
        (batch_with_header, {}, "is a batch handler, and 'a' (header) belongs to a single record"),
        (batch_with_key, {}, "is a batch handler, and 'a' (key) belongs to a single record"),
        (batch_with_record, {}, "is a batch handler, and 'record' (record) belongs to a single record"),
        (batch_or_none, {}, "a batch is never None\n  To do: write list[Order | None]"),
        (records_and_payload, {}, "is a batch handler, and 'order' (payload) belongs to a single record"),
        (single, {"batch": True}, "its payload 'order' is annotated Order\n  To do: annotate it list[Order]"),
        (empty, {"batch": 10}, "handler empty is a batch handler without a list"),
        (records, {"batch": False}, "handler records takes list[Record] and says batch=False"),
    ],
)
def test_what_cannot_be_filled_is_refused_with_its_place(function: Any, options: Any, text: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        read_signature(function, "shop.py:1", **options)
    assert text in str(caught.value)
    assert str(caught.value).startswith("shop.py:1: ")


def test_marks_of_other_libraries_do_no_harm() -> None:
    assert kinds(unhashable_marks) == {"order": Kind.PAYLOAD, "a": Kind.KEY}


@pytest.mark.parametrize("name", ["", None, 7])
def test_a_header_without_a_name_is_refused_where_it_is_written(name: Any) -> None:
    with pytest.raises(DeclarationError, match="it needs the header's name"):
        Header(name)


def test_a_handler_may_ask_for_nothing() -> None:
    assert read_signature(empty, "shop.py:1").parameters == ()


def test_reading_leaves_the_function_as_it_was() -> None:
    before = (dict(single.__dict__), dict(single.__annotations__), inspect.signature(single))
    read_signature(single, "shop.py:1")
    assert (dict(single.__dict__), dict(single.__annotations__), inspect.signature(single)) == before
