"""Dead letters on brokers: what is checked before the first record, and what the writer does when it is refused."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from kafkaboot.boot import analysis
from kafkaboot.boot.application import Application
from kafkaboot.boot.facts import Narrator
from kafkaboot.client import TP, TopicSpec
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.memory import MemoryRecord
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.consumer import Backoff, Failed
from kafkaboot.dev.broker import NotInstalledError
from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.dev.local import LocalKafka
from kafkaboot.failure import DeadLetters, DeadLetterSettings, LetterTopics, read
from kafkaboot.health import Status
from kafkaboot.testing import eventually

AUTHORIZER = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}
HANDLERS = """
from kafkaboot import event_handler, on_dead_letter, Letter

@event_handler("{topic}", id="bill")
async def bill(order: dict) -> None: ...
"""


@pytest.fixture(scope="module")
def kafka():
    """A real Kafka that asks for permission where there is an ACL."""
    broker = LocalKafka(heap="512m", properties=AUTHORIZER)
    try:
        broker.start()
    except NotInstalledError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI must test against a real Kafka: {error}")
        pytest.skip(f"no real Kafka on this machine: {error}")
    with broker:
        yield broker


@pytest.fixture(scope="module")
def embedded():
    with EmbeddedKafka() as broker:
        yield broker


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.real_kafka)])
def broker(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def clients(broker):
    return ConfluentClients(KafkaSettings(), bootstrap_servers=broker.bootstrap_servers)


@pytest.fixture
def topic(request, clients):
    """A topic of this test's own, and a way to make others."""
    admin = clients.admin()
    name = f"dl-{abs(hash(request.node.nodeid)):x}"
    admin.create_topics([TopicSpec(name, 3, 1)], 30)

    def more(suffix, partitions, **config):
        admin.create_topics([TopicSpec(name + suffix, partitions, 1, config)], 30)
        return name + suffix

    more.name = name
    yield more
    admin.close()


