import asyncio
import logging
import threading
import uuid
from collections import deque
from dataclasses import dataclass
from datetime import date

import pytest
from pydantic import BaseModel, Field

from kafkaboot.declare import event
from kafkaboot.errors import BatchPublishError, ClientError, PublishError
from kafkaboot.producer import Delivery, Producer, Receipt


@event("order.placed")
class OrderPlaced(BaseModel):
    order_id: str
    total: int = 0


class Written:
    """A delivered record, as a client's callback gets it."""

    def __init__(self, topic, value, key, headers, partition, timestamp, offset):
        self._topic, self._partition, self._offset = topic, max(partition, 0), offset
        self._timestamp = timestamp or 1_700_000_000_000
        self.value, self.key, self.headers = value, key, headers

    def topic(self):
        return self._topic

    def partition(self):
        return self._partition

    def offset(self):
        return self._offset

    def timestamp(self):
        return 1, self._timestamp


class FakeClient:
    """A `ProducerPort` that delivers when it is told to, with as much room as it is given."""

    def __init__(self, *, at_once=True, room=10**9):
        self.at_once, self.room = at_once, room
        self.written, self.due = [], deque()
        self.errors = {}
        self.served = self.hurried = 0
        self.closed = False

    def produce(self, topic, value, key, headers, partition, on_delivery, timestamp=0):
        if self.closed:
            raise ClientError("the producer is closed", code="_DESTROY")
        if value is not None and len(value) > 10_000:
            raise ClientError("Broker: Message size too large", code="MSG_SIZE_TOO_LARGE", todo="make it smaller")
        if len(self.due) >= self.room:
            raise BufferError("full")
        record = Written(topic, value, key, list(headers or ()), partition, timestamp, len(self.written))
        self.written.append(record)
        self.due.append((on_delivery, self.errors.get(value), record))
        if self.at_once:
            self.deliver()

    def deliver(self, count=10**9):
        while self.due and count:
            callback, error, record = self.due.popleft()
            callback(error, record)
            count -= 1

    def serve(self, timeout):
        self.served += 1
        self.deliver(1)

    def hurry(self):
        self.hurried += 1
        self.deliver()

    def translate(self, error):
        return error if isinstance(error, ClientError) else ClientError(str(error), code="UNKNOWN")

    def flush(self, timeout):
        self.deliver()
        return len(self.due)

    def close(self, timeout):
        self.closed = True
        return len(self.due)


async def test_publish_answers_where_the_record_stands():
    client = FakeClient()
    receipt = await Producer(client).publish("orders", OrderPlaced(order_id="o-1"), partition=3, timestamp=17)
    assert receipt == Receipt("orders", 3, 0, 17)
    assert client.written[0].value == b'{"order_id":"o-1","total":0}'


@pytest.mark.parametrize(
    ("key", "written"),
    [
        ("ö", "ö".encode()),
        (b"\x00", b"\x00"),
        (42, b"42"),
        (uuid.UUID(int=1), b"00000000-0000-0000-0000-000000000001"),
        (None, None),
    ],
)
async def test_a_key_is_written_in_its_documented_form(key, written):
    client = FakeClient()
    await Producer(client).publish("orders", {}, key=key)
    assert client.written[0].key == written


@pytest.mark.parametrize("key", [True, 1.5, ["a"], date(2026, 1, 1)])
async def test_a_key_of_another_type_is_refused_with_what_to_do(key):
    client = FakeClient()
    with pytest.raises(PublishError) as caught:
        await Producer(client).publish("orders", {}, key=key)
    assert str(caught.value) == (
        f"orders: a key must be str, bytes, int or UUID, and this is {type(key).__name__}\n"
        "  the record was not sent\n"
        "  To do: choose another field, or make a text of it: key=lambda payload: str(...)"
    )
    assert not client.written


async def test_a_payload_that_cannot_be_encoded_is_refused_with_the_path_of_the_culprit():
    with pytest.raises(PublishError) as caught:
        await Producer(FakeClient()).publish("orders", {"lines": [{"tax": object()}]})
    text = str(caught.value)
    assert "lines[0].tax" in text
    assert "the record was not sent" in text


