"""FastStream on confluent-kafka, `AckPolicy.ACK_FIRST` (its default, and its fastest)."""

from __future__ import annotations

import asyncio
import itertools

from faststream import AckPolicy, FastStream
from faststream.confluent import KafkaBroker

from benchmarks import measure
from benchmarks.orders import Order

broker = KafkaBroker(measure.BOOTSTRAP, logger=None)
watch = measure.Stopwatch(terminate=True)
taken = itertools.count(1)


@broker.subscriber(
    measure.TOPIC, group_id=measure.GROUP, auto_offset_reset="earliest", ack_policy=AckPolicy.ACK_FIRST
)  # fmt: skip
async def take(order: Order) -> None:
    if next(taken) in watch.marks:
        watch.mark()


if __name__ == "__main__":
    asyncio.run(FastStream(broker, logger=None).run())
