"""The brokers of the desk, really started."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import uuid
import warnings

import pytest
from confluent_kafka import Consumer, Producer

from kafkaboot.dev import BrokerStartError, NotInstalledError
from kafkaboot.dev.container import ContainerKafka
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
    consumer = Consumer(
        {"bootstrap.servers": servers, "group.id": f"{topic}-{uuid.uuid4().hex}", "auto.offset.reset": "earliest"}
    )
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


def test_a_killed_broker_comes_back_with_its_records_on_the_same_address(tmp_path):
    with LocalKafka(data_dir=tmp_path) as broker:
        address = broker.bootstrap_servers
        create = ("--bootstrap-server", address, "--create", "--topic", "kept", "--partitions", "1")
        broker.tools("org.apache.kafka.tools.TopicCommand", *create)
        _write(address, "kept", [b"before"])
        pid = broker.pid
        broker.kill()
        assert not _alive(pid)
        broker.restart(clean=False)
        assert broker.bootstrap_servers == address
        _write(address, "kept", [b"after the kill"])
        broker.restart(clean=True)
        assert _read(address, "kept", 2) == [b"before", b"after the kill"]
        assert str(tmp_path) in broker.describe()
    assert (tmp_path / "server.log").exists()
    with LocalKafka(data_dir=tmp_path) as again:
        assert _read(again.bootstrap_servers, "kept", 2) == [b"before", b"after the kill"]


def test_the_jvm_and_its_data_go_when_the_process_that_started_it_is_killed():
    code = (
        "import time\nfrom kafkaboot.dev.local import LocalKafka\n"
        "broker = LocalKafka()\nbroker.start()\nprint(broker.pid, broker.log, flush=True)\ntime.sleep(100)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        pid, log = parent.stdout.readline().split()
        assert _alive(int(pid))
        parent.send_signal(signal.SIGKILL)
        parent.wait(10)
    eventually(lambda: not _alive(int(pid)), 15, "the JVM ended")
    eventually(lambda: not os.path.exists(os.path.dirname(log)), 15, "the temporary data is removed")


def test_kafkas_own_words_are_in_the_error_of_a_tool_that_fails(kafka):
    with pytest.raises(BrokerStartError, match="exit code 1") as caught:
        kafka.tools("org.apache.kafka.tools.TopicCommand", "--bootstrap-server", kafka.bootstrap_servers, "--nonsense")
    assert "nonsense" in str(caught.value)


def _without_an_engine(broker: ContainerKafka) -> str:
    try:
        broker.start()
    except NotInstalledError as error:
        return str(error)
    return ""


def test_a_container_starts_where_there_is_an_engine():
    broker = ContainerKafka()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # docker-py forgets to close the socket
        reason = _without_an_engine(broker)
        gc.collect()
    if reason:
        pytest.skip(reason)
    with broker:
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
        assert producer.list_topics(timeout=20).brokers
