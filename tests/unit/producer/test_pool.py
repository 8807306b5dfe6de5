import asyncio
import contextlib
import threading

import pytest

from kafkaboot.client.memory import MemoryTransactional
from kafkaboot.errors import ClientError, ConfigurationError, TransactionError
from kafkaboot.health import Status
from kafkaboot.producer import ProducerHealth
from kafkaboot.testing import eventually, eventually_async


async def published(producer, n):
    async with producer.transaction() as tx:
        tx.send("orders", {"n": n})


async def test_one_transaction_at_a_time_makes_one_client_with_the_lowest_id(bench):
    producer = bench.producer(size=3)
    for n in range(3):
        await published(producer, n)
    assert [port._id for port in bench.made] == ["shop-x-0"]
    assert producer.transactions.details() == {"clients": 1, "lent": 0, "waiting": 0, "committed": 3}


async def test_when_all_are_lent_the_next_one_waits_and_gets_the_first_that_is_given_back(bench):
    producer = bench.producer(size=2)
    first, second = producer.transaction(), producer.transaction()
    async with asyncio.timeout(5):
        await first.__aenter__()
        await asyncio.create_task(second.__aenter__())
    third = asyncio.create_task(published(producer, 3))
    await eventually_async(lambda: producer.transactions.details()["waiting"] == 1)
    assert not third.done()
    await second.__aexit__(None, None, None)
    await asyncio.wait_for(third, 5)
    await first.__aexit__(None, None, None)
    assert {port._id for port in bench.made} == {"shop-x-0", "shop-x-1"}
    assert producer.transactions.details()["lent"] == 0


@pytest.mark.parametrize("late", [False, True])
async def test_who_is_cancelled_while_it_waits_takes_no_client_away(bench, late):
    producer = bench.producer(size=1)
    async with producer.transaction():
        waiting = asyncio.create_task(published(producer, 1))
        await eventually_async(lambda: producer.transactions.details()["waiting"] == 1)
        if not late:
            waiting.cancel()
    if late:
        waiting.cancel()  # lent to it already, and it has not heard
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.wait_for(published(producer, 2), 5)
    assert producer.transactions.details()["lent"] == 0


def test_threads_wait_for_a_client_too(bench):
    producer = bench.producer(size=1)
    with producer.sync.transaction():
        other = threading.Thread(
            target=producer.sync.publish_batch, args=("orders", [{"n": 1}]), kwargs={"transactional": True}
        )
        other.start()
        eventually(lambda: producer.transactions.details()["waiting"] == 1)
    other.join(5)
    assert bench.visible() == [b'{"n":1}']


@pytest.mark.parametrize("swallowed", [True, False])
async def test_the_older_of_two_processes_with_one_slot_is_fenced_and_says_so_for_good(bench, caplog, swallowed):
    older, newer = bench.producer(size=2), bench.producer(size=2)
    await published(older, 1)
    with pytest.raises(TransactionError) as caught:
        async with older.transaction() as tx:
            tx.send("orders", {"n": 2})
            await published_elsewhere(newer, 3)
            with contextlib.suppress(TransactionError) if swallowed else contextlib.nullcontext():
                await tx.publish("orders", {"n": 4})
    assert (caught.value.fenced, caught.value.outcome) == (True, "aborted")
    assert "slot" in caught.value.todo
    with pytest.raises(TransactionError) as caught:
        await published(older, 5)
    assert (caught.value.fenced, caught.value.outcome, caught.value.fatal) == (True, "none", True)
    assert "slot" in caught.value.todo
    assert len(bench.made) == 2  # no client of the older one was made after it was fenced, of no id
    health = ProducerHealth(older).health()
    assert (health.status, health.details["code"]) == (Status.DOWN, "_FENCED")
    assert "shop-x-0" in health.details["id"]
    assert "fenced" in caplog.text
    await published(newer, 6)
    assert bench.visible() == [b'{"n":1}', b'{"n":3}', b'{"n":6}']
    assert ProducerHealth(newer).health().status is Status.UP


async def published_elsewhere(producer, n):
    await asyncio.to_thread(producer.sync.publish_batch, "orders", [{"n": n}], transactional=True)


