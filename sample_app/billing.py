"""An `async` handler that answers each event with another one."""

from kafkaboot import event_handler, publisher
from sample_app.events import InvoiceIssued, OrderPlaced
from sample_app.tax import Tax


@event_handler("orders")
@publisher("invoices", key="order_id")  # delivered before the order's offset may be committed
async def bill(order: OrderPlaced, tax: Tax) -> InvoiceIssued:
    """Issue the invoice of an order."""
    net = order.net()
    added = tax.on(net)
    return InvoiceIssued(order_id=order.order_id, net=net, tax=added, amount=net + added)
