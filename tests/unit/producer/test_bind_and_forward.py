import asyncio
import threading
from collections import deque
from typing import Any

import pytest
from pydantic import BaseModel

from kafkaboot.declare import PublisherSpec, event
from kafkaboot.errors import ClientError, PublishError
from kafkaboot.health import Status
from kafkaboot.producer import Binding, Forward, Producer, ProducerHealth, publishing, returns_many


@event("invoice.issued")
class InvoiceIssued(BaseModel):
    order_id: str
    amount: int = 0


class Client:
    """A `ProducerPort` that keeps records until `deliver`, with `room` for so many."""

    lost = None

    def __init__(self, room=10**9, *, at_once=False):
        self.room, self.at_once = room, at_once
        self.due, self.written, self.error = deque(), [], None
        self.lock = threading.Lock()

    def produce(self, topic, value, key, headers, partition, on_delivery, timestamp=0):
        with self.lock:
            if len(self.due) >= self.room:
                raise BufferError("full")
            self.written.append((topic, value, key, dict(headers or ()), partition))
            self.due.append(on_delivery)
        if self.at_once:
            self.deliver()

    def deliver(self):
        while self.due:
            self.due.popleft()(self.error, Record())

    def translate(self, error):
        return error


class Record:
    def partition(self):
        return 0

    def offset(self):
        return 7

    def timestamp(self):
        return 1, 1


def binding(client, topic="invoices", **options):
    return Binding(PublisherSpec(topic, where="shop.py:7", **options), Producer(client))


class Acks:
    def __init__(self):
        self.errors = []
        self.known = threading.Event()

    def __call__(self, error, record):
        self.errors.append(error)
        self.known.set()


def test_one_publisher_hands_the_engines_callback_straight_to_the_client():
    client, acks = Client(), Acks()
    bound = binding(client, key="order_id")
    Forward([bound]).forward(InvoiceIssued(order_id="o-1"), acks)
    assert client.due[0] is acks
    topic, value, key, headers, partition = client.written[0]
    assert (topic, value, key, partition) == ("invoices", b'{"order_id":"o-1","amount":0}', b"o-1", -1)
    assert headers["ce_type"] == b"invoice.issued"


def test_what_publisher_says_goes_onto_the_record():
    client = Client()
    bound = binding(
        client,
        key=lambda invoice: f"k-{invoice.order_id}",
        headers=lambda invoice: {"amount": str(invoice.amount)},
        partition=lambda invoice: invoice.amount,
        type="invoice.v2",
    )
    bound.produce(InvoiceIssued(order_id="o-1", amount=2), Acks())
    _, _, key, headers, partition = client.written[0]
    assert (key, partition, headers["amount"], headers["ce_type"]) == (b"k-o-1", 2, b"2", b"invoice.v2")


def test_fixed_headers_and_partition_are_written():
    client = Client()
    binding(client, headers={"origin": "shop"}, partition=3).produce({"a": 1}, Acks())
    assert client.written[0][3:] == ({"content-type": b"application/json", "origin": b"shop"}, 3)


def test_a_type_makes_an_event_of_a_mapping():
    client = Client()
    binding(client, type="order.raw", key="id").produce({"id": 5}, Acks())
    _, _, key, headers, _ = client.written[0]
    assert (key, headers["ce_type"]) == (b"5", b"order.raw")


@pytest.mark.parametrize(
    ("options", "payload", "text"),
    [
        ({"key": "nope"}, InvoiceIssued(order_id="1"), "InvoiceIssued has no field 'nope' to be the key"),
        ({"key": "nope"}, {"a": 1}, "dict has no field 'nope' to be the key"),
        ({"key": "nope"}, "text", "str has no field 'nope' to be the key"),
        ({"key": lambda _: 1 / 0}, {"a": 1}, "ZeroDivisionError: division by zero"),
        ({"headers": lambda _: {"a": 1}}, {"a": 1}, "headers are names with texts or bytes"),
        ({}, {"a": object()}, "builtins.object"),
    ],
)
def test_a_record_that_cannot_be_made_names_the_publisher_and_the_cause(options, payload, text):
    client = Client()
    with pytest.raises(PublishError) as caught:
        binding(client, **options).produce(payload, Acks())
    assert text in str(caught.value)
    assert str(caught.value).startswith("shop.py:7: invoices: ")
    assert not client.written


def test_a_full_buffer_is_the_engines_to_wait_for():
    client, acks = Client(room=0), Acks()
    with pytest.raises(BufferError):
        Forward([binding(client)]).forward({"a": 1}, acks)
    with pytest.raises(BufferError):
        Forward([binding(client), binding(client)]).forward({"a": 1}, acks)
    assert not client.written
    assert not acks.errors


def test_several_publishers_acknowledge_once_when_all_is_delivered():
    client, acks = Client(), Acks()
    Forward([binding(client), binding(client, "audit")]).forward({"a": 1}, acks)
    assert [record[0] for record in client.written] == ["invoices", "audit"]
    first, second = client.due
    first(None, Record())
    assert acks.errors == []
    second(None, Record())
    assert acks.errors == [None]


