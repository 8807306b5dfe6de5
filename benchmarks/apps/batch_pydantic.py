"""A batch handler."""

from benchmarks.apps.counting import watch
from benchmarks.orders import Order
from kafkaboot import event_handler


@event_handler("${BENCH_TOPIC}")
async def take(orders: list[Order]) -> None:
    watch.begin()
    watch.add(len(orders))
