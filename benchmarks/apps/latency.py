"""Measures how old each record is when its handler begins."""

import time

from benchmarks.apps.counting import watch
from benchmarks.orders import Order
from kafkaboot import event_handler


@event_handler("${BENCH_TOPIC}")
async def take(order: Order) -> None:
    watch.sample(time.monotonic_ns() - order.ts)
