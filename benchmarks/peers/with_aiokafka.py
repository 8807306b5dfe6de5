"""aiokafka's `getmany` loop, decoding into pydantic, committing each second."""

from __future__ import annotations

import asyncio
import itertools
import time

from aiokafka import AIOKafkaConsumer
from pydantic import TypeAdapter

from benchmarks import measure
from benchmarks.orders import Order

watch = measure.Stopwatch()
taken = itertools.count(1)
decode = TypeAdapter(Order).validator.validate_json


async def take(order: Order) -> None:
    if next(taken) in watch.marks:
        watch.mark()


async def main() -> None:
    consumer = AIOKafkaConsumer(
        measure.TOPIC,
        bootstrap_servers=measure.BOOTSTRAP,
        group_id=measure.GROUP,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    due, committing = time.monotonic() + 1, None
    while not watch.over:
        chunks = await consumer.getmany(timeout_ms=200, max_records=500)
        for records in chunks.values():
            for record in records:
                await take(decode(record.value))
        if chunks and time.monotonic() >= due and (committing is None or committing.done()):
            committing, due = asyncio.create_task(consumer.commit()), time.monotonic() + 1
    if committing is not None:
        await committing
    await consumer.stop()


if __name__ == "__main__":
    asyncio.run(main())
