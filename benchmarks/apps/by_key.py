"""Ordered by key, without waiting."""

from benchmarks.apps.counting import taken, watch
from benchmarks.orders import Order
from kafkaboot import event_handler


@event_handler("${BENCH_TOPIC}", ordering="key")
async def take(order: Order) -> None:
    if next(taken) in watch.marks:
        watch.mark()
