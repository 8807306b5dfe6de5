"""Each order is answered with an invoice, exactly once."""

from pydantic import BaseModel

from benchmarks.apps.counting import taken, watch
from benchmarks.orders import Order
from kafkaboot import event, event_handler, publisher


@event("invoice.issued")
class InvoiceIssued(BaseModel):
    order: int
    buyer: str
    amount: float


@event_handler("${BENCH_TOPIC}", transactional=True)
@publisher("${BENCH_OUT}", key="buyer")
async def bill(order: Order) -> InvoiceIssued:
    if next(taken) in watch.marks:
        watch.mark()
    return InvoiceIssued(order=order.order, buyer=order.buyer, amount=order.total)
