import asyncio
import threading
from dataclasses import dataclass

import pytest

from kafkaboot.client.memory import MemoryTransactional
from kafkaboot.errors import BatchPublishError, PublishError, TransactionError
from kafkaboot.producer import Producer
from kafkaboot.testing import eventually_async


@dataclass
class Line:
    name: str
    price: object


async def test_records_of_several_topics_become_visible_together(bench):
    async with bench.producer().transaction() as tx:
        tx.send("orders", {"n": 1}, key="a")
        receipt = await tx.publish("invoices", {"n": 2})
        assert receipt.topic == "invoices"
        assert bench.visible("orders") == bench.visible("invoices") == []
        assert bench.written("orders") == [b'{"n":1}']
    assert (bench.visible("orders"), bench.visible("invoices")) == ([b'{"n":1}'], [b'{"n":2}'])


async def test_an_exception_inside_aborts_and_is_raised_as_it_is(bench):
    mine = ValueError("no stock")
    with pytest.raises(ValueError, match="no stock") as caught:
        async with bench.producer().transaction() as tx:
            await tx.publish("orders", {"n": 1})
            raise mine
    assert caught.value is mine
    assert (bench.visible(), bench.written()) == ([], [b'{"n":1}'])


async def test_a_transaction_without_records_commits(bench):
    producer = bench.producer()
    async with producer.transaction():
        pass
    assert producer.transactions.outcomes == {"committed": 1}


async def test_a_record_that_nobody_awaits_and_that_is_not_delivered_aborts_and_is_named(bench, caplog):
    bench.kafka.faults.fail_deliveries("NOT_ENOUGH_REPLICAS")
    producer = bench.producer()
    with pytest.raises(TransactionError) as caught:
        async with producer.transaction() as tx:
            tx.send("orders", {"n": 1}, key="o-1")
            tx.send("orders", {"n": 2})
    error = caught.value
    assert "orders (key 'o-1')" in error.what
    assert (error.outcome, error.code, error.retriable) == ("aborted", "NOT_ENOUGH_REPLICAS", True)
    assert [failure.code for failure in error.failed] == ["NOT_ENOUGH_REPLICAS"]
    assert "none of its records is visible" in str(error)
    assert bench.visible() == []
    assert producer.transactions.outcomes == {"aborted": 1}
    assert "nobody waited for" not in caplog.text  # the transaction has told it


async def test_a_failed_record_aborts_even_if_its_error_was_caught(bench):
    bench.kafka.faults.fail_deliveries("NOT_ENOUGH_REPLICAS")
    with pytest.raises(TransactionError):
        async with bench.producer().transaction() as tx:
            with pytest.raises(PublishError):
                await tx.publish("orders", {"n": 1})
            await tx.publish("orders", {"n": 2})
    assert bench.visible() == []


@pytest.mark.parametrize("way", ["send", "publish", "publish_batch"])
async def test_a_payload_that_cannot_be_encoded_aborts_and_its_field_is_named(bench, way):
    bad = Line("tea", object())
    with pytest.raises(PublishError, match=r"price"):
        async with bench.producer().transaction() as tx:
            tx.send("orders", {"n": 1})
            done = getattr(tx, way)("orders", [bad] if way == "publish_batch" else bad)
            if way != "send":
                await done
    assert bench.visible() == []
    with pytest.raises(TransactionError, match=r"price"):  # and when it was caught, at the end
        async with bench.producer().transaction() as tx:
            with pytest.raises(PublishError):
                tx.send("orders", bad)
    assert bench.visible() == []


async def test_a_full_buffer_is_no_failed_record(bench):
    async with bench.producer().transaction() as tx:
        bench.kafka.faults.full = 10**6
        with pytest.raises(PublishError) as caught:
            tx.send("orders", {"n": 1})
        assert caught.value.retriable
        bench.kafka.faults.full = 2
        await tx.publish("orders", {"n": 2})
    assert bench.visible() == [b'{"n":2}']


async def test_a_transactional_batch_is_published_wholly(bench):
    receipts = await bench.producer().publish_batch("orders", [{"n": n} for n in range(3)], transactional=True)
    assert [receipt.offset for receipt in receipts] == [0, 1, 2]
    assert bench.visible() == [b'{"n":0}', b'{"n":1}', b'{"n":2}']


@pytest.mark.parametrize("bad", ["undelivered", "unencodable"])
async def test_or_not_at_all_and_says_which_payload_it_was(bench, bad):
    payloads = [{"n": 0}, {"n": object()} if bad == "unencodable" else {"n": 1}, {"n": 2}]
    if bad == "undelivered":
        bench.kafka.faults.deliveries.extend([None])
        bench.kafka.faults.fail_deliveries("MSG_SIZE_TOO_LARGE")
    with pytest.raises(TransactionError, match="payload 1 to orders") as caught:
        await bench.producer().publish_batch("orders", payloads, transactional=True)
    assert (caught.value.outcome, len(caught.value.failed)) == ("aborted", 1)
    assert bench.visible() == []
    assert len(bench.written()) == 2


async def test_a_batch_inside_a_transaction_says_that_the_others_are_not_published_either(bench):
    with pytest.raises(BatchPublishError) as caught:
        async with bench.producer().transaction() as tx:
            await tx.publish_batch("orders", [{"n": 0}, {"n": object()}])
    assert [index for index, _ in caught.value.failed] == [1]
    assert caught.value.receipts == [None, None]
    assert "none of its records will be visible" in str(caught.value)
    assert bench.visible() == []


