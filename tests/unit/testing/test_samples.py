"""Samples of payload types."""

from __future__ import annotations

import dataclasses
import datetime as dt
import enum
import subprocess
import sys
import uuid
from decimal import Decimal
from typing import Annotated, Literal, NotRequired, TypedDict

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, PositiveInt, field_validator

from kafkaboot.errors import DeclarationError
from kafkaboot.testing import generate
from kafkaboot.testing.sample_text import matching


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Line(BaseModel):
    sku: str = Field(pattern=r"^[A-Z]{2}-\d{4}$")
    quantity: PositiveInt
    price: Decimal = Field(gt=0, max_digits=6, decimal_places=2)


class Order(BaseModel):
    order_id: str
    seq: int
    reference: uuid.UUID
    total: Decimal
    placed_at: dt.datetime
    color: Color
    note: str | None
    lines: list[Line] = Field(min_length=2, max_length=3)
    parent: Order | None = None
    kind: Literal["web", "shop"]
    tags: set[str]
    code: str = Field(min_length=3, max_length=3, alias="Code")
    share: float = Field(ge=0, le=1)
    even: int = Field(multiple_of=2, ge=3, le=9)


class Parcel(msgspec.Struct):
    parcel_id: str
    weight: Annotated[int, msgspec.Meta(ge=5, lt=7)]
    stamps: list[Annotated[str, msgspec.Meta(pattern="^x+$")]]
    inner: Parcel | None = None


@dataclasses.dataclass
class Customer:
    id: int
    name: str
    email: str
    since: dt.date
    parcel: Parcel


class Loose(TypedDict):
    key: str
    count: NotRequired[int]


KINDS = (Order, Parcel, Customer, Loose)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_samples_and_another_one_others(kind):
    assert generate(kind, 20, seed=7) == generate(kind, 20, seed=7)
    assert generate(kind, 20, seed=7) != generate(kind, 20, seed=8)
    assert generate(kind, 30, seed=7)[:20] == generate(kind, 20, seed=7)


def test_they_are_the_same_in_another_process():
    code = (
        "from pydantic import BaseModel\nfrom kafkaboot.testing import generate\n"
        "class A(BaseModel):\n    id: str\n    tags: set[str]\n    name: str\n"
        "print([(a.id, sorted(a.tags), a.name) for a in generate(A, 5, seed=3)])"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


def test_what_identifies_is_unique_what_counts_counts_and_time_goes_on():
    orders = generate(Order, 500)
    assert len({order.order_id for order in orders}) == 500
    assert len({order.reference for order in orders}) == 500
    assert [order.seq for order in orders] == list(range(1, 501))
    assert [o.placed_at for o in orders] == sorted(o.placed_at for o in orders)
    assert orders[0].placed_at.tzinfo is dt.UTC
    assert [customer.id for customer in generate(Customer, 3)] == [1, 2, 3]


def test_every_choice_is_made_and_optional_fields_are_now_and_then_left_out():
    orders = generate(Order, 200)
    assert {order.color for order in orders} == set(Color)
    assert {order.kind for order in orders} == {"web", "shop"}
    assert {order.note is None for order in orders} == {True, False}
    assert {order.parent is None for order in orders} == {True, False}
    assert {len(order.lines) for order in orders} == {2, 3}


def test_limits_are_kept():
    for order in generate(Order, 200, seed=5):
        assert Order.model_validate(order.model_dump(by_alias=True)) == order
        assert order.even in {4, 6, 8}
    for parcel in generate(Parcel, 50):
        assert msgspec.json.decode(msgspec.json.encode(parcel), type=Parcel) == parcel


def test_names_look_like_what_they_name():
    customer = generate(Customer)[0]
    assert " " in customer.name
    assert customer.email.endswith("@example.org")


def test_fields_may_be_given_as_values_or_by_number():
    made = generate(Customer, 3, id=lambda number: number * 10, name="Ada")
    assert [(one.id, one.name) for one in made] == [(0, "Ada"), (10, "Ada"), (20, "Ada")]
    with pytest.raises(DeclarationError, match="Customer has no field nme"):
        generate(Customer, 1, nme="Ada")


def test_a_validator_of_the_types_own_is_met_or_said_to_refuse():
    class Even(BaseModel):
        size: int

        @field_validator("size")
        @classmethod
        def _even(cls, size: int) -> int:
            if size % 2:
                raise ValueError("odd")
            return size

    assert all(one.size % 2 == 0 for one in generate(Even, 50))

    class Never(BaseModel):
        size: int

        @field_validator("size")
        @classmethod
        def _never(cls, size: int) -> int:
            raise ValueError("never")

    with pytest.raises(DeclarationError, match="Never refuses every sample"):
        generate(Never)


def test_a_type_that_is_not_known_is_told_with_its_path():
    class Holder:
        pass

    made = dataclasses.make_dataclass("Made", [("odd", Holder)])
    with pytest.raises(DeclarationError, match=r"Made\.odd: no sample can be made of .*Holder"):
        generate(made)


@settings(max_examples=30, deadline=None)
@given(low=st.integers(-1000, 1000), width=st.integers(0, 50), seed=st.integers(0, 10))
def test_any_bounds_of_numbers_are_kept(low, width, seed):
    kind = dataclasses.make_dataclass(
        "Bounded",
        [
            ("whole", Annotated[int, Field(ge=low, le=low + width)]),
            ("seq", Annotated[int, Field(ge=low, le=low + width)]),
            ("exact", Annotated[Decimal, Field(ge=low, le=low + width, decimal_places=1)]),
            ("real", Annotated[float, Field(ge=low, le=low + width)]),
        ],
    )
    for one in generate(kind, 5, seed=seed):
        for value in (one.whole, one.seq, one.exact, one.real):
            assert low <= value <= low + width


@pytest.mark.parametrize(
    "pattern", [r"^\d{3}$", r"^(ab|cd)+x?$", r"[^a-z]\w\s.", r"^[A-F0-9]{8}(-[A-F0-9]{4}){2}$", r"a*?b{2,4}"]
)
def test_a_text_is_found_for_a_pattern(pattern):
    import random

    for seed in range(20):
        matching(pattern, random.Random(seed))


def test_a_pattern_that_is_beyond_it_is_refused():
    import random

    with pytest.raises(ValueError, match="no text was found"):
        matching(r"^(?=never)x$", random.Random(1))
