"""What travels: each event has a name of its own on the wire, so that classes can be renamed and moved."""

from decimal import Decimal

from pydantic import BaseModel, Field

from kafkaboot import event


class Line(BaseModel):
    """One line of an order."""

    item: str
    quantity: int = Field(ge=1)
    price: Decimal = Field(ge=0)


def net_of(lines: list[Line]) -> Decimal:
    """What these goods cost without tax."""
    return sum((line.price * line.quantity for line in lines), Decimal(0))


@event("order.placed")
class OrderPlaced(BaseModel):
    """A customer ordered something."""

    order_id: str
    customer: str
    lines: list[Line] = Field(min_length=1)

    def net(self) -> Decimal:
        """What the goods cost without tax."""
        return net_of(self.lines)


@event("invoice.issued")
class InvoiceIssued(BaseModel):
    """An order was billed."""

    order_id: str
    net: Decimal
    tax: Decimal
    amount: Decimal


@event("stock.low")
class StockLow(BaseModel):
    """An item is nearly sold out and should be ordered again."""

    item: str
    left: int


@event("ledger.entry")
class Entry(BaseModel):
    """One side of a booking; both sides of an order add up to nothing."""

    account: str
    order_id: str
    amount: Decimal


@event("quote.wanted")
class QuoteWanted(BaseModel):
    """Somebody asks what an order would cost."""

    lines: list[Line] = Field(min_length=1)

    def net(self) -> Decimal:
        """What the goods would cost without tax."""
        return net_of(self.lines)


@event("quote")
class Quote(BaseModel):
    """What it would cost."""

    net: Decimal
    amount: Decimal
