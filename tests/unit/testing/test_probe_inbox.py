"""A handler with an inbox in a probe: nothing of its transaction stays. A simulation refuses it."""

from __future__ import annotations

import sys

import pytest
from sqlalchemy import create_engine, text

from kafkaboot.boot.application import Application
from kafkaboot.errors import DeclarationError
from kafkaboot.message import Record
from kafkaboot.testing import simulate
from kafkaboot.testing.probing import Probe

CODE = """
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from kafkaboot import event_handler

@event_handler("orders", inbox=True)
async def sell(order: str, session: AsyncSession) -> int:
    await session.execute(text("INSERT INTO sales VALUES (:o)"), {"o": order})
    if order == "bad":
        raise ValueError(order)
    return (await session.execute(text("SELECT count(*) FROM sales"))).scalar_one()

@event_handler("returns", inbox=True)
def take_back(order: str, session: Session) -> int:
    session.execute(text("INSERT INTO sales VALUES (:o)"), {"o": order})
    return session.execute(text("SELECT count(*) FROM sales")).scalar_one()
"""


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    package = f"inboxed_{id(tmp_path)}"
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text(CODE)
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    (tmp_path / "application.yaml").write_text(
        f"kafkaboot:\n  application: {{name: shop, packages: [{package}]}}\n  databases: {{main: {{url: '{url}'}}}}\n"
    )
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE sales (order_id TEXT)"))
    path = list(sys.path)
    yield package, engine
    sys.path[:] = path
    sys.modules.pop(package, None)
    engine.dispose()


def test_a_probe_calls_it_in_a_transaction_that_is_rolled_back(shop):
    _, engine = shop
    probing = Probe(Application())
    for handler, topic in (("sell", "orders"), ("take_back", "returns")):
        probed = probing(handler, Record(topic, 0, 41, value=b"tea"))
        assert (probed.outcome, probed.returned) == ("returned", 1), probed.error
    assert probing("sell", Record("orders", 0, 42, value=b"bad")).outcome == "raised"
    with engine.begin() as connection:
        assert connection.execute(text("SELECT * FROM sales")).all() == []
        assert connection.execute(text("SELECT name FROM sqlite_master")).scalars().all() == ["sales"]


def test_a_simulation_says_that_it_knows_no_databases(shop):
    package, _ = shop
    with pytest.raises(DeclarationError, match="handler sell has an inbox, and a simulation knows no databases"):
        simulate(package, {"orders": ["tea"]})
