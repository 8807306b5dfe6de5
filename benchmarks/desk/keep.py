"""Records kept in a data directory, a SIGKILL, and all of them read again: `python -m benchmarks.desk.keep`.

Count, order and place of every record are checked; anything else than all of them, each once and in its place, fails.
"""

from __future__ import annotations

import struct
import tempfile
import time

from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks import measure
from benchmarks.desk.report import report
from kafkaboot.dev.embedded import EmbeddedKafka

PARTITIONS = 4
NUMBER = struct.Struct(">q")
REST = b"v" * (100 - NUMBER.size)
CHUNK = 10_000


def write(servers: str) -> None:
    """Number `n` goes to partition `n % PARTITIONS`."""
    producer = Producer({"bootstrap.servers": servers, "log_level": 2, "queue.buffering.max.messages": 1_000_000})
    for begin in range(0, measure.RECORDS, CHUNK):
        for partition in range(PARTITIONS):
            numbers = range(begin + partition, min(begin + CHUNK, measure.RECORDS), PARTITIONS)
            while len(producer) + CHUNK > 1_000_000:
                producer.poll(0.01)
            producer.produce_batch("kept", [{"value": NUMBER.pack(number) + REST} for number in numbers], partition)
    if producer.flush(60):
        raise SystemExit("not everything was acknowledged")


def check(servers: str) -> None:
    """Every record at its offset in its partition, and none behind the last."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "log_level": 2,
            "group.id": "bench",
            "fetch.queue.backoff.ms": 2,
            "enable.auto.commit": False,
        }
    )
    places = [TopicPartition("kept", partition, 0) for partition in range(PARTITIONS)]
    ends = sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
    if ends != measure.RECORDS:
        raise SystemExit(f"{ends:,} records are kept of {measure.RECORDS:,}")
    consumer.assign(places)
    following, seen, patience = [0] * PARTITIONS, 0, time.monotonic() + 60
    while seen < ends:
        for message in consumer.consume(CHUNK, 0.1):
            partition, offset, value = message.partition(), message.offset(), message.value()
            (number,) = NUMBER.unpack_from(value)
            if offset != following[partition] or number != offset * PARTITIONS + partition or len(value) != 100:
                raise SystemExit(f"kept-{partition} at offset {offset} has record {number}")
            following[partition] += 1
            seen += 1
        if time.monotonic() > patience:
            raise SystemExit(f"{seen:,} records of {ends:,} came back")
    consumer.close()


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="kafkaboot-bench-") as folder, EmbeddedKafka(data_dir=folder) as broker:
        began = time.monotonic()
        write(broker.bootstrap_servers)
        written = time.monotonic()
        broker.restart(clean=False)
        back = time.monotonic()
        check(broker.bootstrap_servers)
        report(write=written - began, restart=back - written, reread=time.monotonic() - back)


if __name__ == "__main__":
    main()
