import re

import pytest
from pydantic import BaseModel

from kafkaboot.clock import ManualClock
from kafkaboot.declare import event
from kafkaboot.errors import PublishError
from kafkaboot.producer.envelope import Envelope


@event("order.placed")
class OrderPlaced(BaseModel):
    order_id: str


class Plain(BaseModel):
    n: int


def headers(envelope, kind, given=None):
    return envelope.headers(envelope.plans[kind], given)


def test_an_event_carries_cloudevents_headers_in_binary_mode():
    clock = ManualClock(1_700_000_000.25)
    found = dict(headers(Envelope("cloudevents", "/shop", clock), OrderPlaced))
    assert re.fullmatch(rb"[0-9a-f]{16}-1", found.pop("ce_id"))
    assert found == {
        "ce_specversion": b"1.0",
        "ce_source": b"/shop",
        "ce_type": b"order.placed",
        "ce_time": b"2023-11-14T22:13:20.250Z",
        "content-type": b"application/json",
    }


def test_ids_never_repeat_within_a_source():
    first, second = Envelope(), Envelope()
    ids = [dict(headers(envelope, OrderPlaced))["ce_id"] for envelope in (first, second) for _ in range(1000)]
    assert len(set(ids)) == 2000


def test_the_time_follows_the_clock_in_both_directions():
    clock = ManualClock(1_700_000_000.0)
    envelope = Envelope(clock=clock)
    times = []
    for step in (0.0, 0.0005, 0.001, -3600.0):
        clock.advance(step)
        times.append(dict(headers(envelope, OrderPlaced))["ce_time"])
    assert times == [
        b"2023-11-14T22:13:20.000Z",
        b"2023-11-14T22:13:20.000Z",
        b"2023-11-14T22:13:20.001Z",
        b"2023-11-14T21:13:20.001Z",
    ]


def test_records_do_not_share_a_list_of_headers():
    envelope = Envelope()
    assert headers(envelope, OrderPlaced) is not headers(envelope, OrderPlaced)


def test_a_class_without_event_is_named_without_its_module():
    assert dict(headers(Envelope(), Plain))["ce_type"] == b"Plain"


@pytest.mark.parametrize(
    ("kind", "media"),
    [
        (dict, b"application/json"),
        (list, b"application/json"),
        (str, b"text/plain; charset=utf-8"),
        (bytes, b"application/octet-stream"),
    ],
)
def test_a_payload_without_a_name_is_no_cloudevent(kind, media):
    assert headers(Envelope(), kind) == [("content-type", media)]


def test_a_tombstone_carries_no_content_type():
    assert headers(Envelope(), type(None)) == []


def test_the_minimal_envelope_is_type_and_content_type():
    assert headers(Envelope("minimal"), OrderPlaced) == [
        ("kb-type", b"order.placed"),
        ("content-type", b"application/json"),
    ]


def test_no_envelope_is_what_the_caller_gives():
    envelope = Envelope("none")
    assert headers(envelope, OrderPlaced) is None
    assert headers(envelope, OrderPlaced, {"a": "b"}) == [("a", b"b")]


def test_the_callers_headers_come_last_and_replace_those_of_the_same_name():
    found = headers(Envelope(), OrderPlaced, {"content-type": "x/y", "ce_id": "mine", "origin": b"shop", "none": None})
    assert found[-4:] == [("content-type", b"x/y"), ("ce_id", b"mine"), ("origin", b"shop"), ("none", None)]
    assert [name for name, _ in found].count("content-type") == 1
    assert [name for name, _ in found].count("ce_id") == 1


def test_a_list_of_headers_may_repeat_a_name():
    found = headers(Envelope(), dict, [("a", "1"), ("a", "2")])
    assert found[-2:] == [("a", b"1"), ("a", b"2")]


def test_a_plan_with_headers_that_replace_the_id_keeps_a_fresh_time():
    envelope = Envelope()
    plan = envelope.plan(OrderPlaced, given={"ce_id": "fixed"})
    found = envelope.headers(plan)
    assert dict(found)["ce_id"] == b"fixed"
    assert dict(found)["ce_time"]
    assert len(found) == 6


@pytest.mark.parametrize("given", [{"a": 1}, {1: "a"}, ["a"], [("a", "b", "c")]])
def test_headers_of_another_shape_are_refused(given):
    with pytest.raises(PublishError, match="headers are names with texts or bytes"):
        headers(Envelope(), dict, given)
