"""An `async def` handler of a `msgspec.Struct`."""

from benchmarks.apps.counting import taken, watch
from benchmarks.orders import OrderStruct
from kafkaboot import event_handler


@event_handler("${BENCH_TOPIC}")
async def take(order: OrderStruct) -> None:
    if next(taken) in watch.marks:
        watch.mark()
