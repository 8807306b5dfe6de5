"""The client contract, on Kafka in memory and on a real one."""

import socket

import pytest

from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.memory import MemoryClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.errors import BrokerUnreachableError
from kafkaboot.testing.contract import ClientContract, Cluster
from kafkaboot.testing.contract.transacting import Transacting


@pytest.fixture(scope="module")
def embedded():
    with EmbeddedKafka() as broker:
        yield broker


class TestMemory(ClientContract):
    @pytest.fixture
    def cluster(self):
        clients = MemoryClients()
        cluster = Cluster(clients, idle=clients.kafka.clock.advance)
        yield cluster
        cluster.close()


class TestEmbedded(Transacting):
    """Its transactions only: all else of it is held to a real Kafka's by the conformance suite."""

    @pytest.fixture
    def cluster(self, embedded):
        cluster = Cluster(ConfluentClients(KafkaSettings(), bootstrap_servers=embedded.bootstrap_servers))
        yield cluster
        cluster.close()


class TestConfluent(ClientContract):
    @pytest.fixture
    def cluster(self, kafka):
        cluster = Cluster(ConfluentClients(KafkaSettings(), bootstrap_servers=kafka.bootstrap_servers))
        yield cluster
        cluster.close()


def test_a_broker_that_cannot_be_reached_is_named_in_the_error():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody answers there
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        admin = ConfluentClients(KafkaSettings(), bootstrap_servers=address).admin()
        with pytest.raises(BrokerUnreachableError) as caught:
            admin.topics(1.0)
        admin.close()
    assert address in str(caught.value)
    assert caught.value.retriable
    assert caught.value.todo