async def test_who_waits_for_a_client_when_the_process_is_fenced_is_told(bench):
    older, newer = bench.producer(size=1), bench.producer(size=1)
    await published(older, 0)
    await published(newer, 1)
    gate = asyncio.Event()

    async def fenced():
        async with older.transaction() as tx:
            await gate.wait()
            tx.send("orders", {"n": 2})

    bench.made[0]._loss, lost = None, bench.made[0]._loss
    bench.made[0]._state = "ready"  # it has not heard of it yet
    first = asyncio.create_task(fenced())
    second = asyncio.create_task(published(older, 3))
    await eventually_async(lambda: older.transactions.details()["waiting"] == 1)
    bench.made[0]._loss = lost
    gate.set()
    for task in (first, second):
        with pytest.raises(TransactionError) as caught:
            await task
        assert caught.value.fenced
    assert bench.visible() == [b'{"n":0}', b'{"n":1}']


async def test_a_transaction_that_outlived_its_timeout_costs_its_client_and_nothing_else(bench):
    producer = bench.producer(timeout=5)
    with pytest.raises(TransactionError, match="5 s") as caught:
        async with producer.transaction() as tx:
            await tx.publish("orders", {"n": 1})
            bench.kafka.clock.advance(5)
    assert (caught.value.fenced, caught.value.outcome) == (False, "aborted")
    await published(producer, 2)
    assert [port._id for port in bench.made] == ["shop-x-0", "shop-x-0"]
    assert bench.visible() == [b'{"n":2}']


@pytest.mark.parametrize("applied", [True, False])
async def test_a_commit_without_an_answer_is_decided_by_a_new_client_and_found_out_by_reading(bench, applied, caplog):
    producer = bench.producer()
    bench.kafka.faults.fail_transaction("commit", "_TIMED_OUT", applied=applied)
    if applied:
        await published(producer, 1)
        assert "the transaction is committed" in caplog.text
    else:
        with pytest.raises(TransactionError) as caught:
            await published(producer, 1)
        assert (caught.value.outcome, caught.value.code) == ("aborted", "_TIMED_OUT")
    assert len(bench.visible()) == applied
    assert [port._id for port in bench.made] == ["shop-x-0", "shop-x-0"]
    await published(producer, 2)
    assert producer.transactions.outcomes == ({"committed": 2} if applied else {"aborted": 1, "committed": 1})


async def test_a_batch_is_looked_for_as_well(bench):
    bench.kafka.faults.fail_transaction("commit", "_TIMED_OUT", applied=True)
    assert len(await bench.producer().publish_batch("orders", [{"n": 1}], transactional=True)) == 1


async def test_a_commit_that_nobody_can_look_at_is_unknown(bench, monkeypatch):
    def unreachable():
        raise ClientError("no broker answers", code="_TRANSPORT")

    monkeypatch.setattr(bench.clients, "reader", unreachable)
    producer = bench.producer()
    bench.kafka.faults.fail_transaction("commit", "_TIMED_OUT", applied=True)
    with pytest.raises(TransactionError, match="_TIMED_OUT") as caught:
        await published(producer, 1)
    assert caught.value.outcome == "unknown"
    assert "not known" in str(caught.value)
    assert producer.transactions.outcomes == {"unknown": 1}


async def test_fenced_while_it_commits_it_looks_before_it_says_that_nothing_is_visible(bench):
    producer = bench.producer()
    bench.kafka.faults.fail_transaction("commit", "_FENCED", applied=True)
    await published(producer, 1)  # it was taken just before
    assert bench.visible() == [b'{"n":1}']
    with pytest.raises(TransactionError) as caught:
        await published(producer, 2)
    assert caught.value.fenced
    assert len(bench.made) == 1


async def test_an_abort_without_an_answer_is_ended_by_the_next_transaction(bench, caplog):
    producer = bench.producer()
    bench.kafka.faults.fail_transaction("abort", "_TIMED_OUT")
    with pytest.raises(ValueError, match="mine"):
        async with producer.transaction() as tx:
            await tx.publish("orders", {"n": 1})
            raise ValueError("mine")
    assert "ends what it left open" in caplog.text
    await published(producer, 2)
    assert bench.visible() == [b'{"n":2}']


async def test_a_client_that_was_lost_while_nobody_used_it_is_replaced_unnoticed(bench):
    producer = bench.producer()
    await published(producer, 1)
    bench.made[0]._lose(bench.made[0]._error("INVALID_PRODUCER_ID_MAPPING", "the id has expired", fatal=True))
    await published(producer, 2)
    assert (len(bench.made), len(bench.visible())) == (2, 2)


