"""A component: built once, and given to every handler that asks for it by its type."""

from decimal import ROUND_HALF_UP, Decimal

from kafkaboot import component
from sample_app.settings import ShopSettings

CENT = Decimal("0.01")


@component
class Tax:
    """Knows what is added to a net price."""

    def __init__(self, settings: ShopSettings) -> None:
        self._rate = settings.tax_rate

    def on(self, net: Decimal) -> Decimal:
        """The tax, rounded to the cent as a shop does it."""
        return (net * self._rate).quantize(CENT, ROUND_HALF_UP)
