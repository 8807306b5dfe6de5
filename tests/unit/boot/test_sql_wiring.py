"""Inboxes and the outbox of an application: what is refused at start, where it stands, and what costs nothing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
from sqlalchemy import create_engine, text

from kafkaboot.boot.application import Application
from kafkaboot.errors import KafkabootError
from kafkaboot.health import HealthIndicator
from kafkaboot.testing import eventually_async

HEAD = """
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

class Order(BaseModel):
    order_id: str

"""
SELL = (
    HEAD
    + """
@event_handler("orders", inbox=True)
async def sell(order: Order, session: AsyncSession) -> None:
    await session.execute(text("INSERT INTO sales VALUES (:id)"), {"id": order.order_id})
"""
)


def application(shop, **options):
    return Application(directory=shop.folder, environ={}, **options)


def refused(shop, handlers, yaml="  databases: {main: {url: 'sqlite:///shop.db'}}\n", **options):
    shop.handlers(handlers if handlers.startswith(HEAD) else HEAD + handlers)
    shop.yaml(yaml)
    with pytest.raises(KafkabootError) as raised:
        application(shop, **options).wire()
    return str(raised.value).replace(str(shop.folder), ".").replace(shop.name, "shop")


@pytest.mark.parametrize(
    ("handler", "told", "todo"),
    [
        (
            '@event_handler("orders", inbox=True)\nasync def sell(order: Order) -> None: ...',
            "has an inbox and takes no session",
            "session: AsyncSession (or AsyncConnection)",
        ),
        (
            '@event_handler("orders", inbox=True)\nasync def sell(order: Order, s: Session) -> None: ...',
            "is an `async def` and takes s as Session",
            "session: AsyncSession",
        ),
        (
            '@event_handler("orders", inbox=True)\ndef sell(order: Order, c: AsyncConnection) -> None: ...',
            "is a `def` and takes c as AsyncConnection",
            "session: Session",
        ),
        (
            '@event_handler("orders", inbox=True)\ndef sell(order: Order, a: Session, b: Connection) -> None: ...',
            "takes the transaction twice: a and b",
            "keep one",
        ),
        (
            '@event_handler("orders")\ndef sell(order: Order, session: Session) -> None: ...',
            "takes session as Session, and nothing provides one",
            "inbox=True",
        ),
        (
            '@event_handler("orders", inbox_key="ce_id")\ndef sell(order: Order) -> None: ...',
            "has inbox_key and no inbox",
            "inbox=True",
        ),
        (
            (
                '@event_handler("orders", inbox=True)\n@publisher("bills")\n'
                "def sell(order: Order, session: Session) -> Order: ..."
            ),
            "publishes what it returns",
            "outbox.add(session, topic, payload)",
        ),
        (
            '@event_handler("orders", inbox=True, reply=True)\ndef sell(order: Order, s: Session) -> Order: ...',
            "answers requests with what it returns",
            "outbox.add(session, topic, payload)",
        ),
        (
            '@event_handler("orders", inbox=True, transactional=True)\ndef sell(order: Order, s: Session) -> None: ...',
            "has an inbox and is transactional",
            "keep one of the two",
        ),
        (
            '@event_handler("orders", inbox="mian")\ndef sell(order: Order, session: Session) -> None: ...',
            "names the database 'mian', which does not exist",
            "did you mean `main`?",
        ),
        (
            (
                '@event_handler("orders", inbox=True, type="a")\ndef sell(order: Order, s: Session) -> None: ...\n'
                '@event_handler("orders", type="b")\ndef cancel(order: Order) -> None: ...'
            ),
            "handler cancel of the same group and topic has none",
            "a group of its own",
        ),
        (
            (
                '@event_handler("orders", inbox=True, type="a")\ndef sell(order: Order, s: Session) -> None: ...\n'
                '@event_handler(pattern="^ord.*", type="b")\ndef see(order: Order) -> None: ...'
            ),
            "handler see of the same group and topic has none",
            "a group of its own",
        ),
        ('@event_handler("orders", inbox=3)\ndef sell(order: Order) -> None: ...', "inbox=3", 'inbox="main"'),
        (
            '@event_handler("orders", inbox=True, inbox_key=3)\ndef sell(order: Order, s: Session) -> None: ...',
            "inbox_key must be",
            'inbox_key="ce_id"',
        ),
    ],
)
def test_what_cannot_be_right_is_refused_before_anything_starts(shop, handler, told, todo):
    said = refused(shop, handler)
    assert told in said
    assert todo in said
    assert "handlers.py:" in said


def test_a_handler_of_another_group_may_share_the_topic(shop):
    shop.handlers(SELL + '@event_handler("orders", group="audit")\ndef see(order: Order) -> None: ...\n')
    shop.yaml("  databases: {main: {url: 'sqlite:///shop.db'}}\n")
    rows = {row.id: row.inbox for row in application(shop).describe_handlers()}
    assert rows == {"sell": "yes", "see": None}


def test_an_inbox_without_a_database_says_what_to_write(shop):
    assert "kafkaboot.databases.main: {url: ...}" in refused(shop, SELL, "")


def test_an_inbox_without_sqlalchemy_says_what_to_install(shop, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "sqlalchemy" else find(name))
    said = refused(shop, SELL)
    assert "handler sell has inbox=True, which needs SQLAlchemy 2.0 or later" in said
    assert "pip install 'kafkaboot[sql]'" in said


def test_the_configuration_decides_over_the_code(shop):
    shop.handlers(HEAD + '@event_handler("orders")\ndef sell(order: Order, session: Session) -> None: ...')
    shop.yaml(
        "  databases: {main: {url: 'sqlite:///a.db'}, audit: {url: 'sqlite:///b.db'}}\n"
        "  handlers: {sell: {inbox: audit, inbox-key: ce_id}}\n"
    )
    (row,) = application(shop).describe_handlers()
    assert row.inbox == "audit"


async def test_a_password_in_a_url_is_shown_nowhere(shop, capsys, caplog):
    shop.handlers(SELL)
    shop.yaml("  databases: {main: {url: 'postgresql://shop:geheim@127.0.0.1:1/shop?connect_timeout=2'}}\n")
    made = application(shop)
    with pytest.raises(KafkabootError, match="database 'main' does not answer") as raised:
        await made.start()
    shown = [str(entry.value) for entry in made.configure().entries()]
    said = f"{raised.value}{shown}{capsys.readouterr()}{caplog.text}{made.blueprint.report}"
    assert "geheim" not in said
    assert "geheim" not in repr(raised.value)


async def test_an_inbox_has_its_tables_at_start_and_ends_the_group_where_the_offsets_begin_anew(shop, tmp_path):
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE sales (order_id TEXT)"))

    def sales():
        with engine.begin() as connection:
            return [row[0] for row in connection.execute(text("SELECT order_id FROM sales"))]

    shop.handlers(SELL)
    shop.yaml(f"  databases: {{main: {{url: '{url}'}}}}\n")
    made = application(shop)
    await made.start()
    await eventually_async(lambda: sales() == ["o-1", "o-2"], 10)
    await eventually_async(lambda: made.groups.groups[0].routes[0].counters.settled == 2, 10)
    assert {one.name for one in made.blueprint.container.all(HealthIndicator)} >= {"consumer", "databases"}
    assert (await made.stop()).drained
    # The clients of these tests give out everything from 0 again, as a topic that was made again does.
    made = application(shop)
    await made.start()
    await eventually_async(lambda: made.groups.groups[0].error is not None, 10)
    assert "stands at offset 2 of orders[0], and the partition begins anew at 0" in str(made.groups.groups[0].error)
    assert (await made.stop()).code == 6
    assert sales() == ["o-1", "o-2"]
    engine.dispose()


async def test_a_database_of_the_applications_own_is_used(shop, tmp_path):
    shop.handlers(
        SELL
        + """
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from kafkaboot.sql import Database

