"""The inbox of a group in a database: where its partitions stand there, and what is done beside the handlers' calls."""

from __future__ import annotations

import logging
import threading
from functools import partial
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING

from sqlalchemy.exc import SQLAlchemyError

from kafkaboot.clock import SystemClock
from kafkaboot.consumer import Again, Away, Detour, Halt
from kafkaboot.errors import ProcessDiedError
from kafkaboot.sql.database import WRITES
from kafkaboot.sql.faults import told
from kafkaboot.sql.ledger import UNKNOWN, Ledger
from kafkaboot.sql.tables import INBOX_TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from kafkaboot.client import TP
    from kafkaboot.clock import Clock
    from kafkaboot.consumer import Failed, Failing, Verdict
    from kafkaboot.message import RawRecord
    from kafkaboot.sql.database import Database
    from kafkaboot.sql.keys import Keys
    from kafkaboot.sql.ledger import Epoch

log = logging.getLogger("kafkaboot.sql")

ASK = 10.0
"""Seconds that a database which does not answer is asked again for the positions of new partitions."""
WAIT = 0.5
"""Seconds between two looks at a database that does not answer, or at a partition that somebody else works on."""
CLOSE = 5.0
"""Seconds that ending what is done beside the handlers may take."""
PRUNES = 60.0
"""Seconds between two looks for keys that are too old."""


