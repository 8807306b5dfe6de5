"""A database: its engines, for `def` and for `async def`, and whether it answers."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import threading
from typing import TYPE_CHECKING, Any

from kafkaboot.errors import ConfigurationError, DeclarationError
from kafkaboot.health import Health, Status
from kafkaboot.sql.faults import need_sqlalchemy, no_such_database, told
from kafkaboot.sql.settings import DatabaseSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sqlalchemy import URL, Engine, Table
    from sqlalchemy.ext.asyncio import AsyncEngine

log = logging.getLogger("kafkaboot.sql")

DRIVERS = {"sqlite": ("pysqlite", "aiosqlite"), "postgresql": ("psycopg", "psycopg")}
"""By kind of database, the driver of `def` code and that of `async def` code, where the URL names none that fits."""
ASYNC_ONLY, SYNC_ONLY = {"asyncpg", "aiosqlite"}, {"pysqlite", "psycopg2", "pg8000", "psycopg2cffi"}
MODULES = {"pysqlite": "sqlite3"}
CONNECT = 10
"""Seconds that making a connection may take, where the URL says nothing else."""
WRITES = "kafkaboot_writes"
"""An execution option: the transaction writes, so that SQLite takes its lock when it begins."""


class Database:
    """One database.

    A component of this type replaces the database of that name under `kafkaboot.databases`, so that an application
    brings engines of its own.

    Args:
        name: Its name.
        engine: For `def` handlers, the relay, and the house's own looks.
        async_engine: For `async def` handlers. It must lead to the same database.
        settings: `kafkaboot.databases.<name>`; its URL is not read.

    Raises:
        ConfigurationError: It is neither SQLite nor PostgreSQL.
    """

    def __init__(
        self,
        name: str,
        engine: Engine,
        async_engine: AsyncEngine | None = None,
        settings: DatabaseSettings | None = None,
    ) -> None:
        self.name, self.engine, self._async_engine = name, engine, async_engine
        self.settings = settings or DatabaseSettings(url="")
        self.trouble: str | None = None
        self.closing: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self._needed: dict[str, Table] = {}
        if self.kind not in DRIVERS:
            raise _unfit(name, f"is for {self.kind}", "inboxes and outboxes live in SQLite or PostgreSQL")

    @classmethod
    def of(cls, name: str, settings: DatabaseSettings) -> Database:
        """The database of a section of the configuration; nothing is connected.

        Raises:
            ConfigurationError: The URL cannot be used, or its driver is not installed. The text does not show it.
        """
        need_sqlalchemy(f"kafkaboot.databases.{name}")
        from sqlalchemy import create_engine

        url = _url(name, settings)
        sync_url = _for(name, url, asynchronous=False)
        return cls(name, _tuned(create_engine(sync_url, **_options(sync_url, settings)), settings), settings=settings)

    @property
    def kind(self) -> str:
        """`sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @property
    def async_engine(self) -> AsyncEngine:
        """The engine of `async def` handlers; made when it is first asked for.

        Raises:
            ConfigurationError: Its driver is not installed.
        """
        with self._lock:
            if self._async_engine is None:
                from sqlalchemy.ext.asyncio import create_async_engine

                url = _for(self.name, self.engine.url, asynchronous=True)
                made = create_async_engine(url, **_options(url, self.settings))
                _tuned(made.sync_engine, self.settings)
                self._async_engine = made
            return self._async_engine

    def need(self, tables: Sequence[Table]) -> None:
        """These are used: `prepare` sees to them."""
        self._needed.update((table.name, table) for table in tables)

    def prepare(self) -> None:
        """Make or look at the tables that are needed. Blocks.

        Raises:
            DatabaseError: It does not answer.
            TablesError: Tables are missing.
        """
        if self._needed:
            from kafkaboot.sql.tables import provide

            provide(self.engine, self.name, list(self._needed.values()), self.settings.tables)

    def lacking(self) -> list[str]:
        """The tables that are needed and missing, and columns. Blocks.

        Raises:
            DatabaseError: It does not answer.
        """
        from kafkaboot.sql.tables import lacking

        return lacking(self.engine, self.name, list(self._needed.values()))

    def ddl(self, tables: Sequence[Table]) -> str:
        """The SQL that makes the tables."""
        from kafkaboot.sql.tables import ddl

        return ddl(self.engine.dialect, tables)

    # --- whether it answers

    def away(self, error: BaseException) -> str:
        """It did not answer; answers what is said of it. Any thread."""
        text = told(error)
        if self.trouble is None:
            log.error(
                "database %s: %s; records that need it are kept and wait, which is no attempt; to do: see whether it "
                "runs",
                self.name,
                text,
            )
        self.trouble = text
        return text

    def answered(self) -> None:
        """It does again. Any thread."""
        if self.trouble is not None:
            self.trouble = None
            log.info("database %s answers again", self.name)

    async def rest(self) -> None:
        """End what is done beside the handlers."""
        for close in self.closing:
            await asyncio.to_thread(close)

    async def dispose(self) -> None:
        """Close all connections."""
        await self.rest()
        if self._async_engine is not None:
            await self._async_engine.dispose()
        await asyncio.to_thread(self.engine.dispose)


class Databases:
    """The application's databases by name; a `HealthIndicator`.

    Args:
        settings: `kafkaboot.databases`.
        own: Those that the application brings itself; they win.
    """

    name = "databases"

    def __init__(self, settings: Mapping[str, DatabaseSettings], own: Iterable[Database] = ()) -> None:
        self._own = {database.name: database for database in own}
        self._settings = settings
        self._made: dict[str, Database] = dict(self._own)
        for name, database in self._own.items():
            if name in settings:
                database.settings = settings[name]

    @property
    def names(self) -> list[str]:
        """All names."""
        return sorted({*self._settings, *self._own})

    def get(self, name: str | None = None, *, what: str = "the application", where: str = "") -> Database:
        """A database; it is made when it is first asked for.

        Args:
            name: Its name; `None` for the only one.
            what: Who asks, for the text.
            where: File and line of who asks.

        Raises:
            DeclarationError: There is none of that name, or several and none is named.
            ConfigurationError: Its URL cannot be used.
        """
        names = self.names
        if name is None:
            if len(names) != 1:
                raise unclear(names, what, where)
            name = names[0]
        if name not in names:
            raise no_such_database(name, names, what, where)
        if name not in self._made:
            self._made[name] = Database.of(name, self._settings[name])
        return self._made[name]

    def prepare(self) -> None:
        """See to the tables of all that are used. Blocks."""
        for database in self._made.values():
            database.prepare()

    async def dispose(self) -> None:
        """Close what was made here; engines that the application brought are its own to close."""
        for name, database in self._made.items():
            await (database.rest() if name in self._own else database.dispose())

    def health(self) -> Health:
        """See `HealthIndicator`."""
        troubled = {name: one.trouble for name, one in self._made.items() if one.trouble is not None}
        details: dict[str, object] = {name: troubled.get(name, "UP") for name in self._made}
        return Health(Status.DOWN if troubled else Status.UP, details)


def unclear(names: Sequence[str], what: str, where: str) -> DeclarationError:
    """None or several databases, and none is named."""
    if not names:
        return DeclarationError(
            f"{what} wants a database, and there is none",
            where=where,
            todo="write kafkaboot.databases.main: {url: ...}, for example sqlite:///shop.db or postgresql://...",
        )
    return DeclarationError(
        f"{what} wants a database and names none, and there are several: {', '.join(names)}",
        where=where,
        todo=f'name one of them: inbox="{names[0]}"',
    )


def _unfit(name: str, what: str, todo: str) -> ConfigurationError:
    return ConfigurationError(
        f"the URL of database {name!r} {what}", where=f"kafkaboot.databases.{name}.url", todo=todo
    )


def _url(name: str, settings: DatabaseSettings) -> URL:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    todo = "for example postgresql://user:password@host:5432/shop, or sqlite:///shop.db"
    try:
        url = make_url(settings.url.get_secret_value())
    except (ArgumentError, ValueError):
        raise _unfit(name, "is none (it is not shown: it may hold a password)", todo) from None
    if url.get_backend_name() not in DRIVERS:
        raise _unfit(
            name, f"is for {url.get_backend_name()}", f"inboxes and outboxes need SQLite or PostgreSQL: {todo}"
        )
    if url.get_backend_name() == "sqlite" and url.database in {None, "", ":memory:"}:
        raise _unfit(
            name,
            "is SQLite in memory, of which each connection has its own",
            "name a file: sqlite:///shop.db (three slashes: relative, four: absolute)",
        )
    return url


def _for(name: str, url: URL, *, asynchronous: bool) -> URL:
    """The URL with a driver that fits."""
    from sqlalchemy.exc import NoSuchModuleError

    kind, _, driver = url.drivername.partition("+")
    if not driver or driver in (SYNC_ONLY if asynchronous else ASYNC_ONLY):
        driver = DRIVERS[kind][asynchronous]
    if importlib.util.find_spec(MODULES.get(driver, driver)) is None:
        whom = "`async def` handlers" if asynchronous else "`def` handlers, and the house's own looks at the tables,"
        package = "psycopg[binary]" if driver == "psycopg" else driver
        raise _unfit(name, f"leads to {kind}, and {whom} need its driver {driver}", f"pip install '{package}'")
    fitting = url.set(drivername=f"{kind}+{driver}")
    try:
        fitting.get_dialect()
    except NoSuchModuleError:
        raise _unfit(name, f"names the driver {driver}, which SQLAlchemy does not know", "leave it out") from None
    return fitting


def _options(url: URL, settings: DatabaseSettings) -> dict[str, Any]:
    options: dict[str, Any] = {"pool_size": settings.pool_size, "max_overflow": 2 * settings.pool_size}
    if url.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": settings.busy_timeout, "check_same_thread": False}
    elif url.get_driver_name() == "psycopg" and "connect_timeout" not in url.query:
        options["connect_args"] = {
            "connect_timeout": CONNECT
        }  # else a host that swallows packets is waited for by minutes
    return options


def _tuned(engine: Engine, settings: DatabaseSettings) -> Engine:
    """SQLite's own driver begins a transaction at the first change only, and fails where a reader becomes a writer."""
    if engine.dialect.name != "sqlite":
        return engine
    from sqlalchemy import event

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {int(settings.busy_timeout * 1000)}")
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = NORMAL")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        writes = connection.get_execution_options().get(WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine
