"""Clients that were told that there are no brokers: the last one of a cluster says so while it stops."""

import pytest
from confluent_kafka import Producer

from kafkaboot.client import TP, Committed
from kafkaboot.client.confluent import comeback
from kafkaboot.client.confluent.admin import ConfluentAdmin
from kafkaboot.client.confluent.comeback import Comeback
from kafkaboot.client.confluent.consumer import ConfluentConsumer
from kafkaboot.client.confluent.producer import ConfluentProducer
from kafkaboot.client.confluent.reader import TopicReader
from kafkaboot.client.confluent.transactional import ConfluentTransactional
from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.errors import ClientError
from kafkaboot.testing import eventually

SOON = 30
"""Seconds that are plenty."""


@pytest.fixture(scope="module")
def broker():
    with EmbeddedKafka() as started:
        yield started


@pytest.fixture(params=["none", "rebootstrap"])
def properties(broker, request):
    return {"bootstrap.servers": broker.bootstrap_servers, "metadata.recovery.strategy": request.param, "log_level": 0}


def forget(broker, client):
    """Let the client of confluent-kafka forget its brokers."""
    broker.fail("metadata", error="BROKER_NOT_AVAILABLE", times=None)
    assert client.list_topics(timeout=10).brokers == {}
    broker.clear_faults()


def producer(kind, properties):
    if kind is ConfluentProducer:
        return ConfluentProducer(properties)
    made = ConfluentTransactional({**properties, "transactional.id": "t-0", "transaction.timeout.ms": 60_000})
    made.prepare(SOON)
    made.begin()
    return made


def produced(client, topic, value, errors):
    client.produce(topic, value, None, None, -1, lambda error, _: errors.append(error))


def test_control_nothing_brings_librdkafka_back_and_what_waits_is_written_as_soon_as_it_is(broker, monkeypatch):
    monkeypatch.setattr(Comeback, "look", lambda *_: None)
    properties = {"bootstrap.servers": broker.bootstrap_servers, "metadata.recovery.strategy": "none", "log_level": 0}
    client, errors = ConfluentProducer(properties), []
    produced(client, "control", b"1", errors)
    assert client.flush(SOON) == 0
    forget(broker, client._producer)
    produced(client, "control", b"2", errors)
    assert client.flush(4) == 1
    monkeypatch.undo()
    assert client.flush(SOON) == 0
    assert errors == [None, None]
    client.close(5)


@pytest.mark.parametrize("kind", [ConfluentProducer, ConfluentTransactional])
def test_a_producer_writes_what_it_was_given_before_and_after(broker, properties, kind):
    topic, errors = f"written-{kind.__name__}-{properties['metadata.recovery.strategy']}", []
    client = producer(kind, properties)
    produced(client, topic, b"1", errors)
    assert client.flush(SOON) == 0
    forget(broker, client._producer)
    produced(client, topic, b"2", errors)
    if kind is ConfluentTransactional:
        client.commit(SOON)
    assert client.flush(SOON) == 0
    assert errors == [None, None]
    client.close(5)


def test_a_transaction_is_committed_though_its_client_forgets_its_brokers_in_front_of_it(broker, properties):
    topic, errors = f"committed-{properties['metadata.recovery.strategy']}", []
    client = producer(ConfluentTransactional, properties)
    produced(client, topic, b"1", errors)
    assert client.flush(SOON) == 0
    forget(broker, client._producer)
    client.commit(SOON)
    client.begin()
    produced(client, topic, b"2", errors)
    client.commit(SOON)
    assert errors == [None, None]
    client.close(5)


class Listener:
    """Reads from the beginning; notes that partitions went."""

    def __init__(self):
        self.went = []

    def assigned(self, partitions):
        return dict.fromkeys(partitions, 0)

    def revoked(self, partitions):
        self.went += partitions

    lost = revoked


def test_a_member_of_a_group_reads_on_and_keeps_its_partitions(broker, properties):
    topic = f"read-{properties['metadata.recovery.strategy']}"
    broker.create_topic(topic, 1)
    writer, listener, values, errors, heard = ConfluentProducer(properties), Listener(), [], [], set()
    own = {"group.id": topic, "enable.auto.commit": False, "partition.assignment.strategy": "cooperative-sticky"}
    member = ConfluentConsumer(properties | own)
    member.subscribe([topic], listener)

    def read():
        try:
            values.extend(record.value() for record in member.poll_chunk(100, 0.05))
        except ClientError as error:
            heard.add(error.code)
        return len(values)

    produced(writer, topic, b"1", [])
    eventually(lambda: read() == 1, SOON)
    forget(broker, member._consumer)
    produced(writer, topic, b"2", [])
    eventually(lambda: read() == 2, SOON)
    member.commit({TP(topic, 0): Committed(2, "")}, errors.append)
    eventually(lambda: read() and errors, SOON)
    assert (values, errors, listener.went) == ([b"1", b"2"], [None], [])
    assert heard <= {"_ALL_BROKERS_DOWN"}
    member.close(10)
    writer.close(5)


def test_a_reader_reads_on(broker, properties):
    topic = f"seen-{properties['metadata.recovery.strategy']}"
    broker.create_topic(topic, 1)
    writer, values = ConfluentProducer(properties), []
    reader = TopicReader(properties)
    reader.begin({TP(topic, 0): 0})

    def read():
        values.extend(record.value() for record in reader.poll(100, 0.05))
        return len(values)

    produced(writer, topic, b"1", [])
    eventually(lambda: read() == 1, SOON)
    forget(broker, reader._consumer)
    produced(writer, topic, b"2", [])
    eventually(lambda: read() == 2, SOON)
    reader.close()
    writer.close(5)


def test_an_admin_asks_again(broker, properties):
    topic = f"known-{properties['metadata.recovery.strategy']}"
    broker.create_topic(topic, 1)
    admin = ConfluentAdmin(properties)

    def answers(call):
        try:
            call()
        except ClientError:
            return False
        return True

    def committed():
        return admin.group_offsets("a group", 1, [TP(topic, 0)])

    assert topic in admin.topics(SOON)
    assert committed() == {}
    forget(broker, admin._client)
    forget(broker, admin._onlooker._consumer("a group")[0])
    eventually(lambda: answers(lambda: admin.topics(1)), SOON)
    eventually(lambda: answers(committed), SOON)
    admin.close()


def test_it_asks_only_where_no_controller_is_known_and_ever_more_seldom(monkeypatch):
    now, controller, answers, asked, told = 100.0, 1, False, [], []

    class Library:
        def rd_kafka_controllerid(self, *_):
            return controller

        def rd_kafka_brokers_add(self, _, servers):
            told.append(servers)

    monkeypatch.setattr(comeback, "monotonic", lambda: now)
    monkeypatch.setattr(comeback, "_answered", lambda _: asked.append(now) or answers)
    monkeypatch.setattr(comeback.librdkafka, "symbols", Library)
    client = Producer({"bootstrap.servers": "127.0.0.1:1", "log_level": 0})
    one = Comeback({"bootstrap.servers": "127.0.0.1:1"})

    def looked(seconds):
        nonlocal now
        asked.clear()
        begin = now
        while now < begin + seconds:
            now += 0.25
            one.look(client)
        return [at - begin for at in asked]

    assert looked(100) == []
    controller = -1
    assert looked(99) == [1, 2, 4, 8, 16, 32, 62, 92]
    assert told == [b"127.0.0.1:1"] * 8
    answers = True
    assert looked(99) == [23, 53, 83], "a cluster that names no controller"
    controller = 1
    assert looked(99) == []
    controller, answers = -1, False
    assert looked(7) == [1, 2, 4]
    controller = 1
    assert looked(1.25) == []
    controller = -1
    assert looked(3)[0] <= 1, "one that was known in between is told anew without delay"
