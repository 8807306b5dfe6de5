"""What a broker on the desk takes in and gives out: `python -m benchmarks.desk.throughput embedded|mock`.

The mock cluster keeps about 5 MiB of a partition, so the records go by rounds: a new topic of four partitions is filled
below that, then read to its end, on the same broker and with the same clients each time. Every record is counted.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks import measure
from benchmarks.desk.report import report
from kafkaboot.dev.embedded import EmbeddedKafka

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTITIONS = 4
"""What both brokers give a topic that a client names."""
FILL = 30_000
"""Records a partition and round: 3.3 MB of the mock's 5."""
VALUE = b"v" * 100
CHUNK = 10_000


@contextlib.contextmanager
def embedded() -> Iterator[tuple[str, int]]:
    with EmbeddedKafka() as broker:
        yield broker.bootstrap_servers, broker.pid


@contextlib.contextmanager
def mock() -> Iterator[tuple[str, int]]:
    command = [sys.executable, "-m", "benchmarks.desk.mock"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip(), process.pid
        process.stdin.close()


def cpu_seconds(pid: int) -> float:
    """CPU of all threads of another process, by its clock (clock_getcpuclockid(3) on Linux)."""
    return time.clock_gettime((~pid << 3) | 2)


def fill(producer: Producer, topic: str) -> float:
    """Seconds from the first record until all are acknowledged."""
    producer.list_topics(topic, timeout=10)
    began = time.monotonic()
    for _ in range(FILL // CHUNK):
        for partition in range(PARTITIONS):
            messages = [{"value": VALUE, "on_delivery": refuse} for _ in range(CHUNK)]
            if producer.produce_batch(topic, messages, partition) != CHUNK:
                raise SystemExit("the producer's queue is full")
        producer.poll(0)
    if producer.flush(60):
        raise SystemExit("not everything was acknowledged")
    return time.monotonic() - began


def refuse(error: object, _: object) -> None:
    if error is not None:
        raise SystemExit(f"a record was refused: {error}")


def drain(consumer: Consumer, topic: str) -> float:
    """Seconds from the first record to the last."""
    consumer.list_topics(topic, timeout=10)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(PARTITIONS)])
    seen, began, patience = 0, 0.0, time.monotonic() + 60
    while seen < FILL * PARTITIONS:
        chunk = consumer.consume(CHUNK, 0.1)
        began = began or (time.monotonic() if chunk else 0.0)
        seen += sum(message.error() is None and len(message.value()) == len(VALUE) for message in chunk)
        if time.monotonic() > patience:
            raise SystemExit(f"{seen:,} records of {FILL * PARTITIONS:,} came back")
    return time.monotonic() - began


def main(kind: str) -> None:
    rounds = max(1, measure.RECORDS // (FILL * PARTITIONS))
    records = rounds * FILL * PARTITIONS
    took, gave, used_in, used_out = 0.0, 0.0, 0.0, 0.0
    with {"embedded": embedded, "mock": mock}[kind]() as (servers, pid):
        common = {"bootstrap.servers": servers, "log_level": 2}
        producer = Producer({**common, "linger.ms": 5, "queue.buffering.max.messages": 500_000})
        consumer = Consumer({**common, "group.id": "bench", "fetch.queue.backoff.ms": 2, "enable.auto.commit": False})
        for place in range(rounds + 1):
            before = cpu_seconds(pid)
            filled = fill(producer, f"round-{place}")
            between = cpu_seconds(pid)
            drained = drain(consumer, f"round-{place}")
            if place:  # the first round makes connections
                took, gave = took + filled, gave + drained
                used_in, used_out = used_in + between - before, used_out + cpu_seconds(pid) - between
        consumer.close()
    report(taken=records / took, given=records / gave, cpu_in=used_in / records * 1e6, cpu_out=used_out / records * 1e6)


if __name__ == "__main__":
    main(sys.argv[1])
