"""Partitions of which nobody says where the group stands, as a transaction with their offsets is open elsewhere."""

from itertools import pairwise

import pytest

from kafkaboot.client import TP, Committed
from kafkaboot.errors import ClientError

ZERO, ONE = TP("orders", 0), TP("orders", 1)


@pytest.fixture
def elsewhere(world):
    """A world with two partitions, and a transaction elsewhere with the offset of one; answers how it is committed."""
    at = world(partitions=2)
    at.give(*range(10), partition=0)
    at.give(*range(100, 110), partition=1)
    group = at.kafka.group("shop")
    group.pending["another"] = {ZERO}

    def commit(offset=4):
        del group.pending["another"]
        at.kafka.write_commit(group, "another", {ZERO: Committed(offset)})

    return at, commit


async def test_only_they_wait_and_then_begin_where_that_transaction_has_left_them(elsewhere, calls, caplog):
    (at, commit), handler = elsewhere, calls()
    process = at.process(handler.handle)
    await process.until(lambda: at.stands(1) == 10)
    assert process.holdings[ZERO].awaited
    assert "orders[0], orders[1] is not known yet" in caplog.text
    health = process.group.health()
    assert (health.details["partitions"], health.details["awaited"]) == (2, 1)
    at.give(*range(110, 120), partition=1)
    await process.until(lambda: at.stands(1) == 20)
    assert sorted(at.copies()) == list(range(100, 120))
    commit()
    await process.until(lambda: at.stands(0) == 10)
    assert sorted(at.copies()) == [*range(4, 10), *range(100, 120)]
    assert set(handler.seen.values()) == {1}
    assert not process.holdings[ZERO].awaited


async def test_a_transaction_that_falls_meanwhile_is_replayed_without_waiting_for_them(elsewhere, calls):
    (at, commit), handler = elsewhere, calls()
    process = at.process(handler.handle)
    await process.until(lambda: process.holdings.get(ONE) and not process.holdings[ONE].awaited)
    process.transactions.taint("a test's hand")
    await process.until(lambda: at.stands(1) == 10 and not process.transactions._falls, "the next one is committed")
    assert process.holdings[ZERO].awaited
    commit()
    await process.until(lambda: at.stands(0) == 10)
    assert sorted(at.copies()) == [*range(4, 10), *range(100, 110)]


@pytest.mark.parametrize("how", ["give_up", "lose"])
async def test_one_that_goes_before_it_was_known_is_forgotten(elsewhere, calls, how):
    (at, commit), handler = elsewhere, calls()
    process = at.process(handler.handle)
    await process.until(lambda: at.stands(1) == 10)
    getattr(process.consumer, how)([ZERO])
    await process.until(lambda: ZERO not in process.holdings or not process.poller._stands.awaited)
    commit(10)
    await process.until(lambda: ZERO in process.holdings and not process.holdings[ZERO].awaited)
    at.give(10, partition=0)
    await process.until(lambda: at.stands(0) == 11)
    assert sorted(at.copies()) == [10, *range(100, 110)]


async def test_a_process_that_waits_for_one_stops_at_once(elsewhere, calls):
    at, _ = elsewhere
    process = at.process(calls().handle)
    await process.until(lambda: at.stands(1) == 10)
    process.poller.stop(at.kafka.clock.monotonic())
    assert process.poller._drain()
    assert not at.stands(0)


async def test_it_is_asked_more_and_more_seldom_and_each_by_itself(elsewhere, calls, monkeypatch):
    at, commit = elsewhere
    process = at.process(calls().handle)
    asked, answer = [], process.consumer.committed

    def committed(partitions, timeout):
        asked.append((round(at.kafka.clock.monotonic(), 1), tuple(tp.partition for tp in partitions), timeout))
        return answer(partitions, timeout)

    monkeypatch.setattr(process.consumer, "committed", committed)
    await process.until(lambda: len(asked) == 7)
    assert [partitions for _, partitions, _ in asked] == [(0, 1), (0,), (1,), (0,), (0,), (0,), (0,)]
    assert [timeout for *_, timeout in asked[3:]] == [0.25, 0.5, 1.0, 2.0]
    times = [when for when, *_ in asked]
    assert times[1] - times[0] < 0.1
    assert [round(b - a) for a, b in pairwise(times[3:])] == [1, 2, 4]
    commit()
    await process.until(lambda: at.stands(0) == 10)


async def test_a_refusal_for_good_ends_the_group(elsewhere, calls):
    at, _ = elsewhere
    process = at.process(calls().handle)
    await process.until(lambda: at.stands(1) == 10)
    at.kafka.faults.fail_reads("GROUP_AUTHORIZATION_FAILED")
    with pytest.raises(ClientError, match="GROUP_AUTHORIZATION_FAILED"):
        await process.turn(2000)