async def test_a_record_that_is_too_large_is_refused_in_the_brokers_words():
    with pytest.raises(PublishError) as caught:
        await Producer(FakeClient()).publish("orders", "x" * 20_000)
    assert caught.value.code == "MSG_SIZE_TOO_LARGE"
    assert str(caught.value).startswith("orders: Broker: Message size too large\n  the record was not sent")


async def test_an_unknown_topic_is_named_with_what_to_do():
    client = FakeClient()
    client.errors[b"{}"] = ClientError("Broker: Unknown topic", code="UNKNOWN_TOPIC_OR_PART", todo="create the topic")
    with pytest.raises(PublishError) as caught:
        await Producer(client).publish("ordres", {})
    assert str(caught.value) == (
        "ordres: the topic 'ordres' does not exist: Broker: Unknown topic\n"
        "  the record was not delivered\n"
        "  To do: create the topic"
    )


async def test_publishing_after_close_is_refused_in_every_way():
    producer = Producer(FakeClient())
    assert await producer.close() == 0
    assert await producer.close() == 0
    for call in (
        lambda: producer.send("orders", {}),
        lambda: producer.sync.publish("orders", {}),
        lambda: producer.sync.publish_batch("orders", [{}]),
    ):
        with pytest.raises(PublishError, match="orders: the producer is closed"):
            call()
    with pytest.raises(PublishError, match="the producer is closed"):
        await producer.publish("orders", {})
    with pytest.raises(PublishError, match="the producer is closed"):
        await producer.publish_batch("orders", [{}])


async def test_closing_says_how_many_records_are_given_up(caplog):
    client = FakeClient(at_once=False)
    producer = Producer(client)
    held = producer.send("orders", {})
    assert await producer.close(0) == 1
    assert "1 records were not delivered before the producer closed" in caplog.text
    assert not held.done()


async def test_publish_waits_for_room():
    client = FakeClient(at_once=False, room=1)
    producer = Producer(client)
    producer.send("orders", {"n": 1})
    second = asyncio.create_task(producer.publish("orders", {"n": 2}))
    await asyncio.sleep(0.01)
    assert len(client.written) == 1
    client.deliver()
    while len(client.written) < 2:
        await asyncio.sleep(0)
    client.deliver()
    assert (await second).offset == 1


async def test_send_on_a_full_buffer_makes_room_by_serving_reports():
    client = FakeClient(at_once=False, room=1)
    producer = Producer(client)
    first = producer.send("orders", {"n": 1})
    second = producer.send("orders", {"n": 2})
    assert first.done()
    assert not second.done()
    client.deliver()
    assert (await second).offset == 1


async def test_send_on_a_buffer_that_stays_full_is_refused_as_retriable():
    client = FakeClient(at_once=False, room=0)
    with pytest.raises(PublishError) as caught:
        Producer(client).send("orders", {})
    assert caught.value.retriable
    assert caught.value.code == "_QUEUE_FULL"
    assert "kafkaboot.producer.max-buffered" in str(caught.value)


async def test_a_delivery_can_be_awaited_before_and_after_it_is_known():
    client = FakeClient(at_once=False)
    producer = Producer(client)
    delivery = producer.send("orders", {})
    assert not delivery.done()
    early = [asyncio.create_task(_await(delivery)) for _ in range(3)]
    await asyncio.sleep(0)
    threading.Thread(target=client.deliver).start()
    assert {(await task).offset for task in early} == {0}
    assert delivery.done()
    assert (await delivery).offset == 0


async def _await(delivery: Delivery) -> Receipt:
    return await delivery


async def test_many_awaited_deliveries_reach_the_loop_in_one_hop():
    client = FakeClient(at_once=False)
    producer = Producer(client)
    waiting = [asyncio.create_task(_await(producer.send("orders", {"n": n}))) for n in range(1000)]
    await asyncio.sleep(0)
    loop, hops = asyncio.get_running_loop(), []
    original = loop.call_soon_threadsafe
    loop.call_soon_threadsafe = lambda *args, **kwargs: (hops.append(args), original(*args, **kwargs))[1]
    try:
        client.deliver()
    finally:
        del loop.call_soon_threadsafe
    assert len(hops) == 1
    assert [receipt.offset for receipt in await asyncio.gather(*waiting)] == list(range(1000))


