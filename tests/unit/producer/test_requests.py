"""Asking, on a Kafka in memory: who is answered, who is told what, and what is dropped."""

from __future__ import annotations

import asyncio
import threading

import pytest
from pydantic import BaseModel

from kafkaboot.client import TP
from kafkaboot.client.memory import MemoryClients
from kafkaboot.errors import (
    ClientError,
    DeclarationError,
    PublishError,
    RequestAbandonedError,
    RequestFailedError,
    RequestTimeoutError,
    UndecodableError,
    WiringError,
)
from kafkaboot.message import Record, reply_to
from kafkaboot.producer import Producer, Requests
from kafkaboot.testing import eventually_async

LONG = 20.0
SHORT = 0.05


class Price(BaseModel):
    amount: int


class Desk:
    """A cluster, one process that asks, and whoever answers by hand."""

    def __init__(self, *, partitions=3, **options):
        self.clients = MemoryClients()
        self.kafka = self.clients.kafka
        self.kafka.create("prices")
        self.kafka.create("shop.replies", partitions)
        self.readers = []
        reader = self.clients.reader
        self.clients.reader = lambda: self.readers.append(reader()) or self.readers[-1]
        self.requests = Requests(self.clients, "shop.replies", **options)
        self.producer = Producer(self.clients.producer({}), requests=self.requests)

    def asked(self):
        return list(self.kafka.records("prices"))

    async def request(self, number=0):
        """The request of that number, once it stands in its topic."""
        await eventually_async(lambda: len(self.asked()) > number, LONG, "the request is published")
        return self.asked()[number]

    def answer(self, request, payload, headers=(), echo=None):
        to = reply_to(request.headers())
        given = [*(to.echo if echo is None else echo), *headers]
        self.producer.send(to.topic, payload, headers=given, partition=to.partition)

    def close(self):
        self.producer.sync.close()
        self.requests.close()


@pytest.fixture
def desk():
    made = Desk()
    yield made
    made.close()


async def asked(desk, *, timeout=LONG, **options):
    task = asyncio.create_task(desk.producer.request("prices", {"sku": "a"}, timeout=timeout, **options))
    return task, await desk.request()


async def test_the_answer_comes_to_whoever_asked(desk):
    first, request = await asked(desk, reply_type=Price)
    second = asyncio.create_task(desk.producer.request("prices", {"sku": "b"}, timeout=LONG, reply_type=Price))
    desk.answer(await desk.request(1), Price(amount=2))
    desk.answer(request, Price(amount=1))
    assert (await first, await second) == (Price(amount=1), Price(amount=2))
    assert not desk.requests.pending


async def test_threads_ask_as_well(desk):
    answers = []
    thread = threading.Thread(
        target=lambda: answers.append(desk.producer.sync.request("prices", {}, timeout=LONG, reply_type=Price))
    )
    thread.start()
    desk.answer(await desk.request(), Price(amount=3))
    await asyncio.to_thread(thread.join)
    assert answers == [Price(amount=3)]


@pytest.mark.parametrize(
    ("payload", "wanted", "answer"),
    [
        ({"a": [1]}, None, {"a": [1]}),
        ("text", None, "text"),
        (b"raw", None, b"raw"),
        (None, None, None),
        (Price(amount=1), dict, {"amount": 1}),
        (Price(amount=1), bytes, b'{"amount":1}'),
    ],
)
async def test_an_answer_is_what_is_asked_for_or_what_its_content_type_says(desk, payload, wanted, answer):
    task, request = await asked(desk, reply_type=wanted)
    desk.answer(request, payload)
    assert await task == answer


async def test_a_whole_record_can_be_asked_for(desk):
    task, request = await asked(desk, reply_type=Record)
    desk.answer(request, Price(amount=1), [("origin", b"here")])
    answer = await task
    assert (answer.topic, answer.header("origin"), answer.value) == ("shop.replies", b"here", b'{"amount":1}')


