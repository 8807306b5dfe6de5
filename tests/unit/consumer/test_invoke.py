import asyncio
from typing import Annotated

import pytest
from pydantic import BaseModel

from kafkaboot.consumer import Calls, Counters
from kafkaboot.declare import Header, Key, read_signature
from kafkaboot.errors import BatchFailed, UndecodableError
from kafkaboot.message import Context, Record
from kafkaboot.testing import eventually_async


class Order(BaseModel):
    id: str
    total: int = 0


class Tax:
    rate = 19


def calls_of(function, *, is_async=False, batch=None, filled=None, **options):
    signature = read_signature(function, "shop.py:1", injectable=lambda kind: kind is Tax, batch=batch, method=False)
    counters = options.pop("counters", None) or Counters()
    return Calls(function, signature, filled or {}, name="bill", counters=counters, is_async=is_async, **options)


def call_of(function, **options):
    return calls_of(function, **options).single()


ORDER = b'{"id": "o-1", "total": 30}'


def test_arguments_are_filled_by_their_annotations(raw):
    seen = []

    def bill(
        order: Order,
        tax: Tax,
        record: Record,
        kind: Annotated[str, Header("kind")],
        key: Annotated[bytes, Key()],
        context: Context,
    ):
        seen.append((order, tax, record, kind, key, context))

    tax = Tax()
    call = call_of(bill, filled={"tax": tax})
    call(raw(7, ORDER, b"k", headers=[("kind", b"old"), ("kind", b"new"), ("kb-correlation-id", b"c-1")]), 3)
    ((order, got_tax, record, kind, key, context),) = seen
    assert order == Order(id="o-1", total=30)
    assert got_tax is tax
    assert repr(record) == "Record(orders[0]@7)"
    assert (kind, key) == ("new", b"k"), "the last header of a name wins"
    assert (context.attempt, context.correlation_id, context.deadline) == (3, "c-1", None)
    assert context.logger.name == "kafkaboot.handlers.bill"


def test_defaults_and_none_stand_for_what_a_record_does_not_have(raw):
    seen = []

    def bill(order: Order, kind: Annotated[str, Header("kind")] = "plain", key: Annotated[str | None, Key()] = None):
        seen.append((kind, key))

    call_of(bill)(raw(0, ORDER))
    assert seen == [("plain", None)]


def wants_payload(order: Order):
    raise AssertionError("called")


def wants_header(order: Order, tenant: Annotated[str, Header("tenant")]):
    raise AssertionError("called")


def wants_key(order: Order, key: Annotated[str, Key()]):
    raise AssertionError("called")


def wants_key_bytes(order: Order, key: Annotated[bytes, Key()]):
    raise AssertionError("called")


@pytest.mark.parametrize(
    ("function", "record", "text"),
    [
        (wants_payload, {"value": b'{"id": '}, "the value is not JSON: expecting value at byte 7"),
        (wants_payload, {"value": b""}, "the value is not JSON: it is empty at byte 0"),
        (
            wants_payload,
            {"value": b'{"id": "o-1", "total": "much"}'},
            (
                "the value does not fit Order: total: wanted a valid integer, unable to parse string as an integer, "
                "got a string of 4 characters"
            ),
        ),
        (wants_payload, {"value": b"{}"}, "the value does not fit Order: id is missing"),
        (
            wants_payload,
            {"value": None},
            (
                "the value is null, and Order does not take null\n"
                "  To do: annotate the payload Order | None to take null values (tombstones)"
            ),
        ),
        (
            wants_header,
            {"value": ORDER},
            (
                "the record has no header 'tenant', which parameter 'tenant' wants\n"
                "  To do: annotate it str | None, or give it a default"
            ),
        ),
        (
            wants_header,
            {"value": ORDER, "headers": [("tenant", b"\xff")]},
            (
                "the header 'tenant' of orders[0]@7 is not UTF-8 text: invalid start byte at byte 0\n"
                "  To do: annotate parameter 'tenant' with bytes"
            ),
        ),
        (
            wants_key,
            {"value": ORDER},
            "the record has no key, which parameter 'key' wants\n  To do: annotate it str | None, or give it a default",
        ),
        (
            wants_key_bytes,
            {"value": ORDER},
            (
                "the record has no key, which parameter 'key' wants\n"
                "  To do: annotate it bytes | None, or give it a default"
            ),
        ),
        (
            wants_key,
            {"value": ORDER, "key": b"a\xff"},
            (
                "the key of orders[0]@7 is not UTF-8 text: invalid start byte at byte 1\n"
                "  To do: annotate parameter 'key' with bytes"
            ),
        ),
    ],
)
def test_a_record_that_does_not_fill_its_handler_says_why(raw, function, record, text):
    with pytest.raises(UndecodableError) as caught:
        call_of(function)(raw(7, **record))
    assert str(caught.value) == text


async def test_an_undecodable_record_is_kept_and_the_text_says_what_to_do(raw, route_of, scene_of, caplog):
    """Decoding happens inside the failure path: the poller and the worker live on."""
    scene = scene_of(route_of(call=call_of(wants_payload), is_async=False))
    scene.give(raw(7, None))
    await eventually_async(lambda: scene.heard)
    assert caplog.records[0].getMessage() == (
        "bill: orders[0]@7: the value is null, and Order does not take null; the record is kept and tried again in "
        "0.0 s (attempt 1 failed); records behind it in its lane wait, and its offset is not committed; to do: "
        "annotate the payload Order | None to take null values (tombstones)"
    )
    assert scene.assignment.to_commit().offset == 7
    assert scene.crashes == []


