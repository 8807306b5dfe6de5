from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, TypedDict

import msgspec
import pydantic
import pytest

from kafkaboot.errors import DeclarationError, UnencodableError
from kafkaboot.message import content_type, decodable, decoder, encode, encoder


class Model(pydantic.BaseModel):
    order_id: str
    total: Decimal
    at: datetime | None = None


class Aliased(pydantic.BaseModel):
    order_id: str = pydantic.Field(alias="orderId")


class Detailed(Model):
    note: str = ""


@pydantic.dataclasses.dataclass
class PydanticData:
    total: int


@dataclass
class Data:
    order_id: str
    total: Decimal


class Struct(msgspec.Struct):
    order_id: str
    total: Decimal


class Typed(TypedDict):
    order_id: str


@dataclass
class Mixed:
    model: Model


class Plain:
    pass


@dataclass
class Impossible:
    plain: Plain


RAW = b'{"order_id":"o-1","total":"1.50"}'


@pytest.mark.parametrize(
    ("annotation", "payload"),
    [
        (Model, Model(order_id="o-1", total=Decimal("1.50"), at=datetime(2020, 1, 2, tzinfo=UTC))),
        (Aliased, Aliased(orderId="o-1")),
        (PydanticData, PydanticData(3)),
        (Data, Data("o-1", Decimal("1.50"))),
        (Struct, Struct("o-1", Decimal("1.50"))),
        (Typed, {"order_id": "o-1"}),
        (Mixed, Mixed(Model(order_id="o-1", total=Decimal(1)))),
        (list[Model], [Model(order_id="o-1", total=Decimal(1))]),
        (dict[str, Model], {"a": Model(order_id="o-1", total=Decimal(1))}),
        (Model | PydanticData, PydanticData(3)),
        (dict, {"a": [1, None, "ü"]}),
        (list, [1, {"a": 2}]),
        (Any, {"a": 1.5}),
        (str, "grüße"),
        (bytes, b"\x00\xff"),
        (Annotated[Struct, "a mark"], Struct("o-1", Decimal("1.50"))),
    ],
)
def test_what_is_encoded_is_decoded_into_the_same(annotation: Any, payload: Any) -> None:
    raw = encoder(annotation)(payload)
    assert raw == encode(payload)
    assert decoder(annotation)(raw) == payload


def test_an_alias_is_the_name_on_the_wire_both_ways() -> None:
    assert encode(Aliased(orderId="o-1")) == b'{"orderId":"o-1"}'
    assert encode({"inside": Aliased(orderId="o-1")}) == b'{"inside":{"orderId":"o-1"}}'


def test_text_and_bytes_travel_as_they_are_and_not_as_json() -> None:
    assert encode("a") == b"a"
    assert encode(b"a") == b"a"
    assert encode(bytearray(b"a")) == b"a"
    assert encode(memoryview(b"a")) == b"a"


@pytest.mark.parametrize("annotation", [None, Model, Struct, Data, dict, str, bytes])
def test_none_is_a_tombstone(annotation: Any) -> None:
    assert encoder(annotation)(None) is None


@pytest.mark.parametrize("annotation", [Model, Struct, Data, dict, list[int], str, bytes])
def test_a_null_value_is_none_only_where_none_is_allowed(annotation: Any) -> None:
    assert decoder(annotation | None)(None) is None
    with pytest.raises((TypeError, ValueError)):
        decoder(annotation)(None)


def test_the_json_null_is_none_where_a_null_value_is() -> None:
    assert decoder(Model | None)(b"null") is None
    assert decoder(Struct | None)(b"null") is None


def test_a_model_is_decoded_by_the_validator_itself_and_a_struct_by_its_decoder() -> None:
    # Bound functions written in C: a frame of Python around them would cost every record.
    for annotation, owner in ((Model, "SchemaValidator"), (Struct, "Decoder"), (Data, "Decoder"), (dict, "Decoder")):
        decode = decoder(annotation)
        assert type(decode).__name__ == "builtin_function_or_method"
        assert type(decode.__self__).__name__ == owner  # type: ignore[attr-defined]


