"""Every test of this folder runs on both brokers, the embedded one and a real Apache Kafka: `cluster` is either."""

import re
import socket
import struct
import threading
import time
import uuid

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.testing import eventually
from tests.conftest import CONSUMER_SESSION

BROKERS = ("embedded", pytest.param("apache", marks=pytest.mark.real_kafka))


@pytest.fixture(scope="session")
def embedded():
    """One embedded broker for the session."""
    with EmbeddedKafka(consumer_session_timeout=CONSUMER_SESSION / 1000) as broker:
        yield broker


@pytest.fixture(scope="session", params=BROKERS)
def broker(request):
    """The broker that is asked: the embedded one, or a real Apache Kafka."""
    asked = request.getfixturevalue("kafka" if request.param == "apache" else request.param)
    return introduced(asked)


def introduced(broker):
    """The broker, ready for the protocol client: a real one makes its topics of transactions and of groups' offsets
    when a client first looks for a coordinator, which that client does not."""
    common = {"bootstrap.servers": broker.bootstrap_servers, "log_level": 0}
    for name in "abcd":  # one by one they fall to all of a broker's four coordinators
        Producer({**common, "transactional.id": name}).init_transactions(30)
        consumer = Consumer({**common, "group.id": name})
        eventually(lambda consumer=consumer: _knows(consumer), 30, "a coordinator of groups")
        consumer.close()
    return broker


def _knows(consumer):
    try:
        consumer.committed([TopicPartition("nowhere", 0)], timeout=5)
    except KafkaException as error:
        if "COORDINATOR" in error.args[0].name():
            return False
        raise
    return True


@pytest.fixture(scope="session")
def peers(request):
    """The addresses of both brokers, side by side."""
    return tuple(introduced(request.getfixturevalue(name)).bootstrap_servers for name in ("embedded", "kafka"))


@pytest.fixture(scope="session")
def admin(broker):
    """confluent-kafka's administration of the broker."""
    return AdminClient({"bootstrap.servers": broker.bootstrap_servers})


class Cluster:
    """A broker as a test sees it: topics and clients of its own, which are closed when it ends."""

    def __init__(self, address, admin, test):
        self.address, self.admin, self._test = address, admin, test
        self._consumers = []

    def name(self, what="name"):
        """A name that nobody else uses."""
        return f"{what}-{self._test}-{uuid.uuid4().hex[:8]}"

    def topic(self, partitions=1, **config):
        """A new topic, with settings such as `**{"max.message.bytes": "1000"}`; it is there when this returns."""
        name = self.name("t")
        self.admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(20)
        until = time.monotonic() + 20
        while len(self.partitions(name)) < partitions:
            assert time.monotonic() < until, f"{name} was created and is not seen"
        return name

    def partitions(self, topic):
        """The numbers of a topic's partitions; none while it is not there."""
        found = self.admin.list_topics(timeout=20).topics.get(topic)  # of all: to ask for one may make it
        return [] if found is None or found.error else sorted(found.partitions)

    def producer(self, **config):
        """confluent-kafka's; `_` stands for `.` in the settings' names."""
        return Producer({"bootstrap.servers": self.address, "linger.ms": 0, **_dotted(config)})

    def transactional(self, transactional_id=None, **config):
        """A transactional producer that has introduced itself."""
        producer = self.producer(transactional_id=transactional_id or self.name("x"), **config)
        producer.init_transactions(30)
        return producer

    def consumer(self, group=None, **config):
        """confluent-kafka's, from the earliest record on; closed when the test ends."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.address,
                "group.id": group or self.name("g"),
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 50,
                **_dotted(config),
            }
        )
        self._consumers.append(consumer)
        return consumer

    def send(self, topic, *values, partition=0, producer=None, **options):
        """Produce values in this order; answers the acknowledged messages in the order of their offsets."""
        producer, sent, failed = producer or self.producer(), [], []
        for value in values:
            producer.produce(
                topic,
                value,
                partition=partition,
                on_delivery=lambda error, message: failed.append(error) if error else sent.append(message),
                **options,
            )
        assert producer.flush(30) == 0
        assert not failed
        return sorted(sent, key=lambda message: message.offset() or 0)

    def read(self, topic, isolation="read_committed", offset=0):
        """Every message of the topic up to its end, by partition and offset."""
        consumer = self.consumer(isolation_level=isolation)
        partitions = self.partitions(topic)
        consumer.assign([TopicPartition(topic, partition, offset) for partition in partitions])
        found, ended, until = [], set(), time.monotonic() + 20
        while len(ended) < len(partitions):
            assert time.monotonic() < until, f"no end of {topic} within 20 s, ends of {ended}"
            message = consumer.poll(0.2)
            if message is None:
                continue
            if message.error() is None:
                found.append(message)
            else:
                assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                ended.add(message.partition())
        consumer.close()
        self._consumers.remove(consumer)
        return sorted(found, key=lambda message: (message.partition(), message.offset()))

    def values(self, topic, isolation="read_committed"):
        """The values of every message of the topic."""
        return [message.value() for message in self.read(topic, isolation)]

    def committed(self, group, topic, partition=0):
        """The group's committed offset, or `None`."""
        (found,) = self.consumer(group).committed([TopicPartition(topic, partition)], timeout=20)
        assert found.error is None, found.error
        return None if found.offset < 0 else found.offset

    def close(self):
        for consumer in self._consumers:
            consumer.close()


