from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import pydantic
import pytest

from kafkaboot.message import decoder, explain, printable


class Line(pydantic.BaseModel):
    price: int


class Order(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    order_id: str
    lines: list[Line] = []
    kind: Literal["a", "b"] = "a"

    @pydantic.field_validator("order_id")
    @classmethod
    def _known(cls, value: str) -> str:
        if value == "forbidden":
            raise ValueError("no such customer")
        return value


class LineStruct(msgspec.Struct):
    price: int


class OrderStruct(msgspec.Struct, forbid_unknown_fields=True):
    order_id: str
    lines: list[LineStruct] = []
    kind: Literal["a", "b"] = "a"
    prices: dict[str, int] = {}


@dataclass
class Data:
    price: int


def said(annotation: Any, raw: bytes | None) -> str:
    try:
        decoder(annotation)(raw)
    except Exception as error:
        return str(explain(error, annotation, raw))
    raise AssertionError("it was decoded")


@pytest.mark.parametrize("annotation", [Order, OrderStruct, Data, dict, list[int]])
@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "the value is not JSON: it is empty at byte 0"),
        (b"nope", "the value is not JSON: expecting value at byte 0"),
        (b'{"a": 1,}', "the value is not JSON: expecting property name enclosed in double quotes at byte 8"),
        (b'{"a": "\xc3\xbc", ]', "the value is not JSON: expecting property name enclosed in double quotes at byte 12"),
        (b'{"a": "x', "the value is not JSON: unterminated string starting at byte 6"),
        (b"{} x", "the value is not JSON: extra data at byte 3"),
        (b'{"a": "\xff"}', "the value is not JSON: invalid start byte in UTF-8 at byte 7"),
    ],
)
def test_what_is_not_json_is_told_with_its_byte(annotation: Any, raw: bytes, text: str) -> None:
    assert said(annotation, raw) == text


@pytest.mark.parametrize(
    ("annotation", "raw", "text"),
    [
        (OrderStruct, b'{"order_id":NaN}', "the value is not JSON: invalid character at byte 12"),
        (dict, b'{"a":"\\ud83d\\ude00\\ud800"}', "the value is not JSON: half a surrogate pair at byte 18"),
        (Order, b'{\n"order_id":"\\ud800"}', "the value is not JSON: unexpected end of hex escape at byte 20"),
    ],
)
def test_what_only_the_decoder_calls_broken_is_told_with_its_byte_too(annotation: Any, raw: bytes, text: str) -> None:
    assert said(annotation, raw) == text


@pytest.mark.parametrize("annotation", [Order, OrderStruct, list])
def test_json_that_is_nested_too_deeply_is_an_error_and_no_crash(annotation: Any) -> None:
    raw = b"[" * 100_000 if annotation is list else b'{"lines":' + b"[" * 100_000
    assert "nested too deeply" in said(annotation, raw)


@pytest.mark.parametrize(
    ("annotation", "raw", "text"),
    [
        (Order, b"{}", "the value does not fit Order: order_id is missing"),
        (OrderStruct, b"{}", "the value does not fit OrderStruct: order_id is missing"),
        (Order, b"[1, 2]", "the value does not fit Order: wanted an object, got an array of 2 elements"),
        (OrderStruct, b"[1]", "the value does not fit OrderStruct: wanted object, got an array of 1 element"),
        (dict, b"7", "the value does not fit dict: wanted object, got a number"),
        (list[int], b"{}", "the value does not fit list[int]: wanted array, got an empty object"),
        (
            Order,
            b'{"order_id":"o","lines":[{"price":1},{"price":"4x11"}]}',
            (
                "the value does not fit Order: lines[1].price: wanted a valid integer, unable to parse string as an"
                " integer, got a string of 4 characters"
            ),
        ),
        (
            OrderStruct,
            b'{"order_id":"o","lines":[{"price":1},{"price":"4111"}]}',
            "the value does not fit OrderStruct: lines[1].price: wanted int, got a string of 4 characters",
        ),
        (
            OrderStruct,
            b'{"order_id":"o","prices":{"secret":"4111"}}',
            "the value does not fit OrderStruct: prices[...]: wanted int, got str",
        ),
        (
            Order,
            b'{"order_id":"o","kind":"4111"}',
            "the value does not fit Order: kind: wanted 'a' or 'b', got a string of 4 characters",
        ),
        (
            OrderStruct,
            b'{"order_id":"o","kind":"4111"}',
            "the value does not fit OrderStruct: kind: wanted one of the known values, got a string of 4 characters",
        ),
        (Line, b'{"price":1.5}', "the value does not fit Line: price: wanted a valid integer, got a number"),
        (
            list[Line],
            b'[{"price":' + b"9" * 5000 + b"}]",
            "the value is not JSON: number out of range at byte 4311",
        ),
        (Order, b'{"order_id":"o","more":1}', "the value does not fit Order: more is not a known field"),
        (OrderStruct, b'{"order_id":"o","more":1}', "the value does not fit OrderStruct: more is not a known field"),
        (Order, b'{"order_id":"forbidden"}', "the value does not fit Order: order_id: no such customer"),
        (Data, b'{"price":null}', "the value does not fit Data: price: wanted int, got null"),
        (
            Data,
            b'{"price":{"b":1,"a":2}}',
            "the value does not fit Data: price: wanted int, got an object with the fields b, a",
        ),
        (str, b"a\xff", "the value is not UTF-8: invalid start byte at byte 1"),
    ],
)
def test_a_wrong_type_is_told_by_path_and_shape_and_never_by_value(annotation: Any, raw: bytes, text: str) -> None:
    assert said(annotation, raw) == text


@pytest.mark.parametrize(
    ("annotation", "name"),
    [(Order, "Order"), (OrderStruct, "OrderStruct"), (Data, "Data"), (dict, "dict"), (str, "str"), (bytes, "bytes")],
)
def test_a_null_value_says_how_to_take_it(annotation: Any, name: str) -> None:
    assert said(annotation, None) == (
        f"the value is null, and {name} does not take null\n"
        f"  To do: annotate the payload {name} | None to take null values (tombstones)"
    )


def test_of_many_mistakes_three_are_told() -> None:
    raw = b'{"order_id":1,"a":1,"b":1,"c":1,"d":1}'
    assert said(Order, raw) == (
        "the value does not fit Order: order_id: wanted a valid string, got a number; a is not a known field; "
        "b is not a known field; and 2 more"
    )


def test_names_from_the_wire_are_cut_and_their_control_characters_escaped() -> None:
    name = "\\n\\u001b[31m" + "x" * 200
    for annotation in (Order, OrderStruct):
        text = said(annotation, f'{{"order_id":"o","{name}":1}}'.encode())
        assert "\n" not in text
        assert "\x1b" not in text
        assert "\\n\\x1b[31mxxx" in text
        assert len(text) < 200


def test_the_error_carries_the_place_and_the_fate_of_the_record() -> None:
    error = explain(ValueError(), Order, None, where="orders[0]@7", fate="it is kept")
    assert str(error).startswith("orders[0]@7: the value is null")
    assert "\n  it is kept\n" in str(error)


def test_printable_keeps_letters_of_all_scripts() -> None:
    assert printable("grüße 你好") == "grüße 你好"
    assert printable("a\r\nb\x00\u202e") == "a\\r\\nb\\x00\\u202e"
    assert printable("x" * 81) == "x" * 77 + "..."