async def test_an_await_that_is_cancelled_leaves_the_delivery_to_others():
    client = FakeClient(at_once=False)
    delivery = Producer(client).send("orders", {})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(_await(delivery), 0.01)
    client.deliver()
    assert (await delivery).offset == 0


def test_result_waits_in_a_thread_and_gives_up_in_time():
    client = FakeClient(at_once=False)
    delivery = Producer(client).send("orders", {})
    with pytest.raises(TimeoutError, match="still on its way"):
        delivery.result(0.01)
    threading.Timer(0.01, client.deliver).start()
    assert delivery.result(10).offset == 0


def test_a_failed_send_that_nobody_waited_for_is_logged_and_counted(caplog):
    client = FakeClient()
    client.errors[b"{}"] = ClientError("timed out", code="_MSG_TIMED_OUT", retriable=True, todo="see the brokers")
    producer = Producer(client)
    producer.send("orders", {})
    client.written.clear()
    assert producer.outbox.failed == 1
    assert "nobody waited for, was not delivered: orders: timed out" in caplog.text
    assert "To do: see the brokers" in caplog.text


def test_a_failed_send_that_somebody_asked_about_is_not_logged(caplog):
    client = FakeClient()
    client.errors[b"{}"] = "broken"
    delivery = Producer(client).send("orders", {})
    with pytest.raises(PublishError, match="broken"):
        delivery.result()
    del delivery
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_batch_is_delivered_in_order_with_a_receipt_each():
    client = FakeClient(at_once=False)
    producer = Producer(client)
    publishing = asyncio.create_task(
        producer.publish_batch("orders", (OrderPlaced(order_id=str(n)) for n in range(300)), key="order_id")
    )
    while len(client.written) < 300:
        await asyncio.sleep(0)
    client.due = deque(reversed(client.due))
    threading.Thread(target=client.deliver).start()
    receipts = await publishing
    assert [receipt.offset for receipt in receipts] == list(range(300))
    assert receipts[-1] == Receipt("orders", 0, 299, 1_700_000_000_000)
    assert receipts[:2] == [receipts[0], receipts[1]]
    assert receipts == list(receipts)
    assert [record.key for record in client.written] == [str(n).encode() for n in range(300)]


async def test_an_empty_batch_is_done_at_once():
    assert list(await Producer(FakeClient()).publish_batch("orders", [])) == []
    assert list(Producer(FakeClient()).sync.publish_batch("orders", [])) == []


async def test_a_batch_says_which_records_failed_and_delivers_the_others():
    client = FakeClient()
    client.errors[b'"b"'] = ClientError("refused", code="POLICY_VIOLATION")
    client.errors[b"b"] = client.errors[b'"b"']
    with pytest.raises(BatchPublishError) as caught:
        await Producer(client).publish_batch("orders", ["a", "b", {"x": object()}, "d"])
    failed = caught.value.failed
    assert [index for index, _ in failed] == [1, 2]
    assert all(isinstance(error, PublishError) for _, error in failed)
    assert [receipt and receipt.offset for receipt in caught.value.receipts] == [0, None, None, 2]
    assert "2 of 4 records were not delivered" in str(caught.value)
    assert "publish the failed payloads again" in str(caught.value)


async def test_a_ledger_that_failed_once_serves_the_next_batch_clean():
    client = FakeClient()
    producer = Producer(client)
    with pytest.raises(BatchPublishError):
        await producer.publish_batch("orders", [object()])
    assert len(await producer.publish_batch("orders", [{"n": 1}, {"n": 2}])) == 2


async def test_concurrent_batches_get_their_own_receipts():
    client = FakeClient(at_once=False)
    producer = Producer(client)
    tasks = [asyncio.create_task(producer.publish_batch(f"t{n}", [{"n": i} for i in range(n)])) for n in (1, 5, 9)]
    while len(client.written) < 15:
        await asyncio.sleep(0)
    client.deliver()
    assert [len(await task) for task in tasks] == [1, 5, 9]
    assert [task.result()[0].topic for task in tasks] == ["t1", "t5", "t9"]


