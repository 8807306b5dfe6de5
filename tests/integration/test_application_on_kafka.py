from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
import time

import pytest

from kafkaboot.boot.application import Application
from kafkaboot.boot.facts import Narrator
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.producer import Producer

HANDLERS = """
import os, signal
from pydantic import BaseModel
from kafkaboot import event, event_handler, publisher

SEEN = []

@event("order.placed")
class Order(BaseModel):
    order_id: str

@event_handler("${orders}")
@publisher("${invoices}", key="order_id")
async def bill(order: Order) -> Order:
    SEEN.append(order.order_id)
    print("billed", order.order_id, flush=True)
    if order.order_id == "o-3":
        os.kill(os.getpid(), signal.SIGTERM)
    return order
"""


class Heard(Narrator):
    def stopped(self, stopped):
        self.end = stopped

    def failed(self, found, error):
        self.analysis = found


@pytest.fixture
def shop(tmp_path, kafka, topic):
    """A folder with an application for two topics of its own; its package is like that of no other test."""
    root = logging.getLogger()
    before = list(root.handlers), root.level, list(sys.path)
    orders, invoices = topic(partitions=2), topic()
    name = f"kafkashop_{orders[-8:]}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(HANDLERS)
    (tmp_path / "application.yaml").write_text(
        f"kafkaboot:\n"
        f"  application: {{name: {name}, packages: [{name}]}}\n"
        f"  kafka: {{bootstrap-servers: '{kafka.bootstrap_servers}'}}\n"
        f"orders: {orders}\ninvoices: {invoices}\n"
    )
    yield tmp_path, name, orders, invoices
    root.handlers[:], root.level, sys.path[:] = before
    sys.modules.pop(name, None)


def publish(kafka, topic, *ids):
    clients = ConfluentClients(KafkaSettings(), bootstrap_servers=kafka.bootstrap_servers)
    with Producer(clients.producer({})) as producer:
        producer.sync.publish_batch(topic, [{"order_id": one} for one in ids], key="order_id")


def run(folder, *overrides):
    heard = Heard()
    code = Application(directory=folder, environ={}, overrides=overrides, narrator=heard).run()
    return code, heard


def committed(kafka, group):
    admin = ConfluentClients(KafkaSettings(), bootstrap_servers=kafka.bootstrap_servers).admin()
    try:
        return sum(at.offset or 0 for at in admin.group_offsets(group, 10).values())
    finally:
        admin.close()


def test_a_second_run_begins_where_the_first_one_drained(kafka, shop):
    folder, name, orders, _ = shop
    publish(kafka, orders, "o-1", "o-2", "o-3")

    code, heard = run(folder)
    first = set(sys.modules[name].SEEN)
    assert code == 0
    assert heard.end.drained
    assert committed(kafka, name) == len(first)

    sys.modules[name].SEEN.clear()
    publish(kafka, orders, "o-3")
    code, _ = run(folder)
    assert code == 0
    assert first.isdisjoint(set(sys.modules[name].SEEN) - {"o-3"})


def test_a_topic_that_is_not_there_is_told_with_its_neighbour_or_created_when_asked(kafka, shop):
    folder, _, orders, _ = shop

    code, heard = run(folder, f"orders={orders}x")
    assert code == 1
    assert heard.analysis.title == "a topic is missing"
    assert f"topic '{orders}x' does not exist\n  handler bill takes it (" in heard.analysis.happened
    assert f"near to it: {orders}" in heard.analysis.happened

    publish(kafka, orders, "o-3")
    code, _ = run(folder, f"invoices={orders}-out", "kafkaboot.kafka.topics=create")
    assert code == 0


GREETER = """
from kafkaboot import Producer, component, on_start

@component
class Greeter:
    def __init__(self, producer: Producer) -> None:
        self.producer = producer

    @on_start
    async def greet(self) -> None:
        await self.producer.publish("${orders}-told", {"order_id": "o-3"})

@event_handler("${orders}-told")
async def hear(order: Order, greeter: Greeter) -> None:
    await bill(order)
"""


def test_a_component_that_publishes_when_it_starts_finds_the_topics_that_are_declared(kafka, shop):
    folder, name, orders, _ = shop
    with (folder / name / "__init__.py").open("a") as file:
        file.write(GREETER.replace('publish("${orders}', f'publish("{orders}'))

    code, heard = run(folder, "kafkaboot.kafka.topics=create", f"kafkaboot.topics.{orders}-told.partitions=1")
    assert code == 0, heard.analysis
    assert sys.modules[name].SEEN == ["o-3"]


@pytest.mark.parametrize(
    ("overrides", "title"),
    [
        (["kafkaboot.kafka.security.protocol=ssl"], "the security settings do not match"),
        (["kafkaboot.kafka.bootstrap-servers=127.0.0.1:1"], "no broker answers"),
    ],
)
def test_a_cluster_that_cannot_be_talked_to_is_code_4(shop, overrides, title):
    folder, *_ = shop

    code, heard = run(folder, *overrides)
    assert (code, heard.analysis.title) == (4, title)


def test_from_the_process_start_to_the_first_handled_record(kafka, shop):
    """The bar of 0.8 s holds on an idle machine; here, among other tests, only what would be a blunder fails."""
    folder, _, orders, _ = shop
    publish(kafka, orders, "o-3")
    program = textwrap.dedent(
        f"""
        import sys
        from kafkaboot.boot.application import Application
        sys.exit(Application(directory={str(folder)!r}, environ={{}}).run())
        """
    )

    began = time.monotonic()
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "billed o-3\n"
        took = time.monotonic() - began
        assert process.wait(20) == 0
    assert took < 5