async def test_cancellation_aborts(bench):
    inside, producer = asyncio.Event(), bench.producer()

    async def work():
        async with producer.transaction() as tx:
            await tx.publish("orders", {"n": 1})
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (bench.visible(), producer.transactions.outcomes) == ([], {"aborted": 1})
    assert producer.transactions.details()["lent"] == 0


async def test_cancelled_while_it_commits_it_is_committed_first(bench, monkeypatch):
    asked, answered, commit = threading.Event(), threading.Event(), MemoryTransactional.commit

    def slow(port, timeout):
        asked.set()
        assert answered.wait(10)
        commit(port, timeout)

    monkeypatch.setattr(MemoryTransactional, "commit", slow)
    producer = bench.producer()
    task = asyncio.create_task(producer.publish_batch("orders", [{"n": 1}], transactional=True))
    await eventually_async(asked.is_set)
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()  # it is not left behind with its transaction open
    answered.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (bench.visible(), producer.transactions.outcomes) == ([b'{"n":1}'], {"committed": 1})


async def test_one_inside_another_is_refused_and_the_outer_one_goes_on(bench):
    producer = bench.producer()
    async with producer.transaction() as outer:
        with pytest.raises(TransactionError, match="inside another one"):
            async with producer.transaction():
                pass
        outer.send("orders", {"n": 1})
    assert bench.visible() == [b'{"n":1}']
    async with producer.transaction() as after:
        after.send("orders", {"n": 2})
    assert len(bench.visible()) == 2


async def test_tasks_may_have_one_each_at_the_same_time(bench):
    producer, both = bench.producer(), asyncio.Barrier(2)

    async def work(n):
        async with producer.transaction() as tx:
            tx.send("orders", {"n": n})
            await both.wait()

    await asyncio.gather(work(1), work(2))
    assert sorted(bench.visible()) == [b'{"n":1}', b'{"n":2}']


async def test_it_takes_nothing_before_its_beginning_or_after_its_end_and_is_used_once(bench):
    producer = bench.producer()
    tx = producer.transaction()
    with pytest.raises(TransactionError, match="has not begun"):
        tx.send("orders", {})
    async with tx:
        tx.send("orders", {"n": 1})
        with pytest.raises(TransactionError, match="used once"):
            async with tx:
                pass
    for late in (tx.publish, tx.publish_batch):
        with pytest.raises(TransactionError, match="has ended"):
            await late("orders", {})
    with pytest.raises(TransactionError, match="has ended"):
        tx.send("orders", {})
    with pytest.raises(TransactionError, match="used once"):
        async with tx:
            pass
    assert bench.visible() == [b'{"n":1}']


async def test_a_publish_that_waits_for_room_when_the_transaction_ends_is_refused(bench):
    bench.kafka.faults.full = 10**9
    producer = bench.producer()
    async with producer.transaction() as tx:
        waiting = asyncio.create_task(tx.publish("orders", {"n": 1}))
        await asyncio.sleep(0)
    with pytest.raises(TransactionError, match="has ended"):
        await waiting
    bench.kafka.faults.full = 0
    assert bench.written() == []


async def test_who_awaits_a_delivery_is_answered_though_the_client_lost_its_report(bench, monkeypatch):
    bench.kafka.faults.hold_deliveries = True
    monkeypatch.setattr(MemoryTransactional, "flush", lambda *_: 0)
    bench.kafka.faults.fail_transaction("commit", "_FATAL")
    monkeypatch.setattr(bench.clients, "reader", lambda: pytest.fail("there is no record to look for"))
    with pytest.raises(TransactionError):
        async with bench.producer().transaction() as tx:
            waiting = [
                asyncio.create_task(tx.publish("orders", {"n": 1})),
                asyncio.create_task(tx.publish_batch("orders", [{"n": 2}])),
            ]
            await asyncio.sleep(0)
    answers = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
    assert [type(answer) for answer in answers] == [PublishError, BatchPublishError]


async def test_a_producer_without_transactions_says_so(bench):
    producer = Producer(bench.clients.producer({}))
    with pytest.raises(TransactionError, match="without transactions"):
        producer.transaction()
    with pytest.raises(TransactionError, match="without transactions"):
        await producer.publish_batch("orders", [{}], transactional=True)
    assert bench.written() == []


def test_threads_have_the_same(bench):
    producer = bench.producer()
    with producer.sync.transaction() as tx:
        tx.send("orders", {"n": 1})
        assert tx.publish("invoices", {"n": 2}).offset == 0
        assert len(tx.publish_batch("invoices", [{"n": 3}])) == 1
        assert bench.visible() == []
    assert len(producer.sync.publish_batch("orders", [{"n": 4}], transactional=True)) == 1
    assert (len(bench.visible()), len(bench.visible("invoices"))) == (2, 2)
    with pytest.raises(ValueError, match="mine"), producer.sync.transaction() as tx:
        tx.send("orders", {"n": 5})
        raise ValueError("mine")
    bench.kafka.faults.fail_deliveries("NOT_ENOUGH_REPLICAS")
    with pytest.raises(TransactionError, match="payload 0 to orders"):
        producer.sync.publish_batch("orders", [{"n": 6}], transactional=True)
    assert len(bench.visible()) == 2
    assert producer.transactions.outcomes == {"committed": 2, "aborted": 2}