def test_msgspec_is_strict_where_pydantic_converts() -> None:
    assert decoder(PydanticData)(b'{"total":"1"}') == PydanticData(1)
    with pytest.raises(msgspec.ValidationError):
        decoder(list[int])(b'["1"]')


def test_a_subclass_of_the_declared_model_keeps_its_own_fields() -> None:
    raw = encoder(Model)(Detailed(order_id="o-1", total=Decimal(1), note="kept"))
    assert raw is not None
    assert json.loads(raw)["note"] == "kept"


def test_an_encoder_takes_other_payloads_than_the_declared_one() -> None:
    assert encoder(Model)({"a": 1}) == b'{"a":1}'
    assert encoder(Struct)("text") == b"text"
    assert encoder(Model | Struct)(Struct("o", Decimal(1))) == b'{"order_id":"o","total":"1"}'


class _Secretive:
    def __repr__(self) -> str:
        return "4111-1111"


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        ({"a": [1, {"b": _Secretive()}]}, "the field 'a[1].b' of dict cannot be encoded"),
        ([_Secretive()], "the field '[0]' of list cannot be encoded"),
        (_Secretive(), "the payload _Secretive cannot be encoded"),
        (Data("o-1", _Secretive()), "the field 'total' of Data cannot be encoded"),  # type: ignore[arg-type]
        (Struct("o-1", _Secretive()), "the field 'total' of Struct cannot be encoded"),  # type: ignore[arg-type]
        (Model.model_construct(order_id="o", total=_Secretive()), "the field 'total' of Model cannot be encoded"),
    ],
)
def test_what_cannot_be_encoded_is_named_by_its_path_without_its_value(payload: Any, text: str) -> None:
    for way in (encode, encoder(type(payload))):
        with pytest.raises(UnencodableError) as caught:
            way(payload)
        assert str(caught.value).startswith(text)
        assert "test_codec._Secretive has no form in JSON" in str(caught.value)
        assert "4111" not in str(caught.value)
        assert "nothing was published" in str(caught.value)


def test_a_payload_that_contains_itself_is_an_error_and_no_crash() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(UnencodableError, match="contains itself"):
        encode(circle)


def test_half_a_surrogate_pair_is_an_error() -> None:
    with pytest.raises(UnencodableError, match="'a' of dict cannot be encoded: a text with half a surrogate pair"):
        encode({"a": "\ud800"})


@pytest.mark.parametrize("annotation", [Plain, Impossible, list[Plain], Model | Plain])
def test_a_type_that_json_says_nothing_about_is_refused_at_start(annotation: Any) -> None:
    with pytest.raises(DeclarationError, match=r"no record can be decoded into .*(Plain|Impossible)"):
        decoder(annotation)


@pytest.mark.parametrize(
    ("annotation", "answer"),
    [
        (Model, True),
        (PydanticData, True),
        (Data, True),
        (Struct, True),
        (Typed, True),
        (dict[str, Any], True),
        (list[Model], True),
        (Model | None, True),
        (Model | Data, True),
        (str, True),
        (Any, True),
        (Impossible, True),  # a payload by its shape: `decoder` says which field is wrong
        (Plain, False),
        (Plain | None, False),
        (list[Plain], False),
        (object, False),
    ],
)
def test_a_plain_class_is_no_payload(annotation: Any, answer: bool) -> None:
    assert decodable(annotation) is answer


@pytest.mark.parametrize(
    ("annotation", "media"),
    [
        (Model, "application/json"),
        (dict, "application/json"),
        (str, "text/plain; charset=utf-8"),
        (str | None, "text/plain; charset=utf-8"),
        (bytes, "application/octet-stream"),
    ],
)
def test_each_payload_has_its_media_type(annotation: Any, media: str) -> None:
    assert content_type(annotation) == media


def test_decoding_does_not_import_what_the_bytes_name() -> None:
    assert decoder(dict)(b'{"__class__":"os.system","py/object":"os.system"}') == {
        "__class__": "os.system",
        "py/object": "os.system",
    }
