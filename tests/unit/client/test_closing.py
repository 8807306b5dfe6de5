"""A closed producer has left its broker, however long the object stays."""

import socket

import pytest

from kafkaboot.client import TP, Committed
from kafkaboot.client.confluent.producer import ConfluentProducer
from kafkaboot.client.confluent.transactional import ConfluentTransactional
from kafkaboot.errors import ClientError

TRANSACTIONAL = {"transactional.id": "shop-0", "transaction.timeout.ms": 1000}


def producer(servers):
    return ConfluentProducer({"bootstrap.servers": servers, "log_level": 0})


def transactional(servers):
    return ConfluentTransactional({"bootstrap.servers": servers, "log_level": 0, **TRANSACTIONAL})


@pytest.mark.parametrize("made", [producer, transactional])
def test_its_connection_ends_though_the_object_stays(made):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        client = made(f"127.0.0.1:{server.getsockname()[1]}")
        if made is producer:
            client.produce("orders", b"", None, None, -1, None)  # a producer connects once it has something to say
        connection, _ = server.accept()
        with connection:
            connection.settimeout(20)
            assert connection.recv(1000)
            client.close(0.0)
            while connection.recv(1000):
                pass
        server.settimeout(1.5)  # it would come back within its back-off of at most a second
        with pytest.raises(TimeoutError):
            server.accept()
    assert client.flush(0) == 0


def test_a_closed_one_refuses_transactions():
    client = transactional("127.0.0.1:1")
    client.close(0.0)
    for call in (
        client.begin,
        lambda: client.prepare(1),
        lambda: client.send_offsets({TP("orders", 0): Committed(1, "")}, b"", 1),
        lambda: client.commit(1),
        lambda: client.abort(1),
    ):
        with pytest.raises(ClientError, match="the producer is closed"):
            call()
