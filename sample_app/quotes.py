"""Questions and answers: `await producer.request("quotes", QuoteWanted(...), reply_type=Quote)`, from any process."""

from kafkaboot import event_handler
from sample_app.events import Quote, QuoteWanted
from sample_app.tax import Tax


@event_handler("quotes", group="quotes", reply=True)
async def quote(wanted: QuoteWanted, tax: Tax) -> Quote:
    """Say what an order would cost; what is returned goes to whoever asked."""
    net = wanted.net()
    return Quote(net=net, amount=net + tax.on(net))