async def test_a_client_with_an_answer_still_under_way_is_replaced_before_the_next_transaction(bench):
    producer = bench.producer()
    await published(producer, 1)
    await published(producer, 2)
    assert len(bench.made) == 1
    bench.made[0].worn = True
    await published(producer, 3)
    assert [port._id for port in bench.made] == ["shop-x-0", "shop-x-0"]


async def test_listeners_hear_how_each_transaction_ended_and_may_fail(bench):
    class Listener:
        def __init__(self):
            self.heard = []

        def on_transaction(self, outcome, seconds):
            self.heard.append((outcome, seconds >= 0))
            raise RuntimeError("the listener's own")

    producer, listener = bench.producer(), Listener()
    producer.transactions.listeners = [object(), listener]
    await published(producer, 1)
    with pytest.raises(ZeroDivisionError):
        async with producer.transaction():
            _ = 1 / 0
    assert listener.heard == [("committed", True), ("aborted", True)]


async def test_closing_waits_for_what_is_open_and_refuses_what_comes(bench):
    producer = bench.producer()
    async with producer.transaction() as tx:
        closing = asyncio.create_task(producer.close(5))
        await eventually_async(lambda: producer.outbox.closed)
        tx.send("orders", {"n": 1})
    assert await closing == 0
    assert bench.visible() == [b'{"n":1}']
    for refused in (published(producer, 2), producer.publish_batch("orders", [{}], transactional=True)):
        with pytest.raises(TransactionError, match="closed"):
            await refused
    assert all(port._closed for port in bench.made)


async def test_closing_gives_up_what_is_open_at_its_deadline_and_says_so(bench, caplog):
    producer = bench.producer()
    with pytest.raises(TransactionError, match="closed while"):
        async with producer.transaction() as tx:
            await tx.publish("orders", {"n": 1})
            await producer.close(0.05)
    assert "1 transactions were still open" in caplog.text
    bench.kafka.append("orders", b"behind")
    assert bench.visible() == [b"behind"]  # it is aborted, not left for readers to wait behind


async def test_an_eager_pool_takes_over_its_ids_at_start_and_ends_what_a_killed_process_left(bench):
    killed = bench.producer()
    await killed.transaction().__aenter__()
    bench.made[0].produce("orders", b"left open", None, None, -1, None)
    bench.made[0].vanish()
    bench.kafka.append("orders", b"behind")
    assert bench.visible() == []
    lazy, eager = bench.producer(), bench.producer(eager=True)
    lazy.transactions.start()
    assert (len(bench.made), bench.visible()) == (1, [])
    eager.transactions.start()
    assert [port._id for port in bench.made[1:]] == ["shop-x-0", "shop-x-1"]
    assert bench.visible() == [b"behind"]


async def test_a_timeout_above_the_brokers_maximum_is_refused_with_both(bench):
    bench.kafka.settings["transaction.max.timeout.ms"] = "3000"
    with pytest.raises(ConfigurationError, match="is 10 s, and the broker allows 3 s at most") as caught:
        bench.producer(eager=True).transactions.start()
    assert caught.value.where == "kafkaboot.producer.transaction.timeout"
    with pytest.raises(ConfigurationError):  # and when nobody looked at start, at the first
        await published(bench.producer(), 1)


async def test_a_broker_that_refuses_the_id_is_asked_again_by_the_next_transaction(bench):
    producer = bench.producer()
    bench.kafka.faults.fail_transaction("init_transactions", "UNSUPPORTED_VERSION")
    with pytest.raises(TransactionError) as caught:
        await published(producer, 1)
    assert caught.value.code == "UNSUPPORTED_VERSION"
    assert producer.transactions.details()["lent"] == 0
    await published(producer, 2)
    assert bench.visible() == [b'{"n":2}']


def test_the_pool_is_bounded_by_its_fake_too(bench):
    """The double behaves as its port says: two transactions at once of one client are refused."""
    port = bench.clients.transactional("id", {"transaction.timeout.ms": 1000})
    port.prepare(1)
    port.begin()
    with pytest.raises(TransactionError):
        port.begin()
    assert isinstance(port, MemoryTransactional)
