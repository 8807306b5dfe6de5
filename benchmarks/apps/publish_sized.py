"""It publishes payloads of one size in batches, then some at a steady rate by a producer that does not linger, each timed."""

import asyncio
import time
from typing import Annotated

from benchmarks import sized
from benchmarks.apps.counting import watch
from benchmarks.measure import OUT
from kafkaboot import Named, Producer, component, event_handler, on_start


@component
class Publisher:
    def __init__(self, producer: Producer, quick: Annotated[Producer, Named("quick")]) -> None:
        self._producer, self._quick = producer, quick

    @on_start
    async def begin(self) -> None:
        self._work = asyncio.create_task(self._run())

    async def _run(self) -> None:
        prepared = sized.batches(watch.records)
        await asyncio.sleep(0.2)  # the application's own start is over
        watch.begin()
        for payloads in prepared:
            await self._producer.publish_batch(OUT, payloads)
        watch.lap()
        pool, rate = sized.payloads(), sized.steady()
        ages: list[asyncio.Task[None]] = []
        began = time.monotonic()
        for place in range(rate * sized.SECONDS):
            if (wait := began + place / rate - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            ages.append(asyncio.create_task(self._age(pool[place % len(pool)])))
        await asyncio.gather(*ages)
        watch.finish()

    async def _age(self, payload: bytes) -> None:
        began = time.monotonic_ns()
        await self._quick.publish(OUT, payload)
        watch.samples.append(time.monotonic_ns() - began)


@event_handler("${BENCH_TOPIC}")
async def ignore(record: bytes) -> None:
    pass