async def test_a_cancelled_batch_does_not_lend_its_ledger_to_another():
    client = FakeClient(at_once=False)
    producer = Producer(client)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(producer.publish_batch("orders", [{"n": 1}, {"n": 2}]), 0.01)
    late = list(client.due)
    client.due.clear()
    task = asyncio.create_task(producer.publish_batch("orders", [{"n": 3}]))
    while len(client.written) < 3:
        await asyncio.sleep(0)
    for callback, error, record in late:
        callback(error, record)
    await asyncio.sleep(0.01)
    assert not task.done()
    client.deliver()
    assert [receipt.offset for receipt in await task] == [2]


async def test_a_batch_waits_for_room_and_lets_others_run_meanwhile():
    client = FakeClient(at_once=False, room=10)
    producer = Producer(client)
    turns = 0

    async def neighbour():
        nonlocal turns
        while len(client.written) < 95:
            turns += 1
            client.deliver()
            await asyncio.sleep(0)

    task = asyncio.create_task(neighbour())
    publishing = asyncio.create_task(producer.publish_batch("orders", [{"n": n} for n in range(95)]))
    await task
    client.deliver()
    receipts = await publishing
    assert [receipt.offset for receipt in receipts] == list(range(95))
    assert turns > 1


async def test_a_long_batch_yields_to_the_loop():
    producer = Producer(FakeClient())
    turns = 0

    async def neighbour():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(neighbour())
    await producer.publish_batch("orders", [OrderPlaced(order_id=str(n)) for n in range(30_000)])
    task.cancel()
    assert turns > 3


async def test_a_large_batch_does_not_linger():
    client = FakeClient(at_once=False)
    producer = Producer(client)
    assert len(await producer.publish_batch("orders", [{}] * 1000)) == 1000
    assert client.hurried == 1


async def test_a_key_field_that_is_not_there_names_those_that_are():
    with pytest.raises(BatchPublishError) as caught:
        await Producer(FakeClient()).publish_batch("orders", [OrderPlaced(order_id="1")], key="order")
    assert "OrderPlaced has no field 'order' to be the key" in str(caught.value)
    assert "its fields are order_id, total" in str(caught.value)


async def test_a_batch_takes_its_key_from_a_mapping_or_a_callable():
    client = FakeClient()
    producer = Producer(client)
    await producer.publish_batch("orders", [{"id": 7}], key="id")
    await producer.publish_batch("orders", [{"id": 7}], key=lambda payload: f"k{payload['id']}")
    assert [record.key for record in client.written] == [b"7", b"k7"]
    with pytest.raises(BatchPublishError, match="no field 'id'"):
        await producer.publish_batch("orders", [{}], key="id")


async def test_a_batch_mixes_types_of_payloads():
    @dataclass
    class Note:
        text: str

    class Aliased(BaseModel):
        order_id: str = Field(alias="orderId")

    client = FakeClient()
    payloads = [OrderPlaced(order_id="1"), Note("n"), "text", b"raw", None, Aliased(orderId="2"), {"a": 1}]
    await Producer(client).publish_batch("orders", payloads)
    assert [record.value for record in client.written] == [
        b'{"order_id":"1","total":0}',
        b'{"text":"n"}',
        b"text",
        b"raw",
        None,
        b'{"orderId":"2"}',
        b'{"a":1}',
    ]
    names = [dict(record.headers).get("ce_type") for record in client.written]
    assert names == [b"order.placed", b"Note", None, None, None, b"Aliased", None]


def test_sync_publishing_works_from_many_threads_on_one_producer():
    client = FakeClient()
    producer = Producer(client)
    receipts = []

    def work(name):
        receipts.append(producer.sync.publish("orders", {"from": name}))
        receipts.extend(producer.sync.publish_batch("orders", [{"from": name}] * 50))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(receipts) == 4 * 51


async def test_the_producer_is_a_context_manager_of_both_kinds():
    first, second = FakeClient(), FakeClient()
    with Producer(first) as producer:
        producer.sync.publish("orders", {})
    async with Producer(second) as producer:
        await producer.publish("orders", {})
    assert first.closed
    assert second.closed


async def test_flush_answers_what_is_still_on_its_way():
    client = FakeClient(at_once=False)
    producer = Producer(client)
    delivery = producer.send("orders", {})
    assert await producer.flush(1) == 0
    assert delivery.done()
