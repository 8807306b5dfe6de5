"""Ordered by partition, each record waiting a millisecond."""

import asyncio

from benchmarks.apps.counting import taken, watch
from benchmarks.orders import Order
from kafkaboot import event_handler


@event_handler("${BENCH_TOPIC}")
async def take(order: Order) -> None:
    await asyncio.sleep(0.001)
    if next(taken) in watch.marks:
        watch.mark()
