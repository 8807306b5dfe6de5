"""A database of SQLite, an inbox in it, records, and a handler's calls through it: no broker, no engine."""

import inspect
import itertools

import pytest
from sqlalchemy import text

from kafkaboot.client import TP
from kafkaboot.clock import ManualClock
from kafkaboot.sql import INBOX_TABLES, OUTBOX_TABLES, Database, DatabaseSettings, Inbox, InTransaction, Keys


class Raw:
    """A polled record."""

    def __init__(self, offset, headers=None, *, topic="orders", partition=0, key=b"k"):
        self._at, self._headers, self._key = (topic, partition, offset), headers, key

    def topic(self):
        return self._at[0]

    def partition(self):
        return self._at[1]

    def offset(self):
        return self._at[2]

    def key(self):
        return self._key

    def value(self):
        return b"{}"

    def headers(self):
        return self._headers

    def timestamp(self):
        return 1, 1_700_000_000_000


class Epoch:
    """An assignment of one partition."""

    def __init__(self, partition=0, *, topic="orders", in_order=True, position=None):
        self.tp, self.in_order, self.position = TP(topic, partition), in_order, position


class Process:
    """One process that owns a partition: its inbox, and its handler's calls."""

    def __init__(self, database, group="shop", *, is_async=True, keys=None, session=None, clock=None, **epoch):
        from sqlalchemy.ext.asyncio import AsyncSession
        from sqlalchemy.orm import Session

        self.inbox = Inbox(group, database, clock or ManualClock())
        self.keys = None if keys is None else Keys(group, "sell", keys, 100.0)
        kind = session or (AsyncSession if is_async else Session)
        self.around = InTransaction(self.inbox, "sell", self.keys, session=kind, is_async=is_async)
        self.is_async, self.epoch = is_async, Epoch(**epoch)
        self.starts = self.inbox.begin([self.epoch])

    @property
    def ledger(self):
        return self.inbox._ledgers[self.epoch.tp]

    async def handle(self, raw, work=None, attempt=1):
        """One record through the handler: a row, then whatever else it does."""
        if self.is_async:

            async def call(raw, attempt):
                session = self.around.current()
                await session.execute(text("INSERT INTO sales VALUES (:o)"), {"o": raw.offset()})
                answer = work(session) if work else None
                return await answer if inspect.isawaitable(answer) else answer

            return await self.around.single(call)(raw, attempt)

        def call(raw, attempt):
            session = self.around.current()
            session.execute(text("INSERT INTO sales VALUES (:o)"), {"o": raw.offset()})
            return work(session) if work else None

        return self.around.single(call)(raw, attempt)


class Shop:
    """A database with a table, as its owner sees it."""

    def __init__(self, path):
        self.url = f"sqlite:///{path}"
        self.database = Database.of("main", DatabaseSettings(url=self.url))
        self.database.need([*INBOX_TABLES, *OUTBOX_TABLES])
        self.database.prepare()
        self.run("CREATE TABLE sales (record_offset INTEGER)")

    def run(self, statement, **values):
        with self.database.engine.begin() as connection:
            found = connection.execute(text(statement), values)
            return [tuple(row) for row in found] if found.returns_rows else []

    def sales(self):
        return sorted(at for (at,) in self.run("SELECT record_offset FROM sales"))

    def position(self, partition=0):
        return dict(self.run("SELECT partition, position FROM kafkaboot_inbox_position"))[partition]

    def beyond(self):
        return sorted(at for (at,) in self.run("SELECT record_offset FROM kafkaboot_inbox_record"))

    def process(self, **options):
        return Process(self.database, **options)


@pytest.fixture
async def shop(tmp_path):
    made = Shop(tmp_path / f"shop{next(itertools.count())}.db")
    yield made
    await made.database.dispose()


@pytest.fixture(params=[True, False], ids=["async", "def"])
def is_async(request):
    return request.param
