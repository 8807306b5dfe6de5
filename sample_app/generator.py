"""Customers for a desk: places random orders while the application runs. On in the profile `dev`."""

import asyncio
import logging
import random
import uuid
from decimal import Decimal

from kafkaboot import Producer, PublishError, component, on_start, on_stop
from sample_app.events import Line, OrderPlaced
from sample_app.settings import ShopSettings

log = logging.getLogger("sample_app.generator")

PRICES = {"apples": "1.20", "bread": "3.80", "cheese": "6.50", "dates": "4.10", "eggs": "2.90"}


def random_order(customers: int) -> OrderPlaced:
    """An order as somebody might place it."""
    items = random.sample(sorted(PRICES), random.randint(1, 3))
    lines = [Line(item=item, quantity=random.randint(1, 5), price=Decimal(PRICES[item])) for item in items]
    customer = f"customer-{random.randint(1, customers)}"
    return OrderPlaced(order_id=uuid.uuid4().hex[:12], customer=customer, lines=lines)


@component
class OrderGenerator:
    """Publishes at `shop.generator.rate`, from the start of the application to its end."""

    def __init__(self, producer: Producer, settings: ShopSettings) -> None:
        self._producer, self._settings = producer, settings.generator
        self._customers: asyncio.Task[None] | None = None

    @on_start
    async def open_doors(self) -> None:
        """Let the customers in."""
        if self._settings.rate > 0:
            self._customers = asyncio.create_task(self._order())

    @on_stop
    async def close_doors(self) -> None:
        """Send them home."""
        if self._customers is not None:
            self._customers.cancel()
            await asyncio.gather(self._customers, return_exceptions=True)

    async def _order(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            order = random_order(self._settings.customers)
            try:
                # By customer: the orders of one customer stay in one partition, in their order.
                await self._producer.publish("orders", order, key=order.customer)
            except PublishError as error:
                log.warning("an order was lost on the way: %s", error)
            # By the clock, not by pauses: a slow answer does not lower the rate.
            due = max(due + 1 / self._settings.rate, loop.time() - 1)
            await asyncio.sleep(due - loop.time())