@component
def mine() -> Database:
    path = "PATH"
    return Database("mine", create_engine(f"sqlite:///{path}"), create_async_engine(f"sqlite+aiosqlite:///{path}"))
""".replace("PATH", str(tmp_path / "mine.db"))
    )
    shop.yaml()
    made = application(shop)
    await made.start()
    database = made.blueprint.container.get(shop.module("handlers").Database)
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE sales (order_id TEXT)"))

    def sales():
        with database.engine.begin() as connection:
            return [row[0] for row in connection.execute(text("SELECT order_id FROM sales"))]

    await eventually_async(lambda: sales() == ["o-1", "o-2"], 10)
    await made.stop()
    await database.dispose()


async def test_an_outbox_is_injected_and_its_relay_publishes(shop, tmp_path):
    shop.handlers(
        """
from kafkaboot.sql import Outbox

@component
class Desk:
    def __init__(self, outbox: Outbox):
        self.outbox = outbox
"""
    )
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    shop.yaml(f"  databases: {{main: {{url: '{url}'}}}}\n  outbox: {{database: main, poll-interval: 20ms}}\n")
    made = application(shop)
    await made.start()
    desk = made.blueprint.container.get(shop.module("handlers").Desk)
    engine = desk.outbox.relay.database.engine
    with engine.begin() as connection:
        desk.outbox.add(connection, "invoices", {"order_id": "1"}, key="o-1")
    await eventually_async(lambda: shop.module("clients").PRODUCED, 10)
    assert shop.module("clients").PRODUCED == [("invoices", b"o-1", b'{"order_id":"1"}')]
    assert {one.name for one in made.blueprint.container.all(HealthIndicator)} >= {"outbox", "databases"}
    await made.stop()


def test_without_its_section_nobody_gets_an_outbox(shop):
    shop.handlers("from kafkaboot.sql import Outbox\n@component\nclass Desk:\n    def __init__(self, o: Outbox): ...\n")
    shop.yaml("  databases: {main: {url: 'sqlite:///shop.db'}}\n")
    with pytest.raises(KafkabootError, match="Outbox"):
        application(shop).wire()


def test_an_application_without_a_database_loads_no_sqlalchemy(shop):
    shop.handlers('@event_handler("orders")\ndef bill(order: dict) -> None: ...')
    shop.yaml()
    script = (
        "import sys; from kafkaboot.boot.application import Application; "
        f"Application(directory={str(shop.folder)!r}, environ={{}}).wire(); sys.exit('sqlalchemy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
