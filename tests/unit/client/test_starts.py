"""Members of a group that begins while its coordinator moves or loads."""

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
        self.read, self.has, self.told = [], set(), []
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
        try:
            self.read += [record.value() for record in self.consumer.poll_chunk(10, 0.02)]
        except ClientError as error:
            self.told.append(error.code)
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
    assert (broker.faults_left(), one.told) == (0, [])


def test_control_left_to_the_client_it_is_not_read_at_all(broker, member):
    broker.fail("offset_fetch", error="COORDINATOR_LOAD_IN_PROGRESS", times=1)
    one = member("leaves", asks=False)
    eventually(lambda: one.poll() or one.told, 30, "it is read, or the client says that it is not")
    for _ in range(100):
        one.poll()
    if one.read:
        pytest.skip("this librdkafka asks again: `Stands` may leave it to that")
    assert one.told == ["COORDINATOR_LOAD_IN_PROGRESS"], "said once, and that was all"
