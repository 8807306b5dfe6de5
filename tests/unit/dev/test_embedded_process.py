"""The embedded broker as the desk starts it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from confluent_kafka import Consumer, Producer

from kafkaboot.dev import broker_for
from kafkaboot.dev.ports import free_port
from kafkaboot.dev.settings import BrokerSettings, EmbeddedSettings


def first(servers, topic):
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "g", "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([topic])
        message = consumer.poll(10)
        assert message is not None
        return message.value()
    finally:
        consumer.close()


def test_another_process_writes_and_this_one_reads_through_a_group():
    with broker_for("embedded") as broker:
        code = (
            "from confluent_kafka import Producer\n"
            f"p = Producer({{'bootstrap.servers': {broker.bootstrap_servers!r}}})\n"
            "p.produce('orders', b'from elsewhere'); raise SystemExit(p.flush(10))"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
        assert first(broker.bootstrap_servers, "orders") == b"from elsewhere"


def test_a_created_topic_has_its_partitions_and_an_unknown_one_gets_four():
    with broker_for("embedded") as broker:
        broker.create_topic("two", 2)
        broker.create_topic("two", 3)
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
        assert len(producer.list_topics("two", timeout=10).topics["two"].partitions) == 2
        assert len(producer.list_topics("other", timeout=10).topics["other"].partitions) == 4


def test_a_name_that_kafka_would_refuse_makes_no_topic():
    with broker_for("embedded") as broker:
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
        error = producer.list_topics("no such name", timeout=10).topics["no such name"].error
        assert error.name() == "TOPIC_EXCEPTION"
        assert not producer.list_topics(timeout=10).topics


def test_it_says_what_it_is_and_ends_twice_without_harm():
    broker = broker_for("embedded")
    broker.start()
    assert broker.describe() == (
        f"embedded: a broker in Python at {broker.bootstrap_servers}, for desks and tests; in memory"
    )
    broker.stop()
    broker.stop()
    with pytest.raises(RuntimeError, match="not started"):
        _ = broker.bootstrap_servers


def test_it_listens_and_keeps_where_the_settings_say(tmp_path):
    port = free_port()
    settings = BrokerSettings(embedded=EmbeddedSettings(port=port, data_dir=tmp_path / "kept"))
    with broker_for("embedded", settings) as broker:
        assert broker.bootstrap_servers == f"127.0.0.1:{port}"
        assert broker.describe().endswith(f"kept in {tmp_path / 'kept'}")
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
        producer.produce("orders", b"kept")
        assert producer.flush(10) == 0
    with broker_for("embedded", settings) as broker:
        assert first(broker.bootstrap_servers, "orders") == b"kept"


def test_its_process_leaves_hypothesis_out_which_kio_would_load():
    def loaded(*arguments):
        command = [sys.executable, "-X", "importtime", *arguments]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=True)
        return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}

    broker = loaded("-m", "kafkaboot.dev.embedded")
    assert "kio.static.primitive" in broker
    assert "hypothesis.core" not in broker
    assert "hypothesis.core" in loaded("-c", "import kio.static.primitive")  # else this shows nothing
