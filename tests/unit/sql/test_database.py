"""Databases: their URLs, drivers and tables, and what is said when they cannot be used."""

import importlib.util

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from kafkaboot.errors import ConfigurationError, DeclarationError
from kafkaboot.health import Status
from kafkaboot.sql import INBOX_TABLES, OUTBOX_TABLES, Database, DatabaseError, Databases, DatabaseSettings, TablesError


def made(url, **more):
    return Database.of("main", DatabaseSettings(url=url, **more))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgres//shop:geheim@host", "is none"),
        ("shop:geheim", "is none"),
        ("mysql://shop:geheim@host/shop", "is for mysql"),
        ("sqlite:///:memory:?password=geheim", "in memory"),
        ("sqlite://", "in memory"),
        ("postgresql+nothing://shop:geheim@host/shop", "nothing"),
        ("postgresql+asyncpg://shop:geheim@host:port/shop", "is none"),
    ],
)
def test_a_url_that_cannot_be_used_is_told_without_showing_it(url, told):
    with pytest.raises(ConfigurationError, match=told) as raised:
        made(url)
    assert "geheim" not in str(raised.value)
    assert "geheim" not in repr(raised.value.__cause__)
    assert raised.value.where == "kafkaboot.databases.main.url"
    assert raised.value.todo


@pytest.mark.parametrize(
    ("url", "plain", "asynchronous"),
    [
        ("sqlite:///shop.db", "pysqlite", "aiosqlite"),
        ("sqlite+aiosqlite:///shop.db", "pysqlite", "aiosqlite"),
        ("postgresql://shop@host/shop", "psycopg", "psycopg"),
        ("postgresql+asyncpg://shop@host/shop", "psycopg", "psycopg"),
    ],
)
async def test_one_url_serves_def_and_async_def(url, plain, asynchronous):
    database = made(url)
    assert database.engine.dialect.driver == plain
    assert database.async_engine.dialect.driver == asynchronous
    await database.dispose()


def test_a_driver_that_is_not_installed_is_named(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "psycopg" else find(name))
    with pytest.raises(ConfigurationError, match="need its driver psycopg") as raised:
        made("postgresql://shop:geheim@host/shop")
    assert "pip install 'psycopg[binary]'" in raised.value.todo


def test_without_sqlalchemy_it_says_what_to_install(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sqlalchemy" else find(name))
    with pytest.raises(ConfigurationError, match=r"kafkaboot.databases.main needs SQLAlchemy") as raised:
        made("sqlite:///shop.db")
    assert "kafkaboot[sql]" in raised.value.todo


def test_a_database_that_does_not_answer_is_told_without_its_password(tmp_path):
    database = made("postgresql://shop:geheim@127.0.0.1:1/shop")
    database.need(INBOX_TABLES)
    with pytest.raises(DatabaseError, match="database 'main' does not answer") as raised:
        database.prepare()
    assert "geheim" not in str(raised.value)
    database.engine.dispose()


# --- tables


def test_tables_are_made_once_and_only_those_that_are_needed(tmp_path):
    for _ in range(2):
        database = made(f"sqlite:///{tmp_path / 'shop.db'}")
        database.need(INBOX_TABLES)
        database.prepare()
    with database.engine.begin() as connection:
        names = {name for (name,) in connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'"))}
    assert names == {table.name for table in INBOX_TABLES}
    database.engine.dispose()


def test_a_start_that_only_looks_says_what_is_missing(tmp_path):
    database = made(f"sqlite:///{tmp_path / 'shop.db'}", tables="validate")
    database.need(OUTBOX_TABLES)
    with pytest.raises(TablesError, match="lacks kafkaboot_outbox, kafkaboot_outbox_lease") as raised:
        database.prepare()
    assert "kafkaboot database ddl main" in raised.value.todo
    with database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE kafkaboot_outbox_lease (name TEXT, owner TEXT)"))
    with pytest.raises(TablesError, match=r"kafkaboot_outbox_lease\.beat"):
        database.prepare()
    database.engine.dispose()


def test_a_start_may_leave_the_tables_alone(tmp_path):
    database = made(f"sqlite:///{tmp_path / 'nowhere' / 'shop.db'}", tables="off")
    database.need(INBOX_TABLES)
    database.prepare()
    database.engine.dispose()


def test_what_is_printed_makes_the_tables(tmp_path):
    database = made(f"sqlite:///{tmp_path / 'shop.db'}", tables="validate")
    with database.engine.begin() as connection:
        for statement in database.ddl([*INBOX_TABLES, *OUTBOX_TABLES]).split(";"):
            if statement.strip():
                connection.execute(text(statement))
    database.need([*INBOX_TABLES, *OUTBOX_TABLES])
    database.prepare()
    database.engine.dispose()


# --- several databases


def test_the_only_database_needs_no_name_and_one_of_several_does():
    one = Databases({"main": DatabaseSettings(url="sqlite:///shop.db")})
    assert one.get().name == "main"
    assert one.get("main") is one.get()
    several = Databases({name: DatabaseSettings(url="sqlite:///shop.db") for name in ("main", "audit")})
    with pytest.raises(DeclarationError, match="names none, and there are several: audit, main"):
        several.get(what="handler sell")
    with pytest.raises(DeclarationError, match="'mian', which does not exist") as raised:
        several.get("mian", what="handler sell", where="shop.py:3")
    assert "did you mean `main`" in raised.value.todo
    with pytest.raises(DeclarationError, match="there is none"):
        Databases({}).get()


async def test_an_applications_own_engines_win_and_are_its_own_to_close(tmp_path):
    url = f"sqlite:///{tmp_path / 'shop.db'}"
    engine = create_engine(url)
    own = Database("main", engine, create_async_engine(url.replace("sqlite", "sqlite+aiosqlite")))
    databases = Databases({"main": DatabaseSettings(url="sqlite:///other.db", tables="validate")}, [own])
    found = databases.get("main")
    assert found.engine is engine
    assert found.settings.tables == "validate"
    connection = engine.connect()
    await databases.dispose()
    assert engine.pool.checkedout() == 1
    connection.close()
    await own.dispose()


def test_health_is_down_while_a_database_does_not_answer():
    databases = Databases({"main": DatabaseSettings(url="sqlite:///shop.db")})
    database = databases.get()
    assert databases.health().status is Status.UP
    database.away(RuntimeError("gone, password=geheim"))
    assert databases.health().status is Status.DOWN
    assert "geheim" not in str(databases.health().details)
    database.answered()
    assert databases.health().status is Status.UP
