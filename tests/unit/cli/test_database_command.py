"""`kafkaboot database`."""

from __future__ import annotations

import importlib.util
import json
import sqlite3

YAML = "  databases: {main: {url: 'sqlite:///shop.db'}}\n"


def test_what_is_printed_makes_the_tables_and_nothing_is_connected_to(shop, call):
    folder = shop(YAML)
    done = call("database", "ddl")
    assert done.exit_code == 0, done.output
    with sqlite3.connect(":memory:") as database:
        database.executescript(done.stdout)
        names = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE name LIKE 'kafkaboot%'")}
    database.close()
    assert {"kafkaboot_inbox_position", "kafkaboot_inbox_record", "kafkaboot_inbox_key", "kafkaboot_outbox"} <= names
    assert not (folder / "shop.db").exists()


def test_one_half_may_be_asked_for(shop, call):
    shop(YAML)
    assert "kafkaboot_outbox" not in call("database", "ddl", "main", "--inbox").stdout
    assert "kafkaboot_inbox" not in call("database", "ddl", "main", "--outbox").stdout
    assert "kafkaboot_outbox_lease" in call("database", "ddl", "main", "--outbox").stdout


def test_each_kind_of_database_has_its_own_words(shop, call):
    shop("  databases: {main: {url: 'postgresql://shop:geheim@nowhere/shop'}}\n")
    done = call("database", "ddl")
    assert "BYTEA" in done.stdout
    assert "geheim" not in done.output


def test_a_database_that_does_not_exist_is_told(shop, call):
    shop(YAML)
    done = call("database", "ddl", "mian")
    assert done.exit_code != 0
    assert "did you mean `main`" in done.output


def test_without_sqlalchemy_it_says_what_to_install(shop, call, monkeypatch):
    shop(YAML)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "sqlalchemy" else find(name))
    done = call("database", "ddl")
    assert done.exit_code == 3
    assert "kafkaboot[sql]" in done.output


SELL = """
from sqlalchemy.orm import Session
from kafkaboot import event_handler

@event_handler("orders", inbox=True, concurrency=40)
def sell(order: dict, session: Session) -> None: ...
"""


def findings(call):
    return {one["subject"]: one for one in json.loads(call("doctor", "--json").stdout)}


def test_doctor_looks_at_a_database_that_is_used(shop, call):
    broker = "  kafka: {broker: embedded}\n"
    folder = shop(broker + YAML, SELL)
    assert findings(call)["database main"]["verdict"] == "warn"  # the connections
    (folder / "shop.db").touch()
    shop(broker + "  databases: {main: {url: 'sqlite:///shop.db', tables: validate, pool-size: 20}}\n", SELL)
    found = findings(call)["database main"]
    assert found["verdict"] == "fail"
    assert "lacks kafkaboot_inbox_position" in found["what"]
    assert "kafkaboot database ddl main" in found["todo"]
    with sqlite3.connect(folder / "shop.db") as database:
        database.executescript(call("database", "ddl").stdout)
    database.close()
    assert findings(call)["database main"]["verdict"] == "ok"
    shop(broker + "  databases: {main: {url: 'postgresql://shop:geheim@127.0.0.1:1/shop', pool-size: 20}}\n", SELL)
    found = findings(call)["database main"]
    assert (found["verdict"], "does not answer" in found["what"], "geheim" in str(found)) == ("fail", True, False)
