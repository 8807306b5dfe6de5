"""Ordered by key with a retry topic that keeps the order, each record waiting a millisecond, a hundred at once.

The records of the buyers whose name ends with `BENCH_FAILING` fail, always; those of the others are counted.
"""

import asyncio
import os

from benchmarks.apps.counting import taken, watch
from benchmarks.orders import Order
from kafkaboot import RetryPolicy, event_handler

FAILING = os.environ.get("BENCH_FAILING", "none")


class NeverError(Exception):
    """What a failing buyer's records raise."""


@event_handler(
    "${BENCH_TOPIC}", ordering="key", concurrency=100, retry=RetryPolicy(attempts=1, topics=(1.0,), keep_order="key")
)
async def take(order: Order) -> None:
    await asyncio.sleep(0.001)
    if order.buyer.endswith(FAILING):
        raise NeverError(order.buyer)
    if next(taken) in watch.marks:
        watch.mark()
