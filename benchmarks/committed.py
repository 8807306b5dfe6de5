"""How old a record is when a reader of committed records has it, whoever wrote it: on a thread of the side's own."""

from __future__ import annotations

import threading
import time
import uuid

from confluent_kafka import Consumer, TopicPartition

from benchmarks import measure
from benchmarks.bare.client import decode


def watched(watch: measure.Stopwatch) -> None:
    """Take the age of every record of the output, from now on."""
    reader = Consumer(
        {
            "bootstrap.servers": measure.BOOTSTRAP,
            "group.id": f"bench-look-{uuid.uuid4().hex[:8]}",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 10,
            "fetch.queue.backoff.ms": 2,
        }
    )
    partitions = reader.list_topics(measure.OUT, timeout=10).topics[measure.OUT].partitions
    reader.assign([TopicPartition(measure.OUT, partition, 0) for partition in partitions])

    def read() -> None:
        while not watch.over:
            message = reader.poll(0.1)
            if message is not None and message.error() is None:
                watch.sample(time.monotonic_ns() - decode(message.value()).ts)
        reader.close()

    threading.Thread(target=read, daemon=True).start()
