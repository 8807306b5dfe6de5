"""Records out of a real Kafka, and the proof that a probe leaves nothing on it."""

from __future__ import annotations

import json
import sys

import pytest
from click.testing import CliRunner
from confluent_kafka import Consumer, Producer, TopicPartition

from kafkaboot.cli.program import kafkaboot
from kafkaboot.client import TP
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings

CODE = """
from pydantic import BaseModel
from kafkaboot import Producer, component, event, event_handler, on_start, publisher

@event("order.placed")
class Order(BaseModel):
    order_id: str

@component
class Audit:
    def __init__(self, producer: Producer) -> None:
        self.producer = producer

    @on_start
    async def begin(self) -> None:
        await self.producer.publish("${audit}", b"begun")

@event_handler("${orders}")
@publisher("${invoices}", key="order_id")
async def bill(order: Order, audit: Audit) -> Order:
    await audit.producer.publish("${audit}", b"billed", key=order.order_id)
    return order
"""


@pytest.fixture
def clients(kafka):
    return ConfluentClients(KafkaSettings(), bootstrap_servers=kafka.bootstrap_servers)


@pytest.fixture
def shop(tmp_path, monkeypatch, kafka, topic):
    orders, invoices, audit = topic(partitions=2), topic(), topic()
    name = f"probed_{orders[-8:]}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(CODE.replace("${audit}", audit))
    (tmp_path / "application.yaml").write_text(
        f"kafkaboot:\n"
        f"  application: {{name: {name}, packages: [{name}]}}\n"
        f"  kafka: {{bootstrap-servers: '{kafka.bootstrap_servers}'}}\n"
        f"orders: {orders}\ninvoices: {invoices}\n"
    )
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    yield name, orders, invoices, audit
    sys.path[:] = path
    sys.modules.pop(name, None)


def write(kafka, topic, *values, partition=1, headers=None, transaction=""):
    properties = {"bootstrap.servers": kafka.bootstrap_servers}
    producer = Producer({**properties, "transactional.id": transaction} if transaction else properties)
    if transaction:
        producer.init_transactions(10)
        producer.begin_transaction()
    for value in values:
        producer.produce(topic, value, key=b"k", partition=partition, headers=headers or [])
    if transaction:
        producer.commit_transaction(10)
    assert producer.flush(10) == 0


def commit(kafka, group, topic, offset):
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap_servers, "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 1, offset)], asynchronous=False)
    consumer.close()


def probe(*arguments):
    done = CliRunner().invoke(kafkaboot, ["probe", *arguments, "--json"], prog_name="kafkaboot")
    return done, json.loads(done.stdout) if done.exit_code in {0, 1} and done.stdout else None


def ends(clients, *topics):
    admin = clients.admin()
    try:
        places = [TP(topic, n) for topic in topics for n in range(admin.topics(10)[topic].partitions)]
        return admin.end_offsets(places, 10)
    finally:
        admin.close()


def committed(clients, group):
    admin = clients.admin()
    try:
        return {place: found.offset for place, found in admin.group_offsets(group, 10).items()}
    finally:
        admin.close()


def test_a_probe_of_a_publishing_handler_produces_nothing_and_commits_nothing(kafka, clients, shop, monkeypatch):
    group, orders, invoices, audit = shop
    write(kafka, orders, b'{"order_id": "o-1"}', b'{"order_id": "o-2"}')
    commit(kafka, group, orders, 1)
    topics_before = ends(clients, orders, invoices, audit)
    assert committed(clients, group) == {TP(orders, 1): 1}

    done, found = probe("bill", f"{orders}[1]@1")
    assert done.exit_code == 0, done.output
    assert [one["topic"] for one in found["captured"]["published"]] == [audit, audit, invoices]
    assert found["captured"]["commits"] == [{"group": group, "topic": orders, "partition": 1, "offset": 2}]
    assert found["records"][0]["key"] == "k"
    assert ends(clients, orders, invoices, audit) == topics_before
    assert committed(clients, group) == {TP(orders, 1): 1}

    # The same without the capture does produce: what was looked at above would have shown it.
    monkeypatch.setattr("kafkaboot.testing.probing.probe.CapturingClients", lambda _: clients)
    done, found = probe("bill", f"{orders}[1]@1")
    assert done.exit_code == 0, done.output
    assert found["captured"]["published"] == []
    after = ends(clients, orders, invoices, audit)
    assert after[TP(invoices, 0)] == topics_before[TP(invoices, 0)] + 1
    assert after[TP(audit, 0)] == topics_before[TP(audit, 0)] + 2


def test_a_dead_letter_is_given_as_the_record_that_it_was(kafka, shop, topic):
    _, orders, _, _ = shop
    letters = topic()
    headers = [
        ("mine", b"1"),
        ("kb-original-topic", orders.encode()),
        ("kb-original-partition", b"1"),
        ("kb-original-offset", b"41"),
        ("kb-exception", b"ValueError"),
    ]
    write(kafka, letters, b'{"order_id": "o-1"}', partition=0, headers=headers)
    done, found = probe("bill", f"{letters}[0]@0")
    assert done.exit_code == 0, done.output
    record = found["records"][0]
    assert (record["topic"], record["partition"], record["offset"]) == (orders, 1, 41)
    assert record["headers"] == [["mine", "1"]]
    assert record["dead_letter"] == f"{letters}[0]@0"
    assert found["notes"] == []


def test_an_offset_that_is_not_there_says_which_are(kafka, clients, shop):
    _, orders, _, _ = shop
    done, _ = probe("bill", f"{orders}[0]@0")
    assert done.exit_code == 1
    assert f"{orders}[0] holds no records" in done.output

    write(kafka, orders, b"a", b"b", b"c")
    admin = clients.admin()
    admin.delete_records({TP(orders, 1): 1}, 10)
    admin.close()
    done, _ = probe("bill", f"{orders}[1]@7")
    assert "is not written yet" in done.output
    assert "holds records from 1 to 2" in done.output
    assert f"{orders}[1]@2" in done.output
    done, _ = probe("bill", f"{orders}[1]@0")
    assert "was deleted by retention" in done.output
    assert f"{orders}[1]@1" in done.output
    done, _ = probe("bill", f"{orders}[5]@0")
    assert f"there is no partition 5: {orders} has 2" in done.output
    done, _ = probe("bill", f"{orders[:-1]}[0]@0")
    assert f"did you mean {orders}" in done.output


def test_a_hole_in_a_partition_names_the_next_record(kafka, shop):
    """A transaction's marker leaves the same hole as compaction does."""
    _, orders, _, _ = shop
    write(kafka, orders, b"a", transaction=orders)
    done, _ = probe("bill", f"{orders}[1]@1")
    assert done.exit_code == 1
    assert "no record is at this offset" in done.output
    assert "no record follows it" in done.output
    write(kafka, orders, b"b")
    done, _ = probe("bill", f"{orders}[1]@1")
    assert f"the next record is {orders}[1]@2" in done.output


def test_a_broker_that_is_down_matters_only_where_the_record_is_on_it(shop):
    _, orders, _, _ = shop
    nobody = "kafkaboot.kafka.bootstrap-servers=127.0.0.1:1"
    done, found = probe("bill", '{"order_id": "o-1"}', "--set", nobody)
    assert done.exit_code == 0, done.output
    assert len(found["captured"]["published"]) == 3
    done, _ = probe("bill", f"{orders}[1]@0", "--set", nobody)
    assert done.exit_code == 4
    assert "no broker answers" in done.output