async def test_an_answer_that_is_something_else_is_told_with_its_part(desk):
    task, request = await asked(desk, reply_type=Price)
    desk.answer(request, {"amount": "many"})
    with pytest.raises(UndecodableError, match="amount"):
        await task


async def test_the_place_of_answers_is_known_before_the_first_request_leaves():
    """An answer that is written at once, before the reader has ever polled, is not missed."""
    desk = Desk(partitions=1)
    for n in range(3):
        desk.producer.sync.publish("shop.replies", {"old": n})
    polled, go = [], threading.Event()

    class Slow:
        def __init__(self, reader):
            self.reader = reader
            self.begin, self.positions, self.close = reader.begin, reader.positions, reader.close

        def poll(self, limit, timeout):
            polled.append(1)
            go.wait(LONG)
            return self.reader.poll(limit, timeout)

    make = desk.clients.reader
    desk.clients.reader = lambda: Slow(make())
    try:
        task, request = await asked(desk, reply_type=Price)
        desk.answer(request, Price(amount=1))
        assert desk.readers[0].positions == {TP("shop.replies", 0): 3}
        go.set()
        assert await task == Price(amount=1)
    finally:
        go.set()
        desk.close()


async def test_nothing_is_made_while_nobody_asks(desk):
    await desk.producer.publish("prices", {"sku": "a"})
    assert not desk.readers
    assert not [one for one in threading.enumerate() if one.name == "kafkaboot-replies"]


async def test_without_an_answer_the_text_says_what_is_known_and_what_is_not(desk):
    with pytest.raises(RequestTimeoutError) as caught:
        await desk.producer.request("prices", {}, timeout=SHORT)
    error = caught.value
    text = str(error)
    assert isinstance(error, TimeoutError)
    assert text.startswith(f"prices (request {error.request_id}): no answer came within 0.05 s")
    assert "the request stands in prices[0]@0; whether it was handled is not known" in text
    assert "To do: see whether a handler with reply=True takes prices" in text
    assert not desk.requests.pending


async def test_a_late_answer_and_a_second_one_are_counted_and_dropped(desk):
    with pytest.raises(RequestTimeoutError):
        await desk.producer.request("prices", {}, timeout=SHORT)
    late = await desk.request()
    task = asyncio.create_task(desk.producer.request("prices", {}, timeout=LONG))
    request = await desk.request(1)
    desk.answer(late, "late")
    desk.answer(request, "first")
    desk.answer(request, "second")
    assert await task == "first"
    await eventually_async(lambda: desk.requests.late == 2, LONG, "both are counted")


async def test_answers_to_others_who_share_the_partition_are_no_business_of_ours():
    desk = Desk(partitions=1)
    try:
        task, request = await asked(desk)
        desk.answer(request, "theirs", echo=[("kb-request-id", b"another-process-1")])
        desk.answer(request, "no id", echo=[])
        desk.answer(request, "ours")
        assert await task == "ours"
        assert desk.requests.late == 0
    finally:
        desk.close()


async def test_a_request_that_was_given_up_raises_what_the_other_side_says(desk):
    task, request = await asked(desk)
    desk.answer(request, None, [("kb-reply-error", b"OutOfStock"), ("kb-reply-message", b"none left")])
    with pytest.raises(RequestFailedError, match="given up: OutOfStock: none left") as caught:
        await task
    assert (caught.value.kind, caught.value.text, caught.value.topic) == ("OutOfStock", "none left", "prices")


async def test_what_the_other_side_says_stays_on_its_line_and_is_cut(desk):
    task, request = await asked(desk)
    text = "a\n" + "b" * 10_000 + "\x1b[31m"
    desk.answer(request, None, [("kb-reply-error", b"Bad"), ("kb-reply-message", text.encode())])
    with pytest.raises(RequestFailedError) as caught:
        await task
    assert caught.value.text == text
    assert "\n" not in caught.value.what
    assert "\x1b" not in caught.value.what
    assert len(caught.value.what) < 3000


