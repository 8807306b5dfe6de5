"""On its first record it sends many, and awaits the deliveries of each batch before the next."""

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
        for delivery in [producer.send(OUT, placed, key=placed.buyer) for placed in orders]:
            await delivery
    watch.finish()
