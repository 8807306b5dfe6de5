"""The broker inside this process."""

from __future__ import annotations

import subprocess
import sys

import pytest
from confluent_kafka import Consumer, Producer

from kafkaboot.dev import broker_for
from kafkaboot.dev.mock import EmbeddedKafka


def _first(servers: str, topic: str) -> bytes:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "g", "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([topic])
        message = consumer.poll(10)
        assert message is not None
        return message.value()
    finally:
        consumer.close()


def test_another_process_writes_and_this_one_reads_through_a_group():
    with EmbeddedKafka() as broker:
        code = (
            "from confluent_kafka import Producer\n"
            f"p = Producer({{'bootstrap.servers': {broker.bootstrap_servers!r}}})\n"
            "p.produce('orders', b'from elsewhere'); raise SystemExit(p.flush(10))"
        )
        subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
        assert _first(broker.bootstrap_servers, "orders") == b"from elsewhere"


def test_a_created_topic_has_its_partitions_and_an_unknown_one_gets_four():
    with EmbeddedKafka() as broker:
        broker.create_topic("two", 2)
        broker.create_topic("two", 3)
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
        assert len(producer.list_topics("two", timeout=10).topics["two"].partitions) == 2
        assert len(producer.list_topics("other", timeout=10).topics["other"].partitions) == 4


def test_it_says_what_it_is_and_ends_twice_without_harm():
    broker = broker_for("embedded")
    broker.start()
    assert "desks only" in broker.describe()
    assert "5 MiB" in broker.describe()
    assert "not isolate transactions" in broker.describe()
    broker.stop()
    broker.stop()
    with pytest.raises(RuntimeError, match="not started"):
        _ = broker.bootstrap_servers
