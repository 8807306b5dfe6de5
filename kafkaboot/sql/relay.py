"""The relay: publishes the outbox's rows, at work in one process a database, on a thread of its own.

It reads from the beginning each time and takes away what the broker has, so that a row which becomes visible behind one
with a higher id is not passed over: there is no place that it remembers.
"""

from __future__ import annotations

import logging
import threading
from time import monotonic
from typing import TYPE_CHECKING

from sqlalchemy import and_, delete, func, not_, select, update
from sqlalchemy.exc import SQLAlchemyError

from kafkaboot.client.presets import PRODUCER
from kafkaboot.clock import SystemClock
from kafkaboot.consumer import Backoff
from kafkaboot.health import Health, Status
from kafkaboot.sql.database import WRITES
from kafkaboot.sql.lease import Lease
from kafkaboot.sql.round import Round, Row
from kafkaboot.sql.tables import OUTBOX, OUTBOX_TABLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from kafkaboot.client import ClientFactory, ProducerPort
    from kafkaboot.clock import Clock
    from kafkaboot.errors import ClientError
    from kafkaboot.sql.database import Database
    from kafkaboot.sql.outbox import Outbox
    from kafkaboot.sql.round import Line
    from kafkaboot.sql.settings import OutboxSettings

log = logging.getLogger("kafkaboot.sql")

PROPERTIES: Mapping[str, object] = {
    **PRODUCER,
    "max.in.flight.requests.per.connection": 5,
    "linger.ms": 1,
    "message.timeout.ms": 30_000,
}
"""They win over those of the application's producer, whose partitioner and compression the relay's has."""
COUNTED = 10_000
"""Waiting rows that are counted at most: more is said as so many."""
LOOK = 1.0
"""Seconds between two looks at how much waits."""
HELD = 100
"""Keys that may be held back by a row that is refused; more, and everything waits for the first of them."""
BACKOFF = Backoff(0.2, 30.0, jitter=False)
REST = 1.0
"""Seconds until a database that does not answer is tried again."""
STOP = 10.0
"""Seconds that stopping waits for what is on its way."""

_WAITING = OUTBOX.c.published_at.is_(None)


class _Refusal:
    """A line that is held back: its first row was refused."""

    def __init__(self) -> None:
        self.tries = 0
        self.due = 0.0
        self.text = ""