def _dotted(config):
    return {"log_level": 0} | {name.replace("_", "."): value for name, value in config.items()}


@pytest.fixture
def cluster(broker, admin, request):
    """The broker with topics and clients for this test."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.originalname.removeprefix("test_"))[:40]
    with_clients = Cluster(broker.bootstrap_servers, admin, name)
    yield with_clients
    with_clients.close()


class CuttingProxy:
    """Stands between clients and a broker, and cuts a connection between a request and its answer.

    The broker's address in its answers is replaced by this one's, so that clients come back here.
    """

    def __init__(self, bootstrap):
        host, port = bootstrap.split(":")
        self._broker = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"
        self._doomed = {}
        self.cuts = 0
        self._sockets = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, api_key, times=1):
        """Let the next requests of this kind reach the broker, and their answers reach nobody."""
        self._doomed[api_key] = times

    def _accept(self):
        while True:
            try:
                client, _ = self._listener.accept()
                broker = socket.create_connection(self._broker)
            except OSError:
                return
            self._sockets += [client, broker]
            lost = set()
            threading.Thread(target=self._requests, args=(client, broker, lost), daemon=True).start()
            threading.Thread(target=self._answers, args=(broker, client, lost), daemon=True).start()

    def _requests(self, client, broker, lost):
        while frame := _frame(client):
            key, _, correlation = struct.unpack_from(">hhi", frame, 4)
            if self._doomed.get(key, 0) > 0:
                self._doomed[key] -= 1
                lost.add(correlation)
            if not _send(broker, frame):
                break
        _shut(client, broker)

    def _answers(self, broker, client, lost):
        here, there = (b"\t127.0.0.1", b"\n127.0.0.1"), struct.pack(">i", self._broker[1])
        while frame := _frame(broker):
            if struct.unpack_from(">i", frame, 4)[0] in lost:
                self.cuts += 1
                break
            for host in here:
                frame = frame.replace(host + there, host + struct.pack(">i", self.port))
            if not _send(client, frame):
                break
        _shut(client, broker)

    def close(self):
        _shut(self._listener, *self._sockets)
        self._listener.close()
        for one in self._sockets:
            one.close()


def _frame(source):
    data = b""
    while len(data) < 4 or len(data) < 4 + struct.unpack_from(">i", data)[0]:
        wanted = 4 - len(data) if len(data) < 4 else 4 + struct.unpack_from(">i", data)[0] - len(data)
        try:
            more = source.recv(wanted)
        except OSError:
            return b""
        if not more:
            return b""
        data += more
    return data


def _send(target, frame):
    try:
        target.sendall(frame)
    except OSError:
        return False
    return True


def _shut(*sockets):
    for one in sockets:
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue


@pytest.fixture
def proxy(broker):
    """A `CuttingProxy` in front of the broker."""
    standing = CuttingProxy(broker.bootstrap_servers)
    yield standing
    standing.close()
