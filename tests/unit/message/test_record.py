from __future__ import annotations

import logging

import pytest

from kafkaboot.client.memory import MemoryRecord
from kafkaboot.message import Context, Record, carried_from, correlation_of, event_type, place


class Raw:
    """A polled record, as the client gives it."""

    def __init__(self, kind: int) -> None:
        self.kind = kind

    def topic(self) -> str:
        return "orders"

    def partition(self) -> int:
        return 3

    def offset(self) -> int:
        return 1042

    def key(self) -> bytes | None:
        return b"k"

    def value(self) -> bytes | None:
        return None

    def headers(self) -> list[tuple[str, bytes | None]] | None:
        return [("a", b"1"), ("b", None), ("a", b"2")]

    def timestamp(self) -> tuple[int, int]:
        return self.kind, 1_700_000_000_000


def test_a_record_shows_what_came_off_the_wire() -> None:
    record = Record.of(Raw(kind=1))
    assert (record.topic, record.partition, record.offset) == ("orders", 3, 1042)
    assert (record.key, record.value, record.timestamp) == (b"k", None, 1_700_000_000_000)
    assert repr(record) == "Record(orders[3]@1042)"
    assert place("orders", 3, 1042) == "orders[3]@1042"


def test_a_timestamp_of_no_kind_is_none() -> None:
    assert Record.of(Raw(kind=0)).timestamp is None


def test_the_last_header_of_a_name_wins() -> None:
    record = Record.of(Raw(kind=1))
    assert (record.header("a"), record.header("b"), record.header("c")) == (b"2", None, None)


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        (None, None),
        ([("x", b"y")], None),
        ([("ce_type", b"a")], "a"),
        ([("kb-type", b"b")], "b"),
        ([("kb-type", b"b"), ("ce_type", b"a")], "a"),
        ([("ce_type", b"\xff")], "\ufffd"),
    ],
)
def test_an_events_name_is_read_from_the_envelope_first(headers: object, name: str | None) -> None:
    assert event_type(headers) == name


def test_a_context_holds_what_its_handler_may_ask_and_nothing_else() -> None:
    context = Context(2, None, "c-1", logging.getLogger("bill"))
    assert (context.attempt, context.deadline, context.correlation_id, context.logger.name) == (2, None, "c-1", "bill")
    assert repr(context) == "Context(attempt=2, correlation_id='c-1')"
    with pytest.raises(AttributeError):
        context.other = 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("headers", "correlation", "cause"),
    [
        ([("kb-correlation-id", b"journey"), ("ce_id", b"event")], "journey", b"event"),
        ([("kb-correlation-id", b"journey")], "journey", b"orders[2]@7"),
        ([("ce_id", b"event")], "event", b"event"),
        (None, "orders[2]@7", b"orders[2]@7"),
        ([("kb-correlation-id", b""), ("ce_id", None)], "orders[2]@7", b"orders[2]@7"),
    ],
)
def test_what_follows_from_a_record_carries_its_ids(headers, correlation, cause):
    record = MemoryRecord("orders", 2, 7, b"", None, headers, 0)
    assert correlation_of(record) == correlation
    assert carried_from(record) == [("kb-correlation-id", correlation.encode()), ("kb-causation-id", cause)]
