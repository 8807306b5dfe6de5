"""An `async def` handler of an event: each record's type is read from its headers."""

from benchmarks.apps.counting import taken, watch
from benchmarks.orders import Order
from kafkaboot import event, event_handler


@event("order.placed")
class OrderPlaced(Order):
    pass


@event_handler("${BENCH_TOPIC}")
async def take(order: OrderPlaced) -> None:
    if next(taken) in watch.marks:
        watch.mark()
