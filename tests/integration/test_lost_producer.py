"""A client that librdkafka has given up for good is replaced: without that, nothing is ever published again."""

from __future__ import annotations

import json
import sys
import textwrap
import time

import pytest
from confluent_kafka import Consumer, TopicPartition

from kafkaboot.boot.application import Application
from kafkaboot.client import TP, TopicSpec
from kafkaboot.client.confluent import producer as producing
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.confluent.producer import ConfluentProducer
from kafkaboot.client.presets import PRODUCER
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.failure import DeadLetters
from kafkaboot.testing import eventually, eventually_async
from kafkaboot.testing.broker_faults import fail

DENIED = ("init_producer_id", "CLUSTER_AUTHORIZATION_FAILED")
DESYNCHRONISED = ("produce", "OUT_OF_ORDER_SEQUENCE_NUMBER")
HANDLERS = """
from kafkaboot import event_handler, publisher
HANDLED = []

@event_handler("orders", id="bill", retry=False)
@publisher("invoices")
async def bill(order: dict) -> dict:
    HANDLED.append(order["n"])
    if order["n"] == "bad":
        raise ValueError("no total")
    return order
"""


@pytest.fixture
def broker():
    with EmbeddedKafka() as made:
        yield made


@pytest.fixture
def clients(broker):
    made = ConfluentClients(KafkaSettings(), bootstrap_servers=broker.bootstrap_servers)
    admin = made.admin()
    admin.create_topics([TopicSpec("orders", 1), TopicSpec("invoices", 1)], 30)
    yield made
    admin.close()


class Reports:
    """Hands records to a client, waiting while it has no room, and keeps what became of each."""

    def __init__(self, port):
        self.port, self.errors, self.order = port, {}, []

    def hand(self, value, within=5.0):
        def answered(error, _record):
            self.errors[value] = self.port.translate(error) if error is not None else None
            self.order.append(value)

        until = time.monotonic() + within
        while True:
            try:
                return self.port.produce("invoices", value, None, None, 0, answered)
            except BufferError:
                assert time.monotonic() < until, "no client takes it"
                self.port.serve(0.01)


def values(broker, topic):
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "looks"})
    end = consumer.get_watermark_offsets(TopicPartition(topic, 0), 10)[1]
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = [record.value() for record in consumer.consume(end, 10)] if end else []
    consumer.close()
    return found


def its_records_are_reported_and_the_next_are_delivered(broker, clients, fault, within=5.0):
    fail(broker, *fault)
    port = clients.producer(PRODUCER)
    try:
        reports = Reports(port)
        reports.hand(b"0")
        eventually(lambda: b"0" in reports.errors)
        assert reports.errors[b"0"].code == fault[1], "the report says why, and not that it was purged"
        for n in range(1, 5):
            reports.hand(b"%d" % n, within)
        assert port.flush(5) == 0
        assert reports.order == [b"%d" % n for n in range(5)]
        assert [reports.errors[b"%d" % n] for n in range(1, 5)] == [None] * 4
        assert values(broker, "invoices") == [b"1", b"2", b"3", b"4"]
    finally:
        port.close(1)


@pytest.mark.parametrize("fault", [DENIED, DESYNCHRONISED])
def test_its_records_are_reported_and_the_next_are_delivered(broker, clients, fault, caplog):
    its_records_are_reported_and_the_next_are_delivered(broker, clients, fault)
    (said,) = [record.getMessage() for record in caplog.records if record.name == "kafkaboot.client"]
    assert f"({fault[1]}); what it had not delivered is reported as undelivered, and another one takes its" in said


def test_control_without_a_replacement_nothing_is_delivered_any_more(broker, clients, monkeypatch):
    monkeypatch.setattr(ConfluentProducer, "_lose", lambda *_: BufferError("lost"))
    with pytest.raises(AssertionError):
        its_records_are_reported_and_the_next_are_delivered(broker, clients, DESYNCHRONISED, within=1.0)


def test_while_each_one_is_lost_the_next_comes_later_each_time(broker, clients, monkeypatch, caplog):
    monkeypatch.setattr(producing, "SOON", 0.02)
    fail(broker, *DENIED, times=4)
    port = clients.producer(PRODUCER)
    eventually(lambda: sum("takes its place" in record.getMessage() for record in caplog.records) == 4)
    assert port.lost.code == DENIED[1]
    waits = [record.args[1] for record in caplog.records if "takes its place" in record.getMessage()]
    assert waits == [0.02, 0.04, 0.08, 0.16]
    reports = Reports(port)
    reports.hand(b"at last")
    assert port.flush(5) == 0
    assert reports.errors == {b"at last": None}
    port.close(1)


def test_one_that_is_closed_while_it_is_lost_ends_at_once(broker, clients, monkeypatch):
    monkeypatch.setattr(producing, "SOON", 30.0)
    fail(broker, *DENIED)
    port = clients.producer(PRODUCER)
    eventually(lambda: port.lost)
    began = time.monotonic()
    assert port.close(5) == 0
    assert time.monotonic() - began < 2
    eventually(lambda: not port._thread.is_alive())


@pytest.fixture
def shop(broker, clients, tmp_path):
    (tmp_path / "lostshop").mkdir()
    (tmp_path / "lostshop" / "__init__.py").write_text(textwrap.dedent(HANDLERS))
    path = list(sys.path)
    yield Application(
        directory=tmp_path,
        environ={},
        overrides=[
            "kafkaboot.application.name=lostshop",
            "kafkaboot.application.packages=lostshop",
            f"kafkaboot.kafka.bootstrap-servers={broker.bootstrap_servers}",
            "kafkaboot.consumer.drain-timeout=2s",
            "kafkaboot.consumer.commit-interval=20ms",
        ],
    )
    sys.modules.pop("lostshop", None)
    sys.path[:] = path


async def every_output_gets_out_and_no_record_is_given_up(broker, clients, shop, within=10.0):
    port, admin = clients.producer(PRODUCER), clients.admin()
    for n in range(20):
        port.produce("orders", b'{"n": %d}' % n, None, None, 0, None)
    port.produce("orders", b'{"n": "bad"}', None, None, 0, None)
    assert port.close(10) == 0
    fail(broker, *DESYNCHRONISED, topic="invoices")
    fail(broker, *DESYNCHRONISED, topic="orders.lostshop.dlt")
    await shop.start()
    try:
        container = shop.blueprint.container
        await eventually_async(
            lambda: getattr(admin.group_offsets("lostshop", 5).get(TP("orders", 0)), "offset", 0) == 21, within
        )
        assert container.get(DeadLetters).written == 1
    finally:
        await shop.stop()
        admin.close()
    assert sorted({json.loads(value)["n"] for value in values(broker, "invoices")}) == list(range(20))
    assert values(broker, "orders.lostshop.dlt") == [b'{"n": "bad"}']


async def test_every_output_gets_out_and_no_record_is_given_up(broker, clients, shop):
    await every_output_gets_out_and_no_record_is_given_up(broker, clients, shop)


async def test_control_without_a_replacement_the_application_stands_still(broker, clients, shop, monkeypatch):
    monkeypatch.setattr(ConfluentProducer, "_lose", lambda *_: BufferError("lost"))
    with pytest.raises(AssertionError):
        await every_output_gets_out_and_no_record_is_given_up(broker, clients, shop, within=3.0)
