"""A plain `def` handler: it runs in worker threads."""

from benchmarks.apps.counting import taken, watch
from benchmarks.orders import Order
from kafkaboot import event_handler


@event_handler("${BENCH_TOPIC}")
def take(order: Order) -> None:
    if next(taken) in watch.marks:
        watch.mark()
