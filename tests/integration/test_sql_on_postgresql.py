"""What only a database with several writers at a time can show: rows that become visible late, and locks."""

from __future__ import annotations

import asyncio
import threading

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from kafkaboot.client.memory import MemoryClients
from kafkaboot.sql import INBOX_TABLES, OUTBOX_TABLES, Database, DatabaseSettings, Outbox, OutboxSettings, Relay
from kafkaboot.testing import eventually_async
from tests.unit.sql.conftest import Process, Raw


class Shop:
    def __init__(self, url, **engine):
        url = url.replace("postgresql:", "postgresql+psycopg:")
        self.database = Database("main", create_engine(url, **engine), create_async_engine(url, **engine))
        self.database.need([*INBOX_TABLES, *OUTBOX_TABLES])
        self.database.prepare()
        self.run("CREATE TABLE IF NOT EXISTS sales (record_offset BIGINT)")

    def run(self, statement):
        with self.database.engine.begin() as connection:
            found = connection.execute(text(statement))
            return [tuple(row) for row in found] if found.returns_rows else []

    def sales(self):
        return sorted(at for (at,) in self.run("SELECT record_offset FROM sales"))


@pytest.fixture
async def made(postgres):
    shops = []

    def make(**engine):
        shops.append(Shop(postgres.url(), **engine))
        return shops[-1]

    yield make
    for shop in shops:
        await shop.database.dispose()


# --- the outbox


def after_the_last(self, connection):
    """What a relay that remembers its place would read."""
    rows = _read(self, connection)
    place = getattr(self, "place", 0)
    self.place = max([place, *(row.id for row in rows)])
    return [row for row in rows if row.id > place]


_read = Relay._read


@pytest.mark.parametrize("remembers", [False, True], ids=["as it is", "control"])
async def test_a_row_that_becomes_visible_behind_a_later_one_is_not_passed_over(made, monkeypatch, remembers):
    shop, clients, outbox = made(), MemoryClients(), Outbox()
    clients.kafka.create("bills", 1)
    if remembers:
        monkeypatch.setattr(Relay, "_read", after_the_last)
    relay = Relay(outbox, shop.database, clients, OutboxSettings())
    early, late = Session(shop.database.engine), Session(shop.database.engine)
    outbox.add(early, "bills", b"1", key="a")
    early.flush()  # it has its id now
    outbox.add(late, "bills", b"2", key="b")
    late.commit()
    relay._turn()
    assert [record.value() for record in clients.kafka.records("bills")] == [b"2"]
    early.commit()
    relay._turn()
    published = [record.value() for record in clients.kafka.records("bills")]
    assert published == ([b"2"] if remembers else [b"2", b"1"])
    assert shop.run("SELECT count(*) FROM kafkaboot_outbox") == [(1 if remembers else 0,)]
    early.close()
    late.close()


async def test_two_relays_that_begin_together_make_one_row_and_one_is_at_work(made):
    shop, clients, outbox = made(), MemoryClients(), Outbox()
    relays = [Relay(outbox, shop.database, clients, OutboxSettings()) for _ in range(4)]
    threads = [threading.Thread(target=relay._turn) for relay in relays]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(relay._lease.held for relay in relays) == 1


