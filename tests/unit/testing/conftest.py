"""One embedded broker for these tests, emptied between them, and an application to run on it."""

from __future__ import annotations

import logging
import sys
import textwrap

import pytest

from kafkaboot.testing.app import TestApp
from kafkaboot.testing.brokers import SessionBrokers

HANDLERS = """
from decimal import Decimal

from pydantic import BaseModel

from kafkaboot import component, event, event_handler, publisher, settings


@event("kit.order.placed")
class OrderPlaced(BaseModel):
    order_id: str
    total: Decimal


@event("kit.invoice.issued")
class InvoiceIssued(BaseModel):
    order_id: str
    amount: Decimal


@event("kit.invoice.refused")
class InvoiceRefused(BaseModel):
    order_id: str


@settings("kitshop")
class ShopSettings(BaseModel):
    tax_rate: Decimal = Decimal("0.19")


@component
class Tax:
    def __init__(self, settings: ShopSettings) -> None:
        self.rate = settings.tax_rate


@event_handler("orders", filter=lambda record: record.key != b"ignored")
@publisher("invoices", key="order_id")
async def bill(order: OrderPlaced, tax: Tax) -> InvoiceIssued | None:
    if order.order_id == "bad":
        raise ValueError("no such order")
    return InvoiceIssued(order_id=order.order_id, amount=order.total * (1 + tax.rate))
"""
YAML = """
kafkaboot:
  application: {name: kitshop, packages: [kitshop]}
  kafka: {broker: embedded, topics: validate}
  retry: {default: {attempts: 1000, backoff: {initial: 20ms, max: 50ms}}}
  consumer: {commit-interval: 50ms, properties: {heartbeat.interval.ms: 100}}
"""


@pytest.fixture(scope="session")
def brokers():
    made = SessionBrokers()
    yield made
    made.stop()


@pytest.fixture
def embedded(brokers):
    """An embedded broker with nothing in it."""
    return brokers.fresh("embedded")


@pytest.fixture(scope="session")
def kitshop(tmp_path_factory):
    """A folder with an application; the package can be imported."""
    folder = tmp_path_factory.mktemp("kitshop")
    (folder / "kitshop").mkdir()
    (folder / "kitshop" / "__init__.py").touch()
    (folder / "kitshop" / "handlers.py").write_text(textwrap.dedent(HANDLERS))
    (folder / "application.yaml").write_text(YAML)
    before = list(sys.path), list(logging.getLogger().handlers)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path[:], logging.getLogger().handlers[:] = before


@pytest.fixture
def running(embedded, kitshop):
    """`async with running() as app:` the application on the empty broker."""

    def make(**options):
        return TestApp(embedded, directory=kitshop, **options)

    return make