@contextmanager
def only_reading(broker, name):
    """Everybody may read and describe the topic, so that nobody may do anything else."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    rules = [
        AclBinding(
            ResourceType.TOPIC, name, ResourcePatternType.LITERAL, "User:ANONYMOUS", "*", each, AclPermissionType.ALLOW
        )
        for each in (AclOperation.READ, AclOperation.DESCRIBE)
    ]
    for future in admin.create_acls(rules).values():
        future.result(20)
    try:
        yield
    finally:
        every = AclBindingFilter(
            ResourceType.TOPIC, name, ResourcePatternType.LITERAL, None, None, AclOperation.ANY, AclPermissionType.ANY
        )
        for future in admin.delete_acls([every]).values():
            future.result(20)


class Heard(Narrator):
    def failed(self, found, error):
        self.found = found


def start_of(broker, tmp_path, topic, **settings):
    """Wire an application for the topic and look at its topics, as its start does."""
    name = topic.replace("-", "_")
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(HANDLERS.format(topic=topic))
    overrides = [
        f"kafkaboot.application.name={name}",
        f"kafkaboot.application.packages={name}",
        f"kafkaboot.kafka.bootstrap-servers={broker.bootstrap_servers}",
        *(f"{key}={value}" for key, value in settings.items()),
    ]
    heard = Heard()
    return (
        Application(directory=tmp_path, environ={}, overrides=overrides, narrator=heard),
        heard,
        f"{topic}.{name}.dlt",
    )


async def test_the_topic_is_made_like_its_source_though_the_broker_is_not_of_the_desk(broker, clients, topic, tmp_path):
    application, _, letters = start_of(broker, tmp_path, topic.name)
    ready = await application.start()
    await application.stop()
    assert ready.created_topics == [letters]
    admin = clients.admin()
    assert admin.topics(10)[letters].partitions == 3
    assert "WRITE" in admin.permissions([letters], 10)[letters]
    admin.close()


def test_too_few_partitions_end_the_start_with_both_numbers(broker, clients, topic, tmp_path):
    application, heard, letters = start_of(broker, tmp_path, topic.name)
    topic(letters.removeprefix(topic.name), 2)
    assert application.run() == analysis.FAILED
    assert f"{letters!r} has 2 partitions and {topic.name!r} has 3" in heard.found.happened
    assert "__init__.py:4" in heard.found.happened
    assert "--alter --partitions" in heard.found.todo


@pytest.mark.real_kafka
def test_a_topic_that_may_not_be_written_to_ends_the_start(kafka, tmp_path):
    clients = ConfluentClients(KafkaSettings(), bootstrap_servers=kafka.bootstrap_servers)
    admin = clients.admin()
    application, heard, letters = start_of(kafka, tmp_path, "dl-closed")
    admin.create_topics([TopicSpec("dl-closed", 1, 1), TopicSpec(letters, 1, 1)], 30)
    with only_reading(kafka, letters):
        eventually(lambda: "WRITE" not in admin.permissions([letters], 10)[letters])
        assert application.run() == analysis.FAILED
    assert f"{letters!r} may not be written to (this application's user may: DESCRIBE, READ)" in heard.found.happened
    assert "handler bill writes its dead letters to it" in heard.found.happened
    assert "--operation Write" in heard.found.todo
    admin.close()


# --- the writer


def failed(topic, offset, *, value=b"\x00\xff", error="no total", headers=None):
    try:
        raise ValueError(error)
    except ValueError as caught:
        record = MemoryRecord(topic, 1, offset, value, b"k\xfe", headers, 1_600_000_000_000)
        return Failed(record, caught, 2, 1_700_000_000.0)


class Desk:
    def __init__(self, clients, **settings):
        self.writer = DeadLetters(
            clients,
            DeadLetterSettings.model_validate(settings),
            topics=LetterTopics(clients, {}),
            backoff=Backoff(0.05, 0.5),
        )
        self.settled = Counter()

    def send(self, one):
        offset = one.record.offset()
        self.writer.away(one, "bill", "shop").send(lambda: self.settled.update([offset]), lambda: True)


def letters_in(clients, topic):
    admin = clients.admin()
    end = admin.end_offsets([TP(topic, 1)], 10)[TP(topic, 1)]
    admin.close()
    consumer = Consumer({"bootstrap.servers": clients.bootstrap_servers, "group.id": "x", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, 1, 0)])
    found = []
    while len(found) < end:
        found += [one for one in consumer.consume(100, 1.0) if one.error() is None]
    consumer.close()
    return found


@pytest.mark.parametrize("dialect", ["kafkaboot", "spring"])
def test_bytes_and_headers_arrive_as_they_were(broker, clients, topic, dialect):
    desk = Desk(clients, dialect=dialect)
    own = [("trace", b"\x00\xff"), ("trace", None), ("ünï", b"")]
    desk.send(failed(topic.name, 5, headers=own))
    desk.send(failed(topic.name, 6, value=None))
    assert desk.writer.close(30) == 0
    first, second = letters_in(clients, f"{topic.name}.shop.dlt")
    assert (first.key(), first.value(), first.headers()[:3]) == (b"k\xfe", b"\x00\xff", own)
    assert second.value() is None
    letter = read(first)
    assert (str(letter.original), letter.dialect, letter.attempts) == (f"{topic.name}[1]@5", dialect, 2)
    assert letter.original_headers() == own
    assert not letter.doubts
    assert desk.settled == {5: 1, 6: 1}


def test_the_one_that_is_too_large_loses_its_traceback_and_its_neighbours_keep_theirs(broker, clients, topic):
    dlt = topic(".shop.dlt", 3, **{"max.message.bytes": "9000"})
    desk = Desk(clients)
    large = b"v" * 8000
    for offset in range(20):
        desk.send(failed(topic.name, offset))
    desk.send(failed(topic.name, 20, value=large, error="x" * 600))
    for offset in range(21, 40):
        desk.send(failed(topic.name, offset))
    eventually(lambda: len(desk.settled) == 40, deadline=30)
    assert desk.writer.close(30) == 0
    found = {one.original.offset: one for one in map(read, letters_in(clients, dlt))}
    assert desk.settled == dict.fromkeys(range(40), 1)
    assert not found[20].traceback
    assert found[20].value == large
    assert all(found[offset].traceback for offset in range(40) if offset != 20)


@pytest.mark.real_kafka
def test_while_the_topic_may_not_be_written_to_nothing_is_settled_and_afterwards_all_is_written_once(kafka, caplog):
    clients = ConfluentClients(KafkaSettings(), bootstrap_servers=kafka.bootstrap_servers)
    admin = clients.admin()
    admin.create_topics([TopicSpec("dl-while", 3, 1), TopicSpec("dl-while.shop.dlt", 3, 1)], 30)
    desk = Desk(clients)
    desk.send(failed("dl-while", 0))
    eventually(lambda: desk.settled, deadline=30)
    with only_reading(kafka, "dl-while.shop.dlt"):
        eventually(lambda: "WRITE" not in admin.permissions(["dl-while.shop.dlt"], 10)["dl-while.shop.dlt"])
        for offset in range(1, 50):
            desk.send(failed("dl-while", offset))
        eventually(lambda: desk.writer.failing == 49, deadline=30)
        assert desk.writer.health().status is Status.DOWN
        assert set(desk.settled) == {0}
    eventually(lambda: len(desk.settled) == 50, deadline=30)
    assert desk.writer.close(30) == 0
    assert desk.settled == dict.fromkeys(range(50), 1)
    written = Counter(read(one).original.offset for one in letters_in(clients, "dl-while.shop.dlt"))
    assert written == dict.fromkeys(range(50), 1)
    alarms = [one.getMessage() for one in caplog.records if "cannot be written to" in one.getMessage()]
    assert len(alarms) == 1
    assert "TOPIC_AUTHORIZATION_FAILED" in alarms[0]
    admin.close()
