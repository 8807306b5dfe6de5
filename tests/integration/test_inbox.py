"""The inbox as users meet it: an application on a broker of the desk, with SQLite and with a real PostgreSQL."""

from __future__ import annotations

import itertools
import sys
import textwrap

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from kafkaboot.testing import TestApp
from kafkaboot.testing.brokers import SessionBrokers

NUMBERS = itertools.count(1)

EVENTS = """
from pydantic import BaseModel
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy import Connection
from kafkaboot import Context, Record, RetryPolicy, event, event_handler
from kafkaboot.errors import BatchFailed

CALLS = []
ADD = text("INSERT INTO sales (order_id) VALUES (:order_id)")

@event("order.placed")
class Order(BaseModel):
    order_id: str
    fails: int = 0
"""
ASYNC = """
@event_handler("orders", inbox=True)
async def sell(order: Order, session: AsyncSession, context: Context) -> None:
    CALLS.append(order.order_id)
    await session.execute(ADD, {"order_id": order.order_id})
    if order.fails >= context.attempt:
        raise ValueError(order.order_id)
"""
SYNC = """
@event_handler("orders", inbox=True)
def sell(order: Order, session: Session, context: Context) -> None:
    CALLS.append(order.order_id)
    session.execute(ADD, {"order_id": order.order_id})
    if order.fails >= context.attempt:
        raise ValueError(order.order_id)
"""
ASYNC_CONNECTION = ASYNC.replace("AsyncSession", "AsyncConnection")
SYNC_CONNECTION = SYNC.replace("Session", "Connection")


@pytest.fixture(scope="session")
def brokers():
    made = SessionBrokers()
    yield made
    made.stop()


@pytest.fixture
def embedded(brokers):
    return brokers.fresh("embedded")


def plain(url):
    """The same database for the test's own looks."""
    url = make_url(url)
    return create_engine(url.set(drivername="postgresql+psycopg") if url.drivername == "postgresql" else url)


@pytest.fixture
def shop(tmp_path, embedded, database_url):
    """`shop(handlers, more yaml)`: an application with a table, and a look into its database."""
    engine = plain(database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE sales (order_id TEXT)"))

    class Shop:
        url, name = database_url, f"inboxshop{next(NUMBERS)}"

        def application(self, handlers, more=""):
            (tmp_path / f"{self.name}.py").write_text(EVENTS + handlers)
            yaml = f"""
            kafkaboot:
              application: {{name: {self.name}, packages: [{self.name}]}}
              kafka: {{broker: embedded}}
              databases: {{main: {{url: "{database_url}"}}}}
              retry: {{default: {{attempts: 3, backoff: {{initial: 20ms, max: 50ms}}}}}}
              consumer: {{commit-interval: 50ms, properties: {{heartbeat.interval.ms: 100}}}}
            """
            (tmp_path / "application.yaml").write_text(textwrap.dedent(yaml) + more)
            return TestApp(embedded, directory=tmp_path)

        def all(self, query, **values):
            with engine.begin() as connection:
                return [tuple(row) for row in connection.execute(text(query), values)]

        def sales(self):
            return [order for (order,) in self.all("SELECT order_id FROM sales ORDER BY order_id")]

        def positions(self):
            return {p: at for p, at in self.all("SELECT partition, position FROM kafkaboot_inbox_position")}

        @property
        def module(self):
            return sys.modules[self.name]

    before = list(sys.path)
    yield Shop()
    sys.path[:] = before
    engine.dispose()


HANDLERS = [ASYNC, SYNC, ASYNC_CONNECTION, SYNC_CONNECTION]


@pytest.mark.parametrize("handlers", HANDLERS, ids=["async", "def", "async-connection", "def-connection"])
async def test_what_returns_is_committed_with_its_offset_and_what_raises_is_rolled_back(shop, handlers):
    async with shop.application(handlers) as app:
        order = shop.module.Order
        await app.publish("orders", order(order_id="1"), key="k")
        await app.publish("orders", order(order_id="2", fails=1), key="k")
        await app.publish("orders", order(order_id="3"), key="k")
        await app.handler("sell").settled_within(3)
        assert shop.sales() == ["1", "2", "3"]
        assert shop.module.CALLS == ["1", "2", "2", "3"]
    assert max(shop.positions().values()) == 3


OUTBOX = """
from kafkaboot.sql import Outbox

@event("bill.written")
class Bill(BaseModel):
    order_id: str

@event_handler("orders", inbox=True)
async def sell(order: Order, session: AsyncSession, context: Context, outbox: Outbox) -> None:
    await session.execute(ADD, {"order_id": order.order_id})
    outbox.add(session, "bills", Bill(order_id=order.order_id), key=order.order_id)
    if order.fails >= context.attempt:
        raise ValueError(order.order_id)
"""


async def test_what_a_handler_puts_into_the_outbox_is_published_once_it_is_committed_and_not_before(shop):
    async with shop.application(OUTBOX, "  outbox: {database: main}\n") as app:
        order = shop.module.Order
        await app.publish("orders", order(order_id="1", fails=1), key="k")
        await app.publish("orders", order(order_id="2"), key="k")
        first = await app.published("bills", shop.module.Bill, where=lambda bill: bill.order_id == "1")
        second = await app.published("bills", shop.module.Bill, where=lambda bill: bill.order_id == "2")
        assert (first.order_id, second.order_id) == ("1", "2")
        app.handler("sell").assert_settled(2)
        assert len(app.records("bills")) == 2
    assert shop.all("SELECT * FROM kafkaboot_outbox") == []
    assert shop.all("SELECT owner FROM kafkaboot_outbox_lease") == [("",)]
