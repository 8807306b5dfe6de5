"""The inbox as users meet it: an application on a broker of the desk, with SQLite and with a real PostgreSQL."""

from __future__ import annotations

import itertools
import sys
import textwrap

import pytest
from confluent_kafka import Consumer, TopicPartition
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from kafkaboot.health import Status
from kafkaboot.sql import Databases
from kafkaboot.testing import TestApp, eventually_async
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
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    return create_engine(url, poolclass=NullPool)


@pytest.fixture
def shop(tmp_path, embedded, database_url):
    """`shop(handlers, more yaml)`: an application with a table, and a look into its database."""
    engine = plain(database_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE sales (order_id TEXT)"))

    class Shop:
        url, name = database_url, f"inboxshop{next(NUMBERS)}"

        def application(self, handlers, more="", drain="20s"):
            (tmp_path / f"{self.name}.py").write_text(EVENTS + handlers)
            yaml = f"""
            kafkaboot:
              application: {{name: {self.name}, packages: [{self.name}]}}
              kafka: {{broker: embedded}}
              databases: {{main: {{url: "{database_url}"}}}}
              retry: {{default: {{attempts: 3, backoff: {{initial: 20ms, max: 50ms}}}}}}
              consumer: {{commit-interval: 50ms, drain-timeout: {drain}, properties: {{heartbeat.interval.ms: 100}}}}
            """
            (tmp_path / "application.yaml").write_text(textwrap.dedent(yaml) + more)
            return TestApp(embedded, directory=tmp_path)

        def all(self, query, **values):
            with engine.begin() as connection:
                return [tuple(row) for row in connection.execute(text(query), values)]

        def all_of(self, *statements):
            with engine.begin() as connection:
                for statement in statements:
                    connection.execute(text(statement))

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


PARTITION = "  topics: {orders: {partitions: 1}}\n"
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


def committed(embedded, group, offset):
    """Set the group's offset of the first partition, as an operator would."""
    member = Consumer({"bootstrap.servers": embedded.bootstrap_servers, "group.id": group, "log_level": 0})
    member.commit(offsets=[TopicPartition("orders", 0, offset)], asynchronous=False)
    member.close()


async def test_the_position_in_the_database_wins_over_the_groups_offset(shop, embedded):
    def orders(*numbers):
        return [shop.module.Order(order_id=str(number)) for number in numbers]

    async with shop.application(ASYNC, PARTITION) as app:
        for order in orders(1, 2, 3):
            await app.publish("orders", order)
        await app.handler("sell").settled_within(3)
    assert shop.positions() == {0: 3}
    committed(embedded, shop.name, 0)  # Kafka has forgotten
    async with shop.application(ASYNC, PARTITION) as app:
        await app.publish("orders", *orders(4))
        await app.handler("sell").settled_within(1)
    assert shop.sales() == ["1", "2", "3", "4"]
    # The database is set back, as a restored one is: it knows nothing of 3 and 4.
    shop.all_of("DELETE FROM sales WHERE order_id > '2'", "UPDATE kafkaboot_inbox_position SET position = 2")
    async with shop.application(ASYNC, PARTITION) as app:
        await app.handler("sell").settled_within(2)
    assert shop.sales() == ["1", "2", "3", "4"]


BY_KEY = (
    ASYNC.replace("inbox=True", 'inbox=True, ordering="key"')
    .replace("    CALLS", "    if order.order_id == 'slow': await SLOW.wait()\n    CALLS")
    .replace("@event_handler", "import asyncio\nSLOW = asyncio.Event()\n\n@event_handler", 1)
)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has one writer at a time
async def test_by_key_what_was_done_beyond_a_slow_record_is_not_done_again(shop, embedded):
    async with shop.application(BY_KEY, PARTITION, drain="100ms") as app:
        order = shop.module.Order
        await app.publish("orders", order(order_id="slow"), key="s")
        for number in range(20):
            await app.publish("orders", order(order_id=f"{number:02}"), key=str(number))
        await eventually_async(lambda: len(shop.sales()) == 20, 10)
    committed(embedded, shop.name, 0)  # and with it the map of what is done beyond
    shop.module.SLOW.set()
    async with shop.application(BY_KEY, PARTITION) as app:
        await app.handler("sell").settled_within(21)
    assert shop.sales() == [*(f"{number:02}" for number in range(20)), "slow"]


DEAD = ASYNC.replace("raise ValueError", "raise DeadLetter").replace(
    "\n@event", "\nfrom kafkaboot import DeadLetter\n@event", 1
)


async def test_behind_a_dead_letter_it_goes_on_and_a_restart_writes_no_second_one(shop, embedded):
    async with shop.application(DEAD, PARTITION) as app:
        order = shop.module.Order
        await app.publish("orders", order(order_id="1"))
        await app.publish("orders", order(order_id="2", fails=9))
        await app.handler("sell").settled_within(2)
        await app.published_record(f"orders.{shop.name}.dlt")
    assert shop.positions() == {0: 2}
    committed(embedded, shop.name, 0)
    async with shop.application(DEAD, PARTITION) as app:
        await app.publish("orders", shop.module.Order(order_id="3"))
        await app.handler("sell").settled_within(1)
        await app.published_record(f"orders.{shop.name}.dlt")
        await app.nothing_published(f"orders.{shop.name}.dlt")
    assert shop.sales() == ["1", "3"]


BATCH = """
@event_handler("orders", inbox=True, batch=10, inbox_key="ce_id")
async def sell(orders: list[Order], session: AsyncSession) -> None:
    CALLS.append([order.order_id for order in orders])
    for index, order in enumerate(orders):
        await session.execute(ADD, {"order_id": order.order_id})
        if order.fails:
            raise BatchFailed(index, ValueError(order.order_id))
"""


async def test_a_batch_is_one_transaction_and_a_bad_record_of_it_goes_alone(shop):
    async with shop.application(BATCH, PARTITION) as app:
        order = shop.module.Order
        for number in range(12):
            headers = {"ce_id": f"e-{number % 10}"}  # 10 and 11 repeat 0 and 1
            await app.publish("orders", order(order_id=f"{number:02}", fails=9 * (number == 5)), headers=headers)
        await app.published_record(f"orders.{shop.name}.dlt")
        await eventually_async(lambda: len(shop.sales()) == 9, 10)
        await app.handler("sell").settled_within(12)
    assert shop.sales() == [f"{number:02}" for number in range(10) if number != 5]
    assert shop.positions() == {0: 12}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_database_that_goes_away_is_waited_for_and_no_record_is_given_up(shop, postgres):
    async with shop.application(ASYNC, PARTITION) as app:
        order = shop.module.Order
        await app.publish("orders", order(order_id="1"))
        await app.handler("sell").settled_within(1)
        postgres.halt()
        try:
            await app.publish("orders", order(order_id="2"))
            databases = app.get(Databases)
            await eventually_async(lambda: databases.health().status is Status.DOWN, 20)
        finally:
            postgres.launch()
        await app.publish("orders", order(order_id="3"))
        await app.handler("sell").settled_within(3, within=30)
        assert databases.health().status is Status.UP
        assert await app.all_published(f"orders.{shop.name}.dlt", dict) == []
    assert shop.sales() == ["1", "2", "3"]


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