class Relay:
    """Publishes the rows of one database; a `HealthIndicator`.

    Args:
        outbox: Says when rows were written in this process.
        database: Where they are.
        clients: Makes the producer.
        settings: `kafkaboot.outbox`.
        properties: librdkafka properties of the application's producer; `PROPERTIES` win.
        clock: Time.

    Attributes:
        published: Rows that were published here.
        waiting: Rows that waited at the last look, `COUNTED` at most; only known to the relay that is at work.
        oldest: Seconds that the oldest of them had waited.
    """

    name = "outbox"

    def __init__(
        self,
        outbox: Outbox,
        database: Database,
        clients: ClientFactory,
        settings: OutboxSettings,
        properties: Mapping[str, object] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.database, self.settings = database, settings
        self.published = self.waiting = 0
        self.oldest = 0.0
        self._clients, self._properties = clients, {**(properties or {}), **PROPERTIES}
        self._clock: Clock = clock or SystemClock()
        self._lease = Lease(settings.lease)
        self._engine = database.engine.execution_options(**{WRITES: True})
        self._woken = outbox.woken
        self._port: ProducerPort | None = None
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._held: dict[Line, _Refusal] = {}
        self._looked = self._tidied = 0.0
        self._outages = 0
        database.need(OUTBOX_TABLES if settings.relay else (OUTBOX,))

    # --- life

    def start(self) -> None:
        """Begin, on a thread of its own; nothing where this process leaves the work to others.

        Raises:
            ClientError: The producer's configuration is refused.
        """
        if self.settings.relay and self._thread is None:
            self._port = self._clients.producer(self._properties)
            self._thread = threading.Thread(target=self._run, name="kafkaboot-outbox", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Finish what is on its way, and let another process go on. Blocks for `STOP` seconds at most."""
        self._stopping = True
        self._woken.set()
        if self._thread is not None:
            self._thread.join(STOP)

    def health(self) -> Health:
        """See `HealthIndicator`."""
        if not self.settings.relay:
            return Health(Status.UP, {"role": "writes only"})
        details: dict[str, object] = {
            "role": "at work" if self._lease.held else "stands by",
            "published": self.published,
        }
        late = False
        if self._lease.held:
            details |= {"waiting": self.waiting, "oldest": round(self.oldest, 1)}
            late = self.oldest > self.settings.behind_after
        else:
            details["at work"] = self._lease.holder
        refused = {topic: held.text for (topic, _), held in list(self._held.items())}
        if refused:
            details["refused"] = refused
        if self._outages:
            details["refused"] = "nothing can be published"
        down = bool(refused) or bool(self._outages) or late or self.database.trouble is not None
        return Health(Status.DOWN if down else Status.UP, details)

    # --- the thread

    def _run(self) -> None:
        while not self._stopping:
            try:
                rest = self._turn()
                self.database.answered()
            except SQLAlchemyError as error:
                self.database.away(error)
                rest = REST
            except Exception:
                log.exception("the outbox's relay failed; it goes on in %.0f s, and no row is lost", REST)
                rest = REST
            if rest and not self._stopping:
                self._woken.wait(rest)
            self._woken.clear()
        try:
            if self._lease.held:
                with self._engine.begin() as connection:
                    self._lease.give_back(connection)
        except SQLAlchemyError as error:
            log.warning("the outbox's lease could not be given back: %s", type(error).__name__)
        finally:
            if self._port is not None:
                self._port.close(STOP)

    def _turn(self) -> float:
        """One round; answers for how long there is nothing to do."""
        if not self._lease.held and not self._lease.due:
            return self.settings.lease / 10
        if self._lease.due and not self._tend():
            return self.settings.lease / 3
        with self.database.engine.connect() as connection:
            rows = self._read(connection)
            self._look(connection)
        self._tidy()
        if not rows:
            return self.settings.poll_interval
        return self._publish(rows)

    def _read(self, connection: Connection) -> list[Row]:
        """The first rows of lines that are not held back, in one statement.

        In several, one row could become visible behind the place that was read, and a later one of its key before it.
        """
        now = monotonic()
        held = [line for line, refusal in self._held.items() if refusal.due > now]
        if len(held) > HELD:
            return []
        columns = (OUTBOX.c.id, OUTBOX.c.topic, OUTBOX.c.record_key, OUTBOX.c.value, OUTBOX.c.headers)
        query = select(*columns).where(_WAITING).order_by(OUTBOX.c.id).limit(self.settings.batch)
        for topic, key in held:
            if isinstance(key, int):
                query = query.where(OUTBOX.c.id != key)
            else:
                same = and_(OUTBOX.c.topic == topic, OUTBOX.c.record_key.is_not(None), OUTBOX.c.record_key == key)
                query = query.where(not_(same) | OUTBOX.c.record_key.is_(None))
        return [Row(*row) for row in connection.execute(query)]

    def _publish(self, rows: Sequence[Row]) -> float:
        """Publish rows and take them away; answers for how long to rest before the next."""
        if self._port is None:
            self._port = self._clients.producer(self._properties)
        sent = Round(self._port, rows)
        while not sent.over:
            sent.go_on(self.settings.lease / 3)
            if self._lease.due:
                self._tend()
        self._take_away(sent.arrived)
        self.published += len(sent.arrived)
        if sent.failed and not sent.arrived and all(error.retriable for _, error in sent.failed.values()):
            return self._outage(next(iter(sent.failed.values()))[1])
        self._outages = 0
        lines = {row.line for row in rows} if self._held else ()
        for line in lines:
            if line not in sent.failed:
                self._held.pop(line, None)
        self._hold_back(sent.failed)
        return 0.0

    def _outage(self, error: ClientError) -> float:
        """Nothing gets out, and it is no row's fault."""
        self._outages += 1
        delay = BACKOFF.delay(self._outages)
        if self._outages == 1:
            log.error("outbox: nothing can be published: %s; rows are kept and tried again until it works", error.what)
        return delay

    def _tend(self) -> bool:
        """Keep the lease, or try to get it; answers whether it is held. A row is written now and then only."""
        had = self._lease.held
        with self._engine.begin() as connection:
            held = self._lease.tend(connection)
        if held != had:
            what = "publishes its outbox" if held else "does not publish its outbox any more: another process does"
            log.info("database %s: this process %s", self.database.name, what)
        return held

    def _take_away(self, ids: Sequence[int]) -> None:
        """The broker has them: only now may they go."""
        if not ids:
            return
        these = OUTBOX.c.id.in_(ids)
        keep = self.settings.published == "keep"
        with self._engine.begin() as connection:
            if keep:
                connection.execute(update(OUTBOX).where(these).values(published_at=self._clock.time()))
            else:
                connection.execute(delete(OUTBOX).where(these))

    def _hold_back(self, failed: Mapping[Line, tuple[Row, ClientError]]) -> None:
        """Rows that were refused wait, and their lines behind them; it is said when that is news, in one line."""
        news = []
        for line, (row, error) in failed.items():
            refusal = self._held.setdefault(line, _Refusal())
            refusal.tries += 1
            refusal.due = monotonic() + BACKOFF.delay(refusal.tries)
            if refusal.text != error.what:
                news.append((row, error))
            refusal.text = error.what
        if news:
            row, error = news[0]
            log.error(
                "outbox: row %d for topic %s could not be published: %s; it is kept and tried again, and later rows of "
                "its key wait behind it%s; to do: %s",
                row.id,
                row.topic,
                error.what,
                f" ({len(news) - 1} more rows like it)" if len(news) > 1 else "",
                error.todo or f"mend the cause, or delete the row of that id from {OUTBOX.name}",
            )

    def _look(self, connection: Connection) -> None:
        """How much waits."""
        now = monotonic()
        if now - self._looked < LOOK:
            return
        self._looked = now
        some = select(OUTBOX.c.created_at).where(_WAITING).order_by(OUTBOX.c.id).limit(COUNTED).subquery()
        count, oldest = connection.execute(select(func.count(), func.min(some.c.created_at))).one()
        self.waiting = int(count)
        self.oldest = max(0.0, self._clock.time() - oldest) if oldest is not None else 0.0

    def _tidy(self) -> None:
        """What was kept for long enough goes."""
        now = monotonic()
        if self.settings.published == "keep" and now - self._tidied > min(60.0, self.settings.keep_for):
            self._tidied = now
            before = self._clock.time() - self.settings.keep_for
            with self._engine.begin() as connection:
                connection.execute(delete(OUTBOX).where(OUTBOX.c.published_at < before))