@pytest.mark.parametrize("is_async", [True, False])
async def test_one_undecodable_record_of_a_batch_does_not_punish_its_neighbours(is_async, raw, route_of, scene_of):
    seen = []

    def bill(orders: list[Order]):
        seen.append([order.id for order in orders])

    async def bill_async(orders: list[Order]):
        bill(orders)

    calls = calls_of(bill_async if is_async else bill, is_async=is_async, batch=10)
    scene = scene_of(route_of(batch_call=calls.batch(), is_async=is_async, batch=10))
    good = [b'{"id": "%d"}' % i for i in range(5)]
    chunk = scene.give(*[raw(i, b"junk" if i == 3 else value) for i, value in enumerate(good)])
    await eventually_async(lambda: len(scene.heard) >= 2)
    assert bytes(chunk.done) == b"\1\1\1\0\0"
    assert isinstance(scene.heard[0][1], UndecodableError)
    assert scene.heard[0][0] == "orders[0]@3"
    assert seen == [["0", "1", "2"]], "nothing is settled that the handler did not get"


def test_a_batch_gets_its_records_and_its_context(raw):
    seen = []

    def bill(records: list[Record], context: Context):
        seen.append(([record.offset for record in records], context.attempt))

    calls_of(bill, batch=10).batch()([raw(3), raw(4)], 2)
    assert seen == [([3, 4], 2)]


async def test_an_undecodable_record_behind_filtered_ones_leaves_nobody_out(raw, route_of, scene_of):
    seen, counters = [], Counters()

    def bill(orders: list[Order]):
        seen.append([order.id for order in orders])

    calls = calls_of(bill, batch=10, counters=counters, accepts=lambda record: record.key is None)
    scene = scene_of(route_of(batch_call=calls.batch(), is_async=False, batch=10, counters=counters))
    chunk = scene.give(raw(0, b'{"id": "0"}'), raw(1, key=b"no"), raw(2, b"junk"), raw(3, b'{"id": "3"}'))
    await eventually_async(lambda: len(scene.heard) >= 2)
    assert bytes(chunk.done) == b"\1\1\0\0"
    assert seen == [["0"]]
    assert (counters.handled, counters.filtered) == (1, 1)


# --- filters


@pytest.mark.parametrize("is_async", [True, False])
async def test_what_a_filter_refuses_is_settled_and_counted_without_a_call(is_async, raw, route_of, scene_of):
    seen, counters = [], Counters()

    def bill(order: Order):
        seen.append(order.id)

    async def bill_async(order: Order):
        bill(order)

    call = call_of(
        bill_async if is_async else bill,
        is_async=is_async,
        counters=counters,
        accepts=lambda record: record.key != b"no",
    )
    scene = scene_of(route_of(call=call, is_async=is_async, counters=counters))
    scene.give(raw(0, ORDER, b"yes"), raw(1, b"not even JSON", b"no"), raw(2, ORDER))
    await eventually_async(lambda: scene.assignment.unsettled() == 0 and scene.holding.buffered() == 0)
    assert seen == ["o-1", "o-1"]
    assert (counters.handled, counters.filtered) == (2, 1)


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_filtered_batch_keeps_its_indices(is_async, raw):
    counters = Counters()

    def bill(orders: list[Order]):
        raise BatchFailed(1, ValueError(orders[1].id))

    async def bill_async(orders: list[Order]):
        bill(orders)

    calls = calls_of(
        bill_async if is_async else bill,
        is_async=is_async,
        batch=10,
        counters=counters,
        accepts=lambda record: record.key is None,
    )
    records = [raw(0, b'{"id": "0"}'), raw(1, key=b"no"), raw(2, key=b"no"), raw(3, b'{"id": "3"}')]

    async def handle():
        result = calls.batch()(records)
        return await result if is_async else result

    with pytest.raises(BatchFailed) as caught:
        await handle()
    assert caught.value.index == 3
    assert str(caught.value.cause) == "3"


async def test_a_batch_that_is_filtered_whole_is_settled_without_a_call(raw):
    counters = Counters()

    async def bill(orders: list[Order]):
        raise AssertionError("called")

    calls = calls_of(bill, is_async=True, batch=10, counters=counters, accepts=lambda record: False)
    assert await calls.batch()([raw(0), raw(1)]) is None
    assert counters.filtered == 2


async def test_a_filter_that_raises_fails_its_record(raw, route_of, scene_of):
    async def bill(order: Order): ...

    call = call_of(bill, is_async=True, accepts=lambda record: 1 / 0)
    scene = scene_of(route_of(call=call))
    scene.give(raw(0, ORDER))
    await eventually_async(lambda: scene.heard)
    assert isinstance(scene.heard[0][1], ZeroDivisionError)


# --- timeouts


async def test_a_timeout_cancels_an_async_handler_and_its_record_has_failed(raw, route_of, scene_of):
    seen = []

    async def bill(order: Order, context: Context):
        seen.append(context.attempt)
        assert context.deadline is not None
        if context.attempt == 1:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

    scene = scene_of(route_of(call=call_of(bill, is_async=True, timeout=0.02), concurrency=1))
    scene.give(raw(0, ORDER))
    await eventually_async(lambda: scene.assignment.unsettled() == 0)
    assert seen == [1, "cancelled", 2]
    assert str(scene.heard[0][1]) == "bill took longer than 0.02 s, its timeout"


async def test_a_handler_s_own_timeout_error_is_told_as_it_is(raw):
    async def bill(order: Order):
        raise TimeoutError("the bank's")

    with pytest.raises(TimeoutError, match="the bank's"):
        await call_of(bill, is_async=True, timeout=5)(raw(0, ORDER))


async def test_without_a_timeout_a_handler_may_take_its_time(raw):
    """The negative control: it is the option that cancels."""

    async def bill(order: Order):
        await asyncio.sleep(0.03)
        return "done"

    assert await call_of(bill, is_async=True)(raw(0, ORDER)) == "done"
