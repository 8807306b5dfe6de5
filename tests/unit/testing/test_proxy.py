"""A bad network between clients and the embedded broker."""

from __future__ import annotations

import gc
import logging
import socket
import threading
import time

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from kafkaboot.testing import ChaosProxy, advertised, eventually, proxy

PRODUCE = 0
QUICK = {"reconnect.backoff.ms": 10, "reconnect.backoff.max.ms": 50, "log_level": 0, "linger.ms": 0}


@pytest.fixture(autouse=True)
def nothing_left_open():
    """A connection that a proxy forgets is told of here, and not in whichever test the collector runs."""
    yield
    gc.collect()


@pytest.fixture
def bad(embedded):
    admin = AdminClient({"bootstrap.servers": embedded.bootstrap_servers})
    admin.create_topics([NewTopic("t", 1, 1)])["t"].result(30)
    with ChaosProxy(embedded.bootstrap_servers) as found:
        yield found


class Sender:
    def __init__(self, servers, **more):
        self.producer = Producer({"bootstrap.servers": servers, "enable.idempotence": True, **QUICK, **more})
        self.offsets, self.errors = [], []
        self.send()

    def _told(self, error, message):
        if error:
            self.errors.append(error)
        else:
            self.offsets.append(message.offset())

    def hand_over(self, size=1):
        self.producer.produce("t", b"x" * size, on_delivery=self._told)

    def send(self, size=1, within=30):
        begin = time.monotonic()
        self.hand_over(size)
        assert self.producer.flush(within) == 0, "not delivered"
        return time.monotonic() - begin


def read_all(servers, count):
    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": "g", "auto.offset.reset": "earliest", "log_level": 0}
    )
    try:
        consumer.subscribe(["t"])
        found = []
        eventually(lambda: found.extend(consumer.consume(100, 0.1)) or len(found) >= count, 30, lambda: f"{len(found)}")
        return [message.offset() for message in found]
    finally:
        consumer.close()


def test_clients_of_every_kind_come_through_and_go_nowhere_else(bad, embedded):
    sender = Sender(bad.bootstrap_servers)
    assert read_all(bad.bootstrap_servers, 1) == [0]
    port = int(bad.bootstrap_servers.partition(":")[2])
    assert {broker.port for broker in sender.producer.list_topics(timeout=10).brokers.values()} == {port}
    admin = AdminClient({"bootstrap.servers": bad.bootstrap_servers})
    nodes = admin.describe_cluster().result(10).nodes
    assert {node.port for node in nodes} == {port}


def test_control_without_the_rewriting_they_go_past_it(bad, embedded, monkeypatch):
    monkeypatch.setattr(proxy, "rewritten", lambda frame, *_: frame)
    sender = Sender(bad.bootstrap_servers)
    ports = {broker.port for broker in sender.producer.list_topics(timeout=10).brokers.values()}
    assert ports == {int(embedded.bootstrap_servers.partition(":")[2])}


def test_a_cut_connection_is_reset_and_nothing_is_lost_or_doubled(bad):
    sender = Sender(bad.bootstrap_servers)
    for _ in range(3):
        eventually(lambda: bad.connections > 0)
        assert bad.cut() > 0
        sender.send()
    assert bad.cuts >= 3
    assert sender.offsets == [0, 1, 2, 3]


def test_a_client_is_told_of_the_reset(bad):
    host, port = bad.bootstrap_servers.split(":")
    with socket.create_connection((host, int(port)), 10) as plain:
        eventually(lambda: bad.connections == 1)
        bad.cut()
        with pytest.raises(ConnectionResetError):
            plain.recv(1)


def test_refused_connections_get_through_again_when_it_heals(bad):
    sender = Sender(bad.bootstrap_servers)
    bad.refuse()
    host, port = bad.bootstrap_servers.split(":")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), 10)
    sender.hand_over()
    assert sender.producer.flush(0.3) == 1
    bad.heal()
    assert sender.producer.flush(30) == 0
    assert sender.offsets == [0, 1]


def test_a_black_hole_is_noticed_by_nobody_until_it_heals(bad):
    sender = Sender(bad.bootstrap_servers)
    eventually(lambda: bad.connections > 0)
    before = bad.cuts
    bad.black_hole()
    sender.hand_over()
    assert sender.producer.flush(0.3) == 1
    bad.heal()
    assert sender.producer.flush(30) == 0
    assert (sender.offsets, bad.cuts) == ([0, 1], before)


def test_answers_come_later_and_not_one_after_the_other(bad):
    sender = Sender(bad.bootstrap_servers)
    bad.delay(0.3)
    begin = time.monotonic()
    for _ in range(4):
        sender.hand_over()
        sender.producer.poll(0.02)
    assert sender.producer.flush(30) == 0
    assert 0.3 <= time.monotonic() - begin < 1.2
    bad.heal()
    assert sender.send() < 0.3


def test_a_throttled_connection_takes_its_time(bad):
    sender = Sender(bad.bootstrap_servers)
    bad.throttle(40_000)
    assert sender.send(20_000) >= 0.4
    bad.throttle(None)
    assert sender.send(20_000) < 0.4


@pytest.mark.parametrize("idempotent", [True, False])
def test_a_lost_answer_is_asked_for_again_and_only_an_idempotent_producer_writes_once(bad, idempotent):
    sender = Sender(bad.bootstrap_servers, **{"enable.idempotence": idempotent, "retries": 10})
    bad.lose_answers(PRODUCE)
    sender.send()
    sender.send()
    assert bad.cuts == 1
    stand = read_all(bad.bootstrap_servers, 3 if idempotent else 4)
    assert stand == ([0, 1, 2] if idempotent else [0, 1, 2, 3])


def test_an_answer_that_cannot_be_read_cuts_the_connection_and_says_why(bad, monkeypatch, caplog):
    def unreadable(*_):
        raise advertised.UnreadableAnswerError("metadata in version 99")

    monkeypatch.setattr(proxy, "rewritten", unreadable)
    client = AdminClient({"bootstrap.servers": bad.bootstrap_servers, **{k: QUICK[k] for k in ("log_level",)}})
    with caplog.at_level(logging.WARNING), pytest.raises(Exception, match="metadata"):
        client.list_topics(timeout=1)
    assert "sent past the proxy: metadata in version 99" in caplog.text


def test_it_leaves_no_thread_and_no_port_behind(embedded):
    before = set(threading.enumerate())
    with ChaosProxy(embedded.bootstrap_servers) as bad:
        host, port = bad.bootstrap_servers.split(":")
        socket.create_connection((host, int(port)), 10).close()
    bad.stop()
    assert set(threading.enumerate()) - before == set()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)), 10)
