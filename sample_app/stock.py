"""A plain `def` handler that takes orders in batches, in a thread, and in a consumer group of its own."""

from collections import Counter
from threading import Lock

from kafkaboot import component, event_handler, publisher
from sample_app.events import OrderPlaced, StockLow
from sample_app.settings import ShopSettings


@component
class Alarm:
    """A component whose method publishes: whoever calls it, what it returns goes to the topic."""

    @publisher("stock-alerts", key="item")
    def low(self, item: str, left: int) -> StockLow:
        """Announce an item that is nearly sold out."""
        return StockLow(item=item, left=left)


@component
class Shelf:
    """What is in stock. A shop would keep this in a database; a sample keeps it in memory."""

    def __init__(self, settings: ShopSettings, alarm: Alarm) -> None:
        self._size, self._low, self._alarm = settings.shelf_size, settings.low_stock, alarm
        self._pieces: dict[str, int] = {}
        self._lock = Lock()

    def take(self, item: str, quantity: int) -> None:
        """Take pieces from the shelf; announce when few are left, and have the shelf filled again."""
        with self._lock:  # batches of several partitions are handled at the same time, each in a thread
            left = self._pieces.get(item, self._size) - quantity
            low = left < self._low
            self._pieces[item] = self._size if low else left
        if low:
            self._alarm.low(item, max(0, left))


@event_handler("orders", group="stock", batch=200)
def reserve(orders: list[OrderPlaced], shelf: Shelf) -> None:
    """Reserve what was ordered; a batch touches each item once."""
    wanted: Counter[str] = Counter()
    for order in orders:
        for line in order.lines:
            wanted[line.item] += line.quantity
    for item, quantity in wanted.items():
        shelf.take(item, quantity)