class Inbox:
    """One consumer group's inbox in one database.

    Args:
        group: The group's name.
        database: Where its tables are.
        clock: Time.
    """

    def __init__(self, group: str, database: Database, clock: Clock | None = None) -> None:
        self.group, self.database = group, database
        self.clock: Clock = clock or SystemClock()
        self._ledgers: dict[tuple[str, int], Ledger] = {}
        self._aside: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._beginning = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pruned: dict[Keys, float] = {}
        database.need(INBOX_TABLES)
        database.closing.append(self.close)

    # --- what the poller says, on its thread

    def begin(self, epochs: Sequence[Epoch]) -> Mapping[TP, int]:
        """New partitions: where to begin, for those of which the database knows that. It wins over the group's offset.

        A database that does not answer is asked again for a while. Then the partitions begin where the group's offset
        says, and each record waits until the database answers.
        """
        made = [Ledger(self.group, epoch) for epoch in epochs]
        until = monotonic() + ASK
        while True:
            try:
                with self._writing() as connection:
                    for ledger in made:
                        ledger.read(connection)
                self.database.answered()
                break
            except SQLAlchemyError as error:
                self.database.away(error)
                if monotonic() >= until:
                    break
                threading.Event().wait(WAIT)
        for ledger in made:
            self._ledgers[ledger.tp] = ledger
        return {ledger.tp: ledger.start for ledger in made if ledger.start is not None}

    def end(self, epochs: Sequence[Epoch]) -> None:
        """Partitions that are given back: what was settled without a transaction is written down as well.

        So a successor does not meet a dead letter, or a record that was left out, once more.
        """
        left = [(self._ledgers.pop(epoch.tp, None), epoch.position) for epoch in epochs]
        known = [(ledger, to) for ledger, to in left if ledger is not None and to is not None and to > ledger.position]
        if not known:
            return
        try:
            with self._writing() as connection:
                for ledger, to in known:
                    ledger.leave(connection, to)
        except SQLAlchemyError as error:
            log.warning("group %s: where it stands could not be written to database %s: %s; what was settled without a "
                        "transaction may be handled again", self.group, self.database.name, told(error))  # fmt: skip

    def close(self) -> None:
        """End its thread, behind what it still has to do. Blocks for `CLOSE` seconds at most."""
        with self._beginning:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._aside.put(None)
            thread.join(CLOSE)

    def forget(self, partitions: Sequence[TP]) -> None:
        """Partitions that belong to somebody else already."""
        for tp in partitions:
            self._ledgers.pop(tp, None)

    # --- what calls ask, from any thread

    def ledger(self, raw: RawRecord) -> Ledger:
        """The ledger of a record's partition.

        Raises:
            Detour: The partition was given back.
        """
        ledger = self._ledgers.get((raw.topic(), raw.partition()))
        if ledger is None:
            raise Detour("its partition is somebody else's now", lambda _: Again(WAIT, counts=False))
        return ledger

    def refuse_earlier(self, ledger: Ledger, offset: int) -> None:
        """A record before the place where the partition began: its offsets have begun anew.

        Raises:
            Detour: It is one; the group ends.
        """
        if ledger.start is not None and offset < ledger.start:
            topic, partition = ledger.tp
            stop = Detour(
                f"database {self.database.name!r} says that group {self.group} stands at offset {ledger.start} of "
                f"{topic}[{partition}], and the partition begins anew at {offset}: the topic was made again, or has "
                "lost its end",
                lambda _: Halt(),
            )
            stop.fate = "nothing was handled: every record would be taken for one that was handled before"
            stop.todo = (
                "where the records are new ones, delete the rows of that topic from kafkaboot_inbox_position and "
                "kafkaboot_inbox_record, and start again"
            )
            raise stop

    def check_late(self, ledger: Ledger, offset: int) -> None:
        """The database answers only now: the partition began where the group's offset says, and may have to go back.

        Raises:
            Detour: It has to; the group ends, and begins at the right place when it is started again.
        """
        stood, ledger.start = ledger.position, None
        if stood not in {UNKNOWN, offset} and stood < offset:
            topic, partition = ledger.tp
            stop = Detour(
                f"database {self.database.name!r} did not answer when {topic}[{partition}] was assigned; it says now "
                f"that group {self.group} stands at {stood} there, and it began at {offset}",
                lambda _: Halt(),
            )
            stop.fate = "nothing was handled in between"
            stop.todo = "start again: it begins where the database says"
            raise stop

    def away(self, error: BaseException) -> Detour:
        """The database does not answer: the record waits, which is no attempt."""
        text = self.database.away(error)
        return Detour(f"database {self.database.name!r} does not answer: {text}", lambda _: Again(WAIT, counts=False))

    def contested(self, ledger: Ledger, connection: Connection) -> None:
        """Another owner has settled a record that this one was at: see how far it is."""
        was = ledger.position
        ledger.read(connection)
        log.warning(
            "group %s: %s[%d]: another process works on the partition (it stands at %d in database %s, and this "
            "process saw %d): what was just handled here is rolled back",
            self.group, *ledger.tp, ledger.position, self.database.name, was,
        )  # fmt: skip

    def prune(self, keys: Keys) -> None:
        """Forget old keys, now and then, beside the handlers."""
        now = monotonic()
        if now - self._pruned.get(keys, 0.0) > min(PRUNES, keys.window):
            self._pruned[keys] = now
            self._later(partial(self._prune, keys))

    # --- records that leave for another topic

    def watching(self, failing: Failing) -> Failing:
        """The handler's way with failures, so that records on their way elsewhere are known here."""
        return _Watching(self, failing)

    def has(self, record: RawRecord) -> bool:
        """Whether a record is known to be settled."""
        ledger = self._ledgers.get((record.topic(), record.partition()))
        return ledger is not None and ledger.settled(record.offset())

    def departs(self, away: Away, record: RawRecord) -> Away:
        """A record goes to another topic: until it is there, the position does not pass it."""
        ledger = self._ledgers.get((record.topic(), record.partition()))
        if ledger is None:
            return away
        offset, send = record.offset(), away.send
        ledger.away.add(offset)

        def watched(settled: Callable[[], None], wanted: Callable[[], bool]) -> None:
            send(partial(self._later, partial(self._arrived, ledger, offset, settled)), wanted)

        return away._replace(send=watched)

    def _arrived(self, ledger: Ledger, offset: int, settled: Callable[[], None]) -> None:
        """It is there: write that down first, so that a restart does not send it once more."""
        try:
            with self._writing() as connection:
                ledger.settle(connection, offset)
        except SQLAlchemyError as error:
            log.warning(
                "%s[%d] at offset %d went to another topic, and that could not be written to database %s: %s; after a "
                "kill it may go there again",
                *ledger.tp,
                offset,
                self.database.name,
                told(error),
            )
        ledger.away.discard(offset)
        settled()

    def _prune(self, keys: Keys) -> None:
        try:
            with self._writing() as connection:
                keys.prune(connection, self.clock.time())
        except SQLAlchemyError as error:
            log.warning("old keys could not be deleted from database %s: %s", self.database.name, told(error))

    def _writing(self) -> AbstractContextManager[Connection]:
        return self.database.engine.execution_options(**{WRITES: True}).begin()

    # --- a thread for what must not hold up the callbacks of clients

    def _later(self, work: Callable[[], None]) -> None:
        with self._beginning:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"kafkaboot-inbox-{self.group}", daemon=True)
                self._thread.start()
        self._aside.put(work)

    def _run(self) -> None:
        while (work := self._aside.get()) is not None:
            try:
                work()
            except Exception:
                log.exception("group %s: something beside the handlers failed", self.group)


class _Watching:
    """See `Inbox.watching`."""

    def __init__(self, inbox: Inbox, failing: Failing) -> None:
        self._inbox, self._failing = inbox, failing

    def judge(self, failed: Failed) -> Verdict:
        """See `Failing`."""
        if isinstance(failed.error, ProcessDiedError) and self._inbox.has(failed.record):
            return Again(0.0, counts=False)  # the last of those deaths came behind the commit: it is only to be settled
        verdict = self._failing.judge(failed)
        return self._inbox.departs(verdict, failed.record) if isinstance(verdict, Away) else verdict
