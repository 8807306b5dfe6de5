"""A transactional handler: both entries of a booking, or none, and never twice, whoever is killed in between."""

from kafkaboot import event_handler, publisher
from sample_app.events import Entry, InvoiceIssued


@event_handler("invoices", group="ledger", transactional=True)
@publisher("ledger", key="account")
async def book(invoice: InvoiceIssued) -> list[Entry]:
    """Book an invoice: the customers owe it, and it is earned. Entries and offset are one transaction of Kafka."""
    return [
        Entry(account="receivables", order_id=invoice.order_id, amount=invoice.amount),
        Entry(account="revenue", order_id=invoice.order_id, amount=-invoice.amount),
    ]
