"""On its first record it publishes many in batches, each delivered before the next begins."""

from benchmarks.apps.counting import watch
from benchmarks.measure import OUT
from benchmarks.orders import Order, batches
from kafkaboot import Producer, event, event_handler


@event("order.placed")
class OrderPlaced(Order):
    pass


@event_handler("${BENCH_TOPIC}")
async def go(order: Order, producer: Producer) -> None:
    if watch.over:
        return
    prepared = batches(OrderPlaced, watch.records)
    watch.begin()
    for orders in prepared:
        await producer.publish_batch(OUT, orders, key="buyer")
    watch.finish()
