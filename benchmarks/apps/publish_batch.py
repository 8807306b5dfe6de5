"""It publishes many in batches, each delivered before the next begins: outside of a handler, as the bare loop does."""

import asyncio

from benchmarks.apps.counting import watch
from benchmarks.measure import OUT
from benchmarks.orders import Order, batches
from kafkaboot import Producer, component, event, event_handler, on_start


@event("order.placed")
class OrderPlaced(Order):
    pass


@component
class Publisher:
    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    @on_start
    async def begin(self) -> None:
        self._work = asyncio.create_task(self._run())

    async def _run(self) -> None:
        prepared = batches(OrderPlaced, watch.records)
        await asyncio.sleep(0.2)  # the application's own start is over
        watch.begin()
        for orders in prepared:
            await self._producer.publish_batch(OUT, orders, key="buyer")
        watch.finish()


@event_handler("${BENCH_TOPIC}")
async def ignore(record: bytes) -> None:
    pass
