"""The brokers of the desk, really started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from confluent_kafka import Consumer, Producer

from kafkaboot.dev.local import LocalKafka
from kafkaboot.testing import eventually


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _write(servers: str, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": servers})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(20) == 0


def _read(servers: str, topic: str, count: int) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": f"{topic}-reader", "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    seen: list[bytes] = []

    def read() -> bool:
        seen.extend(message.value() for message in consumer.consume(100, 0.2) if message.error() is None)
        return len(seen) >= count

    try:
        eventually(read, 20, lambda: f"{count} records of {topic}, got {seen}")
    finally:
        consumer.close()
    return seen


def test_records_written_by_kafkas_own_tools_are_read_from_the_shared_broker(kafka, topic):
    name = topic(partitions=1)
    address = ("--bootstrap-server", kafka.bootstrap_servers, "--topic", name)
    kafka.tools("org.apache.kafka.tools.ConsoleProducer", *address, stdin="one\ntwö\n")
    assert _read(kafka.bootstrap_servers, name, 2) == [b"one", "twö".encode()]


def test_a_topic_has_the_partitions_asked_for_and_is_nobody_elses(kafka, topic):
    first, second = topic(partitions=3), topic()
    assert first != second
    said = kafka.tools(
        "org.apache.kafka.tools.TopicCommand",
        "--bootstrap-server",
        kafka.bootstrap_servers,
        "--describe",
        "--topic",
        first,
    )
    assert "PartitionCount: 3" in said