def test_several_publishers_acknowledge_the_first_error_once():
    client, acks = Client(), Acks()
    Forward([binding(client), binding(client), binding(client)]).forward({"a": 1}, acks)
    for callback, error in zip(client.due, (None, "first", "second"), strict=True):
        callback(error, Record())
    assert acks.errors == ["first"]


def test_nothing_is_handed_over_when_one_of_several_records_cannot_be_made():
    client = Client()
    with pytest.raises(PublishError):
        Forward([binding(client), binding(client, key="nope")]).forward({"a": 1}, Acks())
    assert not client.written


def test_outputs_without_room_follow_later_and_nobody_overtakes_them():
    client, acks = Client(room=1), Acks()
    forward = Forward([binding(client, "a"), binding(client, "b")])
    forward.forward({"n": 1}, acks)
    assert [record[0] for record in client.written] == ["a"]
    with pytest.raises(BufferError, match="earlier call"):
        forward.forward({"n": 2}, acks)
    client.at_once = True
    client.deliver()
    assert acks.known.wait(10)
    assert [record[0] for record in client.written] == ["a", "b"]
    assert acks.errors == [None]


def test_a_returned_list_of_events_is_one_record_each():
    client, acks = Client(at_once=True), Acks()
    forward = Forward([binding(client, key="order_id")], many=True)
    forward.forward([InvoiceIssued(order_id="1"), None, InvoiceIssued(order_id="2")], acks)
    assert [record[2] for record in client.written] == [b"1", b"2"]
    assert acks.errors == [None]


@pytest.mark.parametrize("result", [None, []])
def test_nothing_returned_is_settled_at_once(result):
    client, acks = Client(), Acks()
    Forward([binding(client)], many=True).forward(result, acks)
    assert acks.errors == [None]
    assert not client.written


class Desk:
    def issue(self, order_id):
        return InvoiceIssued(order_id=order_id)

    async def issue_later(self, order_id):
        return InvoiceIssued(order_id=order_id)

    async def nothing(self):
        return None


@pytest.mark.parametrize(
    ("annotation", "many"),
    [
        (list[InvoiceIssued], True),
        (tuple[InvoiceIssued, ...], True),
        (list[InvoiceIssued] | None, True),
        (list[InvoiceIssued | Desk], True),
        (InvoiceIssued, False),
        (list, False),
        (list[int], False),
        (list[dict[str, Any]], False),
        (dict[str, InvoiceIssued], False),
        (None, False),
    ],
)
def test_the_annotation_decides_whether_several_payloads_are_returned(annotation, many):
    assert returns_many(annotation) is many


def test_a_components_method_publishes_before_it_returns():
    client = Client(at_once=True)
    issue = publishing(Desk().issue, [binding(client, key="order_id"), binding(client, "audit")])
    assert issue("o-1") == InvoiceIssued(order_id="o-1")
    assert issue.__name__ == "issue"
    assert [record[0] for record in client.written] == ["invoices", "audit"]


async def test_an_async_method_publishes_before_it_returns():
    client = Client()
    issue = publishing(Desk().issue_later, [binding(client, key="order_id")])
    returned = asyncio.create_task(issue("o-1"))
    while not client.due:
        await asyncio.sleep(0)
    assert not returned.done()
    threading.Thread(target=client.deliver).start()
    assert await returned == InvoiceIssued(order_id="o-1")
    assert await publishing(Desk().nothing, [binding(client)])() is None
    assert len(client.written) == 1


async def test_a_method_whose_event_is_not_delivered_raises():
    client = Client(at_once=True)
    client.error = PublishError("broken")
    with pytest.raises(PublishError, match="broken"):
        await publishing(Desk().issue_later, [binding(client)])("o-1")
    with pytest.raises(PublishError, match="broken"):
        publishing(Desk().issue, [binding(client)])("o-1")


def test_health_is_down_while_the_brokers_do_not_take_records_and_up_when_they_do():
    client = Client(at_once=True)
    producer = Producer(client)
    health = ProducerHealth(producer)
    assert health.health().status is Status.UP
    client.error = PublishError("no broker", code="_MSG_TIMED_OUT", retriable=True)
    with pytest.raises(PublishError):
        producer.sync.publish("orders", {})
    assert health.health().status is Status.DOWN
    assert health.health().details == {"failed": 1, "topic": "orders", "error": "no broker", "code": "_MSG_TIMED_OUT"}
    client.error = None
    producer.sync.publish("orders", {})
    assert health.health().status is Status.UP


def test_health_is_down_while_there_is_no_client():
    client = Client(at_once=True)
    health = ProducerHealth(Producer(client))
    client.lost = ClientError("the sequence is lost", code="OUT_OF_ORDER_SEQUENCE_NUMBER", fatal=True)
    assert health.health().status is Status.DOWN
    assert health.health().details["error"] == "the sequence is lost"
    client.lost = None
    assert health.health().status is Status.UP


def test_health_stays_up_when_a_record_is_refused_for_its_own_sake():
    client = Client(at_once=True)
    client.error = PublishError("too large", code="MSG_SIZE_TOO_LARGE")
    producer = Producer(client)
    with pytest.raises(PublishError):
        producer.sync.publish("orders", {})
    assert ProducerHealth(producer).health().status is Status.UP