async def test_a_request_that_is_abandoned_before_its_place_is_known_is_not_sent():
    begun, go = threading.Event(), threading.Event()

    def see_to():
        begun.set()
        go.wait(LONG)

    desk = Desk(see_to=see_to)
    task = asyncio.create_task(desk.producer.request("prices", {}, timeout=LONG))
    await asyncio.to_thread(begun.wait, LONG)
    closing = asyncio.create_task(asyncio.to_thread(desk.requests.close))
    with pytest.raises(RequestAbandonedError):
        await task
    go.set()
    await closing
    assert not desk.asked()


async def test_a_request_that_is_not_delivered_fails_at_once(desk):
    await asyncio.to_thread(desk.requests.open)
    desk.kafka.faults.deliveries.append(ClientError("no leader", code="_MSG_TIMED_OUT", retriable=True))
    with pytest.raises(PublishError, match="no leader"):
        await desk.producer.request("prices", {}, timeout=LONG)
    assert not desk.requests.pending


async def test_what_cannot_be_decoded_into_is_told_before_anything_is_sent(desk):
    with pytest.raises(DeclarationError):
        await desk.producer.request("prices", {}, timeout=LONG, reply_type=threading.Thread)
    with pytest.raises(ValueError, match="longer than nothing"):
        await desk.producer.request("prices", {}, timeout=0)
    assert not desk.asked()


async def test_pending_requests_end_when_the_application_stops(desk):
    task, _ = await asked(desk)
    waiting = []

    def ask():
        try:
            desk.producer.sync.request("prices", {}, timeout=LONG)
        except RequestAbandonedError as error:
            waiting.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    await desk.request(1)
    await asyncio.to_thread(desk.requests.close)
    with pytest.raises(RequestAbandonedError, match="the application stops"):
        await task
    await asyncio.to_thread(thread.join)
    assert len(waiting) == 1
    with pytest.raises(RequestAbandonedError):
        await desk.producer.request("prices", {}, timeout=LONG)
    assert not [one for one in threading.enumerate() if one.name == "kafkaboot-replies"]


async def test_a_reply_topic_that_is_missing_is_told_and_looked_for_again_by_the_next_request(desk):
    desk.kafka.topics.pop("shop.replies")
    with pytest.raises(ClientError, match=r"'shop.replies', where answers are to go, does not exist") as caught:
        await desk.producer.request("prices", {}, timeout=LONG)
    assert "kafkaboot.kafka.topics" in caught.value.todo
    assert not desk.asked()
    desk.kafka.create("shop.replies")
    task, request = await asked(desk)
    desk.answer(request, "now")
    assert await task == "now"


async def test_a_reader_that_fails_for_a_while_misses_nothing(desk, caplog):
    await asyncio.to_thread(desk.requests.open)
    reader, polls = desk.readers[0], []
    poll = reader.poll

    def failing(limit, timeout):
        polls.append(1)
        if len(polls) < 3:
            raise ClientError("not now", retriable=True)
        return poll(limit, timeout)

    reader.poll = failing
    task, request = await asked(desk)
    desk.answer(request, "there")
    assert await task == "there"
    assert caplog.text.count("answers cannot be read from shop.replies") == 1


async def test_in_springs_dialect_a_request_carries_springs_headers_in_their_binary_forms():
    desk = Desk(dialect="spring")
    try:
        task, request = await asked(desk)
        headers = dict(request.headers())
        assert headers["kafka_replyTopic"] == b"shop.replies"
        assert len(headers["kafka_replyPartition"]) == 4
        assert int.from_bytes(headers["kafka_replyPartition"], "big") == reply_to(request.headers()).partition
        assert not [name for name in headers if name.startswith("kb-re")]
        desk.answer(request, "from Java", echo=[("kafka_correlationId", headers["kafka_correlationId"])])
        assert await task == "from Java"
    finally:
        desk.close()


async def test_a_producer_without_requests_says_so(desk):
    with pytest.raises(WiringError, match="made without requests"):
        await Producer(desk.clients.producer({})).request("prices", {})