async def test_tables_that_several_processes_make_at_once_are_made(made, postgres):
    url, errors = postgres.url(), []

    def prepare():
        database = Database.of("main", DatabaseSettings(url=url))
        database.need([*INBOX_TABLES, *OUTBOX_TABLES])
        try:
            database.prepare()
        except Exception as error:
            errors.append(error)
        database.engine.dispose()

    threads = [threading.Thread(target=prepare) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


# --- the inbox


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("in_order", [True, False], ids=["in-order", "by-key"])
async def test_two_owners_at_one_record_at_the_same_moment_commit_it_once(made, isolation, in_order):
    shop = made(isolation_level=isolation)
    zombie, owner = (Process(shop.database, in_order=in_order) for _ in range(2))
    inside = asyncio.Event(), asyncio.Event()

    async def both_inside(mine, other):
        inside[mine].set()
        await inside[other].wait()

    async def handle(process, mine, other, offset):
        for attempt in range(1, 30):
            try:
                return await process.handle(Raw(offset), lambda _: both_inside(mine, other), attempt)
            except Exception:
                await asyncio.sleep(0)
        raise AssertionError("it never came through")

    for offset in range(3):
        await asyncio.gather(handle(zombie, 0, 1, offset), handle(owner, 1, 0, offset))
        for event in inside:
            event.clear()
    assert shop.sales() == [0, 1, 2]


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
async def test_a_transaction_that_began_before_its_record_was_settled_and_pruned_is_fenced(
    made, monkeypatch, isolation
):
    monkeypatch.setattr("kafkaboot.sql.ledger.MOVES", 1)
    shop = made(isolation_level=isolation)
    zombie, owner = (Process(shop.database, in_order=False) for _ in range(2))
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def wait(_):
        inside.set()
        await go_on.wait()

    stopped = asyncio.create_task(zombie.handle(Raw(1), wait))
    await inside.wait()
    for offset in (1, 2, 3):
        await owner.handle(Raw(offset))
        owner.epoch.position = offset + 1
    assert shop.run("SELECT count(*) FROM kafkaboot_inbox_record WHERE record_offset = 1") == [(0,)]
    go_on.set()
    await asyncio.gather(stopped, return_exceptions=True)
    await zombie.handle(Raw(1), attempt=2)
    assert shop.sales() == [1, 2, 3]


async def test_a_connection_that_the_server_ends_is_no_attempt(made):
    shop = made()
    process = Process(shop.database)

    async def cut(session):
        (pid,) = (await session.execute(text("SELECT pg_backend_pid()"))).one()
        await asyncio.to_thread(shop.run, f"SELECT pg_terminate_backend({pid})")
        await session.execute(text("SELECT 1"))

    with pytest.raises(Exception, match="does not answer"):
        await process.handle(Raw(1), cut)
    await process.handle(Raw(1))
    assert shop.sales() == [1]


async def test_a_handler_that_is_cancelled_in_its_sql_leaves_nothing_and_can_be_called_again(made):
    shop = made()
    process = Process(shop.database)
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await process.handle(Raw(1), lambda session: session.execute(text("SELECT pg_sleep(20)")))
    assert shop.sales() == []
    await process.handle(Raw(1), attempt=2)
    assert shop.sales() == [1]


async def test_two_transactions_that_wait_for_each_other_are_done_again_without_an_attempt(made):
    shop = made()
    shop.run("CREATE TABLE stock (item TEXT PRIMARY KEY, n INTEGER)")
    shop.run("INSERT INTO stock VALUES ('a', 0), ('b', 0)")
    one, other = Process(shop.database, partition=0), Process(shop.database, partition=1)
    first = asyncio.Event(), asyncio.Event()

    def crossing(mine, items):
        async def work(session):
            await session.execute(text("UPDATE stock SET n = n + 1 WHERE item = :i"), {"i": items[0]})
            first[mine].set()
            await first[1 - mine].wait()
            await session.execute(text("UPDATE stock SET n = n + 1 WHERE item = :i"), {"i": items[1]})

        return work

    answers = await asyncio.gather(
        one.handle(Raw(1), crossing(0, "ab")),
        other.handle(Raw(1, partition=1), crossing(1, "ba")),
        return_exceptions=True,
    )
    (deadlock,) = [answer for answer in answers if answer is not None]
    assert "gave way to another one" in str(deadlock)
    loser, raw = (one, Raw(1)) if answers[0] is deadlock else (other, Raw(1, partition=1))
    await loser.handle(raw, crossing(0, "ab"))
    assert shop.run("SELECT n FROM stock") == [(2,), (2,)]


async def test_a_key_that_another_transaction_is_claiming_is_waited_for(made):
    shop = made()
    one, other = (Process(shop.database, keys="ce_id", partition=partition) for partition in (0, 1))
    inside, go_on = asyncio.Event(), asyncio.Event()

    async def wait(_):
        inside.set()
        await go_on.wait()

    slow = asyncio.create_task(one.handle(Raw(1, [("ce_id", b"e")]), wait))
    await inside.wait()
    second = asyncio.create_task(other.handle(Raw(2, [("ce_id", b"e")], partition=1)))
    locks = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    await eventually_async(lambda: shop.run(locks) != [(0,)], 10, "the second one waits")
    go_on.set()
    await asyncio.gather(slow, second)
    assert shop.sales() == [1]
