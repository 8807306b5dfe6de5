"""Answering, on a Kafka in memory: where an answer goes, what it says, and that no header keeps a partition."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kafkaboot.client.memory import MemoryClients
from kafkaboot.client.memory.log import MemoryRecord
from kafkaboot.consumer import Again, Away, Failed, Halt, Settled
from kafkaboot.declare import PublisherSpec
from kafkaboot.errors import ClientError, PublishError
from kafkaboot.failure import Refusing
from kafkaboot.message import HANDLING, Worker, reply_to
from kafkaboot.producer import Answers, Binding, Producer, answering
from kafkaboot.producer.answers import Answered

OURS = [("kb-reply-topic", b"shop.replies"), ("kb-reply-partition", b"1"), ("kb-request-id", b"me-1")]
SPRINGS = [
    ("kafka_replyTopic", b"shop.replies"),
    ("kafka_replyPartition", b"\x00\x00\x00\x01"),
    ("kafka_correlationId", b"\x00\x9f\xff"),
]


def request(headers=OURS, value=b"{}"):
    return MemoryRecord("prices", 0, 7, value, b"k", headers, 0)


class Desk:
    def __init__(self, **options):
        self.clients = MemoryClients()
        self.kafka = self.clients.kafka
        for topic in ("prices", "quotes"):
            self.kafka.create(topic)
        self.kafka.create("shop.replies", 3)
        self.producer = Producer(self.clients.producer({}))
        bindings = [Binding(PublisherSpec(topic), self.producer) for topic in options.pop("publishers", ())]
        self.answers = Answers(self.producer, bindings, handler="quote", where="x.py:1", **options)
        self.told = []

    def forward(self, result, raw=None):
        self.answers.forward(Answered(raw or request(), result), lambda error, _: self.told.append(error))

    def replies(self):
        return list(self.kafka.records("shop.replies"))


@pytest.fixture
def desk():
    return Desk()


@pytest.mark.parametrize(
    ("headers", "echo"), [(OURS, ("kb-request-id", b"me-1")), (SPRINGS, ("kafka_correlationId", b"\x00\x9f\xff"))]
)
def test_an_answer_goes_where_the_request_says_in_either_dialect(desk, headers, echo):
    desk.forward({"amount": 1}, request(headers))
    (answer,) = desk.replies()
    assert (answer.partition(), answer.value(), answer.key()) == (1, b'{"amount":1}', None)
    assert echo in answer.headers()
    assert ("content-type", b"application/json") in answer.headers()
    assert (desk.told, desk.answers.answered) == ([None], 1)


def test_nothing_returned_is_an_answer_too(desk):
    desk.forward(None)
    assert [answer.value() for answer in desk.replies()] == [None]
    assert desk.told == [None]


def test_it_is_acknowledged_when_it_is_delivered_and_not_before(desk):
    desk.kafka.faults.hold_deliveries = True
    desk.forward("yes")
    assert desk.told == []
    desk.producer.outbox.port.serve(0)
    assert desk.told == [None]


def test_publishers_get_the_payload_as_well_and_all_of_it_acknowledges_the_request():
    desk = Desk(publishers=["quotes"])
    desk.kafka.faults.hold_deliveries = True
    desk.forward({"amount": 1})
    assert len(desk.kafka.records("quotes")) == len(desk.replies()) == 1
    assert desk.told == []
    desk.producer.outbox.port.serve(0)
    assert desk.told == [None]


def test_of_a_list_each_part_is_published_and_the_whole_is_the_answer():
    desk = Desk(publishers=["quotes"], many=True)
    desk.forward([{"a": 1}, {"a": 2}])
    assert len(desk.kafka.records("quotes")) == 2
    assert [answer.value() for answer in desk.replies()] == [b'[{"a":1},{"a":2}]']


def test_a_full_buffer_is_told_with_nothing_handed_over(desk):
    desk.kafka.faults.full = 1
    with pytest.raises(BufferError):
        desk.forward("yes")
    assert not desk.replies()
    desk.forward("yes")
    assert desk.told == [None]


def test_a_delivery_that_fails_for_the_brokers_sake_leaves_the_request_unsettled(desk):
    desk.kafka.faults.deliveries.append(ClientError("no leader", code="_MSG_TIMED_OUT", retriable=True))
    desk.forward("yes")
    (error,) = desk.told
    assert error is not None
    assert (desk.answers.answered, desk.answers.dropped) == (0, 0)


@pytest.mark.parametrize("code", ["UNKNOWN_TOPIC_OR_PART", "TOPIC_AUTHORIZATION_FAILED", "_UNKNOWN_PARTITION"])
def test_an_answer_that_nothing_would_deliver_is_dropped_and_its_request_is_settled(desk, caplog, code):
    retriable = code == "UNKNOWN_TOPIC_OR_PART"
    for _ in range(2):
        desk.kafka.faults.deliveries.append(ClientError("no such place", code=code, retriable=retriable))
        desk.forward("yes")
    assert (desk.told, desk.answers.dropped) == ([None, None], 2)
    assert caplog.text.count("the answer of handler quote (x.py:1) to prices[0]@7 is dropped") == 1


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("kb-request-id", b"me-1")],
        [("kb-reply-topic", b"__consumer_offsets")],
        [("kb-reply-topic", b"no topic")],
        [("kb-reply-topic", None)],
    ],
)
def test_a_request_that_names_no_place_is_handled_and_its_answer_dropped_with_a_warning_once(desk, caplog, headers):
    for _ in range(3):
        desk.forward("yes", request(headers))
    assert (desk.told, desk.answers.dropped) == ([None] * 3, 3)
    assert caplog.text.count("do not say where the answer is to go") == 1
    desk.answers.refuse(request(headers), ValueError("no"))
    assert not desk.replies()


@pytest.mark.parametrize(
    ("partition", "read"),
    [(b"7", 7), (b"", -1), (b"-3", -1), (b"x", -1), (None, -1), (b"\xd9\xa3", -1), (b"99999999999", -1)],
)
def test_a_partition_that_is_none_is_left_to_the_partitioner(partition, read):
    assert reply_to([*OURS[:1], ("kb-reply-partition", partition)]).partition == read


@pytest.mark.parametrize(("partition", "read"), [(b"\x00\x00\x00\x02", 2), (b"\xff\xff\xff\xff", -1), (b"2", -1)])
def test_springs_partition_is_an_int_of_four_bytes(partition, read):
    assert reply_to([*SPRINGS[:1], ("kafka_replyPartition", partition)]).partition == read


def test_answers_go_to_topics_that_are_allowed_and_to_no_other(caplog):
    desk = Desk(reply_topics=r"shop\..*")
    desk.forward("yes")
    desk.forward("no", request([("kb-reply-topic", b"quotes"), *OURS[1:]]))
    desk.answers.refuse(request([("kb-reply-topic", b"quotes")]), ValueError("no"))
    assert len(desk.replies()) == 1
    assert not desk.kafka.records("quotes")
    assert (desk.told, desk.answers.dropped) == ([None, None], 1)
    assert "none of kafkaboot.requests.reply-topics" in caplog.text


def test_an_id_of_any_length_is_not_echoed(desk):
    desk.forward("yes", request([*OURS[:2], ("kb-request-id", b"x" * 10_000_000)]))
    assert "kb-request-id" not in dict(desk.replies()[0].headers())


def test_an_answer_that_is_too_large_is_told_to_the_asker(desk):
    desk.forward("x" * 2_000_000)
    (answer,) = desk.replies()
    assert dict(answer.headers())["kb-reply-error"] == b"PublishError"
    assert b"too large" in dict(answer.headers())["kb-reply-message"]
    assert (desk.told, desk.answers.dropped, desk.answers.given_up) == ([None], 1, 1)


def test_an_answer_that_cannot_be_encoded_names_its_field(desk):
    with pytest.raises(PublishError, match=r"field 'a\[1\]' of dict cannot be encoded") as caught:
        desk.forward({"a": [1, object()]})
    assert caught.value.where == "x.py:1: the answer"
    assert not desk.replies()


@pytest.mark.parametrize(
    ("tell", "message", "frames"),
    [("kind", None, False), ("message", b"none left", False), ("traceback", b"none left", True)],
)
def test_of_an_exception_the_asker_is_told_as_much_as_is_configured(tell, message, frames):
    desk = Desk(tell=tell)
    try:
        raise LookupError("none left")
    except LookupError as error:
        desk.answers.refuse(request(), error)
    headers = dict(desk.replies()[0].headers())
    assert headers["kb-reply-error"] == b"LookupError"
    assert headers["kb-request-id"] == b"me-1"
    assert headers.get("kb-reply-message") == message
    assert (b"Traceback" in headers.get("kb-traceback", b"")) is frames


def test_ids_of_the_request_are_carried_on_to_both_kinds_of_answer(desk):
    raw = request([*OURS, ("ce_id", b"event-1"), ("kb-correlation-id", b"journey")])
    worker = Worker()
    worker.lane = SimpleNamespace(handled=lambda: raw)
    token = HANDLING.set(worker)
    try:
        desk.forward("yes", raw)
    finally:
        HANDLING.reset(token)
    desk.answers.refuse(raw, ValueError("no"))
    for answer in desk.replies():
        headers = dict(answer.headers())
        assert (headers["kb-correlation-id"], headers["kb-causation-id"]) == (b"journey", b"event-1")


def test_words_that_find_no_room_are_tried_again(desk):
    desk.kafka.faults.full = 3
    desk.answers.refuse(request(), ValueError("no"))
    from kafkaboot.testing import eventually

    eventually(lambda: desk.answers.given_up == 1, 10, "the asker is told")


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        (Again(1.0), 0),
        (Halt(), 0),
        (Settled("skipped"), 1),
        (Away(lambda settled, wanted: settled(), "retried_later", "it waits"), 0),
        (Away(lambda settled, wanted: settled(), "dead_lettered", "it goes"), 1),
    ],
)
def test_the_asker_is_told_when_the_record_is_given_up_and_only_then(verdict, told):
    class Policy:
        def judge(self, failed):
            return verdict

    refused, settled = [], []
    given = Refusing(Policy(), lambda record, error: refused.append((record, error))).judge(
        Failed(request(), ValueError("no"), 1, 0.0)
    )
    if isinstance(given, Away):
        assert not refused  # the letter is not written yet
        given.send(lambda: settled.append(len(refused)), lambda: True)
        assert settled == [told]
    assert len(refused) == told


async def test_the_call_keeps_the_request_beside_what_was_returned():
    raw = request()

    async def handler(given, attempt=1):
        return given.offset(), attempt

    assert await answering(handler, is_async=True)(raw, 2) == Answered(raw, (7, 2))
    assert answering(lambda given, attempt=1: attempt, is_async=False)(raw) == Answered(raw, 1)
