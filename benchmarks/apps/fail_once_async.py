"""Ordered by key; the tenth of all orders whose number ends with `BENCH_FAILING` fails once, and is tried again."""

import os

from benchmarks.apps.counting import taken, watch
from benchmarks.orders import Order
from kafkaboot import Context, RetryPolicy, event_handler

FAILING = int(os.environ.get("BENCH_FAILING", "-1"))


@event_handler("${BENCH_TOPIC}", ordering="key", retry=RetryPolicy(initial=0.001))
async def take(order: Order, context: Context) -> None:
    if order.order % 10 == FAILING and context.attempt == 1:
        raise OSError(order.buyer)
    if next(taken) in watch.marks:
        watch.mark()
