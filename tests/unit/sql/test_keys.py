"""Repetitions by key: a record whose key was handled within the window is settled without a call."""

import pytest
from sqlalchemy import text

from kafkaboot.clock import ManualClock
from kafkaboot.consumer.batches import NotBegun
from kafkaboot.errors import BatchFailed
from kafkaboot.sql import inbox as inbox_module
from kafkaboot.testing import eventually
from tests.unit.sql.conftest import Raw


def raw(offset, event=None, **more):
    return Raw(offset, [("ce_id", event)] if event else None, **more)


async def test_a_repetition_is_settled_without_a_call_whatever_its_offset(shop, is_async):
    process = shop.process(is_async=is_async, keys="ce_id")
    await process.handle(raw(1, b"a"))
    await process.handle(raw(2, b"a"))
    await process.handle(raw(3, b"b"))
    assert (shop.sales(), shop.position()) == ([1, 3], 4)


async def test_control_without_keys_both_are_handled(shop, is_async):
    process = shop.process(is_async=is_async)
    await process.handle(raw(1, b"a"))
    await process.handle(raw(2, b"a"))
    assert shop.sales() == [1, 2]


async def test_a_key_is_remembered_only_if_its_record_was_handled(shop, is_async):
    process = shop.process(is_async=is_async, keys="ce_id")

    def fail(_):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await process.handle(raw(1, b"a"), fail)
    await process.handle(raw(2, b"a"))
    assert shop.sales() == [2]


async def test_a_record_without_the_header_is_no_repetition(shop):
    process = shop.process(keys="ce_id")
    await process.handle(raw(1))
    await process.handle(raw(2))
    assert shop.sales() == [1, 2]


async def test_a_function_of_the_record_may_answer_the_key(shop):
    process = shop.process(keys=lambda record: record.offset // 10 or None)
    for offset in (1, 2, 10, 11, 20):
        await process.handle(raw(offset))
    assert shop.sales() == [1, 2, 10, 20]


async def test_a_key_is_forgotten_after_the_window(shop, monkeypatch):
    clock = ManualClock()
    process = shop.process(keys="ce_id", clock=clock)
    await process.handle(raw(1, b"a"))
    clock.advance(99)
    await process.handle(raw(2, b"a"))
    clock.advance(2)
    await process.handle(raw(3, b"a"))
    assert shop.sales() == [1, 3]


async def test_old_keys_are_deleted(shop, monkeypatch):
    monkeypatch.setattr(inbox_module, "PRUNES", 0.0)
    clock = ManualClock()
    process = shop.process(keys="ce_id", clock=clock)
    await process.handle(raw(1, b"a"))
    clock.advance(101)
    await process.handle(raw(2, b"b"))
    eventually(lambda: shop.run("SELECT dedup_key FROM kafkaboot_inbox_key") == [(b"b",)], 5)


async def test_another_groups_keys_are_its_own(shop):
    await shop.process(keys="ce_id").handle(raw(1, b"a"))
    await shop.process(keys="ce_id", group="audit").handle(raw(1, b"a"))
    assert shop.sales() == [1, 1]


# --- batches


def batch(process, work=None):
    seen = []

    async def call(raws, _):
        seen.append([raw.offset() for raw in raws])
        session = process.around.current()
        for one in raws:
            await session.execute(text("INSERT INTO sales VALUES (:o)"), {"o": one.offset()})
        return work(raws) if work else None

    def call_in_a_thread(raws, _):
        seen.append([raw.offset() for raw in raws])
        for one in raws:
            process.around.current().execute(text("INSERT INTO sales VALUES (:o)"), {"o": one.offset()})
        return work(raws) if work else None

    wrapped = process.around.batch(call if process.is_async else call_in_a_thread)

    async def run(raws):
        answer = wrapped(raws, 1)
        return await answer if process.is_async else answer

    return run, seen


async def test_a_batch_is_one_transaction_without_its_repetitions(shop, is_async):
    process = shop.process(is_async=is_async, keys="ce_id")
    run, seen = batch(process)
    await run([raw(1, b"a"), raw(2, b"b"), raw(3, b"a"), raw(4)])
    await run([raw(5, b"b"), raw(6, b"c")])
    await run([raw(7, b"c")])
    assert seen == [[1, 2, 4], [6]]
    assert (shop.sales(), shop.position()) == ([1, 2, 4, 6], 8)


async def test_a_batch_leaves_out_what_is_settled(shop, is_async):
    await shop.process(is_async=is_async, in_order=False).handle(raw(2))
    process = shop.process(is_async=is_async, in_order=False)
    run, seen = batch(process)
    await run([raw(1), raw(2), raw(3)])
    assert (seen, shop.sales()) == ([[1, 3]], [1, 2, 3])


async def test_what_stands_before_a_failed_record_of_a_batch_is_rolled_back_and_goes_first(shop, is_async):
    process = shop.process(is_async=is_async, keys="ce_id")

    def fail(_):
        raise BatchFailed(1, ValueError("this one"))

    run, _ = batch(process, fail)
    with pytest.raises(NotBegun) as raised:  # else the engine would take those before it for settled
        await run([raw(1, b"a"), raw(2, b"a"), raw(3, b"c"), raw(4, b"d")])
    assert (raised.value.index, str(raised.value.cause)) == (2, "this one")
    assert (shop.sales(), shop.position()) == ([], -1)


async def test_a_batch_that_two_owners_have_is_committed_by_one(shop, is_async):
    zombie, owner = shop.process(is_async=is_async), shop.process(is_async=is_async)
    run_zombie, _ = batch(zombie)
    run_owner, _ = batch(owner)
    await run_owner([raw(1), raw(2)])
    with pytest.raises(NotBegun) as raised:
        await run_zombie([raw(1), raw(2), raw(3)])
    assert raised.value.index == 0
    await run_zombie([raw(1), raw(2), raw(3)])
    assert shop.sales() == [1, 2, 3]
