"""Faults that a test orders from the embedded broker."""

from __future__ import annotations

import time
from importlib import import_module

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from kafkaboot.dev import BrokerStartError
from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.dev.embedded.faults import Fault, _mirrored, topics_in
from kafkaboot.dev.embedded.node import all_apis


@pytest.fixture(scope="module")
def started():
    with EmbeddedKafka() as broker:
        yield broker


@pytest.fixture
def broker(started):
    yield started
    started.clear_faults()


def producer(broker, **settings):
    return Producer(
        {"bootstrap.servers": broker.bootstrap_servers, "retry.backoff.ms": 10, "reconnect.backoff.ms": 10, **settings}
    )


def sent(made, topic, *values):
    """The errors of what was sent, `None` for what arrived."""
    told = []
    for value in values:
        made.produce(topic, value, partition=0, on_delivery=lambda error, _: told.append(error and error.name()))
    assert made.flush(15) == 0
    return told


def values(broker, topic):
    consumer = Consumer(
        {"bootstrap.servers": broker.bootstrap_servers, "group.id": "none", "enable.auto.commit": False}
    )
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), 10)
        found = []
        while len(found) < end:
            message = consumer.poll(10)
            assert message is not None
            assert message.error() is None
            found.append(message.value())
        return found
    finally:
        consumer.close()


def test_a_produce_that_fails_three_times_is_tried_again_and_arrives_once(broker):
    broker.create_topic("thrice", 1)
    broker.fail("produce", error="NOT_LEADER_OR_FOLLOWER", times=3, topic="thrice")
    assert broker.faults_left() == 1
    assert sent(producer(broker), "thrice", b"a") == [None]
    assert broker.faults_left() == 0
    assert values(broker, "thrice") == [b"a"]


def test_a_produce_fails_for_good_with_an_error_that_is_not_worth_another_try_and_nothing_is_stored(broker):
    broker.create_topic("refused", 1)
    broker.fail("produce", error="INVALID_RECORD")
    made = producer(broker)
    assert sent(made, "refused", b"a") == ["INVALID_RECORD"]
    assert sent(made, "refused", b"b") == [None]
    assert values(broker, "refused") == [b"b"]


def test_an_error_for_one_topic_spares_the_others_of_the_same_request(broker):
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    broker.fail("create_topics", error="POLICY_VIOLATION", topic="unwanted")
    made = admin.create_topics([NewTopic("wanted", 2, 1), NewTopic("unwanted", 1, 1)])
    assert made["wanted"].result(10) is None
    with pytest.raises(KafkaException) as caught:
        made["unwanted"].result(10)
    assert caught.value.args[0].name() == "POLICY_VIOLATION"
    known = admin.list_topics(timeout=10).topics
    assert len(known["wanted"].partitions) == 2
    assert "unwanted" not in known


def test_a_fault_for_one_client_does_not_meet_another(broker):
    broker.create_topic("whose", 1)
    broker.fail("produce", error="INVALID_RECORD", times=None, client_id="unlucky")
    assert sent(producer(broker, **{"client.id": "lucky"}), "whose", b"a") == [None]
    assert sent(producer(broker, **{"client.id": "unlucky"}), "whose", b"b") == ["INVALID_RECORD"]


def test_a_fault_without_end_ends_when_the_faults_are_cleared(broker):
    broker.create_topic("endless", 1)
    broker.fail("produce", error="INVALID_RECORD", times=None)
    made = producer(broker)
    assert sent(made, "endless", b"a", b"b") == ["INVALID_RECORD"] * 2
    assert broker.faults_left() == 1
    broker.clear_faults()
    assert sent(made, "endless", b"c") == [None]


def test_a_delayed_request_is_answered_later_and_done(broker):
    broker.create_topic("late", 1)
    made = producer(broker)
    assert sent(made, "late", b"warm") == [None]
    broker.delay("produce", 0.4)
    began = time.monotonic()
    assert sent(made, "late", b"a") == [None]
    assert time.monotonic() - began >= 0.4
    assert values(broker, "late") == [b"warm", b"a"]


