"""Members of a group that begins while its coordinator moves or loads."""

from contextlib import suppress

import pytest
from confluent_kafka import Producer

from kafkaboot.client.confluent.consumer import ConfluentConsumer
from kafkaboot.clock import SystemClock
from kafkaboot.consumer.stands import Stands, starts
from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.errors import ClientError
from kafkaboot.testing import eventually


@pytest.fixture(scope="module")
def broker():
    with EmbeddedKafka() as started:
        yield started


class Member:
    """Reads a topic. It asks where the group stands, as a poller does, or leaves that to the client."""

    def __init__(self, broker, topic, *, asks):
        properties = {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": topic,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 10,
        }
        self.consumer = ConfluentConsumer(properties)
        self.stands, self.asks = Stands(self.consumer, topic, SystemClock()), asks
        self.read, self.has = [], set()
        self.consumer.subscribe([topic], self)

    def assigned(self, partitions):
        self.has |= set(partitions)
        if not self.asks:
            return {}
        return starts(partitions, self.stands.of(partitions))

    def revoked(self, partitions):
        self.stands.forget(partitions)

    lost = revoked

    def poll(self):
        with suppress(ClientError):  # what the client says of its own question
            self.read += [record.value() for record in self.consumer.poll_chunk(10, 0.02)]
        list(self.stands.news())
        return self.read


@pytest.fixture
def member(broker):
    made = []

    def make(topic, *, asks):
        broker.create_topic(topic, 1)
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
        producer.produce(topic, b"x")
        assert producer.flush(20) == 0
        made.append(Member(broker, topic, asks=asks))
        return made[-1]

    yield make
    for one in made:
        one.consumer.close(5)
    broker.clear_faults()


@pytest.mark.parametrize("error", ["COORDINATOR_LOAD_IN_PROGRESS", "NOT_COORDINATOR", "UNKNOWN_SERVER_ERROR"])
def test_what_a_coordinator_refuses_at_first_is_read_nevertheless(broker, member, error):
    broker.fail("offset_fetch", error=error, times=3)
    one = member(f"asks-{error}", asks=True)
    assert eventually(one.poll, 30) == [b"x"]
    assert broker.faults_left() == 0


def test_control_left_to_the_client_it_is_not_read_at_all(broker, member):
    broker.fail("offset_fetch", error="COORDINATOR_LOAD_IN_PROGRESS", times=1)
    one = member("leaves", asks=False)
    eventually(lambda: one.poll() or (one.has and broker.faults_left() == 0), 30)
    for _ in range(100):
        one.poll()
    if one.read:
        pytest.skip("this librdkafka asks again: `Stands` may leave it to that")
    assert one.read == []
