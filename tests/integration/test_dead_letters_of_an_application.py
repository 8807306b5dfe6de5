"""A whole application: poison goes to the dead letters byte for byte, and the offset waits for them."""

from __future__ import annotations

import sys

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from kafkaboot.boot.application import Application
from kafkaboot.client import TP, TopicSpec
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.failure import DeadLetters, read
from kafkaboot.health import Status
from kafkaboot.testing import eventually_async

PARTITIONS, RECORDS = 3, 300
HANDLERS = """
from kafkaboot import DeadLetter, Letter, component, event_handler, on_dead_letter

SEEN, TOLD, HEARD = [], [], []

@component
class Hears:
    def on_dead_letter(self, handler, where, error, letter):
        HEARD.append((handler, where, type(error).__name__, letter))

@event_handler("{topic}", id="bill", retry=False)
async def bill(order: dict) -> None:
    if order["n"] % 10 == 3:
        raise ValueError(f"order {{order['n']}} has no total")
    if order["n"] % 10 == 6:
        raise DeadLetter("a fraud")
    SEEN.append(order["n"])

@on_dead_letter
def tell(letter: Letter, hears: Hears) -> None:
    TOLD.append(letter)

@on_dead_letter
async def breaks(letter: Letter) -> None:
    raise RuntimeError("the mail server is down")
"""


@pytest.fixture(scope="module")
def embedded():
    with EmbeddedKafka() as broker:
        yield broker


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.real_kafka)])
def broker(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def world(broker, tmp_path):
    """The application, its topic filled with records of which three of ten are poison, and that poison."""
    clients = ConfluentClients(KafkaSettings(), bootstrap_servers=broker.bootstrap_servers)
    admin = clients.admin()
    topic = f"poisoned-{tmp_path.name}"
    admin.create_topics([TopicSpec(topic, PARTITIONS, 1)], 30)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    poison = {}
    for n in range(RECORDS):
        value = b"\xff\xfe{" + str(n).encode() if n % 10 == 9 else b'{"n": %d}' % n
        headers = [("trace", str(n).encode()), ("trace", None)]
        producer.produce(topic, value, key=b"\x00k%d" % n, partition=n % PARTITIONS, headers=headers)
        if n % 10 in {3, 6, 9}:
            poison[n % PARTITIONS, n // PARTITIONS] = (b"\x00k%d" % n, value, headers)
    assert producer.flush(30) == 0
    name = topic.replace("-", "_")
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(HANDLERS.format(topic=topic))
    application = Application(
        directory=tmp_path,
        environ={},
        overrides=[
            f"kafkaboot.application.name={name}",
            f"kafkaboot.application.packages={name}",
            f"kafkaboot.kafka.bootstrap-servers={broker.bootstrap_servers}",
            "kafkaboot.consumer.drain-timeout=2s",
        ],
    )
    yield application, clients, admin, topic, name, poison
    admin.close()
    sys.modules.pop(name, None)


def letters_in(clients, topic, ends):
    consumer = Consumer({"bootstrap.servers": clients.bootstrap_servers, "group.id": "x", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    found = []
    while len(found) < sum(ends.values()):
        found += [one for one in consumer.consume(100, 1.0) if one.error() is None]
    consumer.close()
    return found


def committed(admin, group):
    return {tp.partition: at.offset for tp, at in admin.group_offsets(group, 10).items()}


async def test_the_letters_are_exactly_the_poison_and_everybody_is_told(world):
    application, clients, admin, topic, name, poison = world
    await application.start()
    module = sys.modules[name]
    dlt = f"{topic}.{name}.dlt"
    await eventually_async(lambda: len(module.TOLD) == len(poison), 40)
    await application.stop()

    ends = admin.end_offsets([TP(dlt, partition) for partition in range(PARTITIONS)], 10)
    found = letters_in(clients, dlt, ends)
    letters = [read(record) for record in found]
    written = {
        (letter.original.partition, letter.original.offset): (letter.key, letter.value, letter.original_headers())
        for letter in letters
    }
    assert written == poison
    assert len(found) == len(poison)
    assert all(letter.partition == letter.original.partition for letter in letters)
    assert len({letter.fingerprint for letter in letters}) == 3
    assert {letter.exception for letter in letters} == {
        "builtins.ValueError",
        "kafkaboot.errors.DeadLetter",
        "kafkaboot.errors.UndecodableError",
    }
    assert sorted(module.SEEN) == [n for n in range(RECORDS) if n % 10 not in {3, 6, 9}]
    assert committed(admin, name) == dict.fromkeys(range(PARTITIONS), RECORDS // PARTITIONS)
    assert {letter.where for letter in module.TOLD} == {letter.where for letter in letters}
    assert {heard[3] for heard in module.HEARD} == {letter.where for letter in letters}


async def test_no_offset_passes_a_record_whose_letter_is_not_written(world):
    application, _, admin, topic, name, poison = world
    dlt = f"{topic}.{name}.dlt"
    # Smaller than any letter may be: the topic refuses every one of them.
    admin.create_topics([TopicSpec(dlt, PARTITIONS, 1, {"max.message.bytes": "50"})], 30)
    await application.start()
    writer = application.blueprint.container.get(DeadLetters)
    await eventually_async(lambda: writer.failing == len(poison), 40)
    module = sys.modules[name]
    await eventually_async(lambda: len(module.SEEN) == RECORDS - len(poison), 40)
    assert writer.health().status is Status.DOWN
    assert not module.TOLD
    await application.stop()
    firsts = {p: min(offset for partition, offset in poison if partition == p) for p in range(PARTITIONS)}
    assert all((offset or 0) <= firsts[partition] for partition, offset in committed(admin, name).items())
    assert sum(admin.end_offsets([TP(dlt, partition) for partition in range(PARTITIONS)], 10).values()) == 0