def test_a_dropped_request_is_not_done_and_its_connection_is_cut(broker):
    broker.create_topic("cut", 1)
    broker.drop("produce")
    assert sent(producer(broker), "cut", b"a") == [None]
    assert broker.faults_left() == 0
    assert values(broker, "cut") == [b"a"]


@pytest.mark.parametrize(("idempotent", "stored"), [(True, [b"a"]), (False, [b"a", b"a"])])
def test_a_lost_answer_makes_a_duplicate_unless_the_producer_is_idempotent(broker, idempotent, stored):
    topic = f"lost-answer-{idempotent}"
    broker.create_topic(topic, 1)
    made = producer(broker, **{"enable.idempotence": idempotent})
    broker.drop("produce", applied=True, topic=topic)
    assert sent(made, topic, b"a") == [None]
    assert broker.faults_left() == 0
    assert values(broker, topic) == stored


def test_a_commit_fails_as_often_as_ordered(broker):
    broker.create_topic("committed", 1)
    broker.fail("offset_commit", error="COORDINATOR_LOAD_IN_PROGRESS", topic="committed")
    broker.fail("offset_commit", error="GROUP_AUTHORIZATION_FAILED", topic="committed")
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "commits"})
    offset = TopicPartition("committed", 0, 0)
    try:
        told = []
        while broker.faults_left():
            try:
                consumer.commit(offsets=[offset], asynchronous=False)
            except KafkaException as error:
                told.append(error.args[0].name())
        assert told[-1] == "GROUP_AUTHORIZATION_FAILED"
        assert consumer.commit(offsets=[offset], asynchronous=False)[0].error is None
    finally:
        consumer.close()


def test_metadata_can_fail_for_one_topic(broker):
    broker.create_topic("hidden", 1)
    broker.create_topic("shown", 1)
    broker.fail("metadata", error="TOPIC_AUTHORIZATION_FAILED", times=None, topic="hidden")
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    assert admin.list_topics("hidden", timeout=10).topics["hidden"].error.name() == "TOPIC_AUTHORIZATION_FAILED"
    assert admin.list_topics("shown", timeout=10).topics["shown"].error is None


def test_unknown_requests_and_errors_are_refused_when_they_are_ordered(broker):
    with pytest.raises(BrokerStartError, match="no request 'brew'"):
        broker.drop("brew")
    with pytest.raises(BrokerStartError, match="no error 'TEAPOT'"):
        broker.fail("produce", error="TEAPOT")
    assert broker.faults_left() == 0


@pytest.mark.parametrize("api", all_apis().values(), ids=lambda api: api.name)
def test_every_request_can_be_answered_with_an_error_that_its_client_can_read(api):
    from kafkaboot.dev.embedded.wire import codec

    fault = Fault(api.name, error="not_coordinator")
    for version in range(api.oldest, api.newest + 1):
        known = codec(api.name, version)
        request = _sample(api.name, version)
        camel = "".join(part.title() for part in api.name.split("_"))
        answer = _mirrored(getattr(known.response, f"{camel}Response"), request, fault.code)
        assert "not_coordinator" in repr(answer)
        assert len(known.write(7, answer)) > 8
        assert set(topics_in(request)) <= {"x", None}


def _sample(name, version):
    """A request with one element in each list."""
    from dataclasses import fields, is_dataclass
    from datetime import UTC, datetime, timedelta
    from types import UnionType
    from typing import get_args, get_origin
    from uuid import UUID

    def value(type_, kind):
        if get_origin(type_) is UnionType:
            type_ = next(one for one in get_args(type_) if one is not type(None))
        if get_origin(type_) is tuple:
            return (value(get_args(type_)[0], kind),)
        if is_dataclass(type_):
            return type_(**{one.name: value(one.type, one.metadata.get("kafka_type")) for one in fields(type_)})
        if kind == "string":
            return "x"
        if kind in {"bytes", "records"}:
            return b"y"
        if kind == "bool":
            return True
        if kind == "uuid":
            return UUID(int=7)
        if kind.startswith("timedelta"):
            return timedelta(milliseconds=5)
        return datetime.now(UTC) if kind.startswith("datetime") else 1

    camel = "".join(part.title() for part in name.split("_"))
    return value(getattr(import_module(f"kio.schema.{name}.v{version}.request"), f"{camel}Request"), None)
