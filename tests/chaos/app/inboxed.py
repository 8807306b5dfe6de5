"""An application whose handlers write rows in the transaction of their records; how often each row is there, tells.

A record says how often its handler raises first (`fails`; -1: always). `INBOXED` names what is left out for a control:
`outside`: the position is written in a transaction of its own, behind the handler's. `INBOXED_DIES=n`: a process kills
itself right behind the commit of its n-th transaction, before anybody hears of it.
"""

import asyncio
import os
import signal
from itertools import count

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from kafkaboot import Context, Record, event_handler
from kafkaboot.sql import InTransaction
from kafkaboot.sql.ledger import Ledger
from kafkaboot.testing.history import ENDED, STARTED, History

HISTORY = History(os.environ["CHAOS_HISTORY"])
ADD = text("INSERT INTO effects (entry, record_key, seq) VALUES (:entry, :key, :seq)")


class Entry(msgspec.Struct):
    id: str
    key: str
    seq: int
    work: float
    fails: int = 0


def place(entry: Entry, record: Record) -> tuple[object, ...]:
    return record.topic, record.partition, record.offset, entry.id, entry.key, entry.seq


def row(entry: Entry) -> dict[str, object]:
    return {"entry": entry.id, "key": entry.key, "seq": entry.seq}


def fail(entry: Entry, context: Context) -> None:
    if entry.fails < 0 or context.attempt <= entry.fails:
        raise RuntimeError(entry.id)


@event_handler("${ledger.topic}", inbox=True)
async def note(entry: Entry, record: Record, context: Context, session: AsyncSession) -> None:
    HISTORY.write(STARTED, *place(entry, record))
    await session.execute(ADD, row(entry))
    if entry.work:
        await asyncio.sleep(entry.work)
    fail(entry, context)
    HISTORY.write(ENDED, *place(entry, record))


@event_handler("${ledger.topic}", inbox=True)
def note_in_a_thread(entry: Entry, record: Record, context: Context, session: Session) -> None:
    HISTORY.write(STARTED, *place(entry, record))
    session.execute(ADD, row(entry))
    fail(entry, context)
    HISTORY.write(ENDED, *place(entry, record))


@event_handler("${ledger.topic}", inbox=True, batch=50)
async def note_many(entries: list[Entry], records: list[Record], context: Context, session: AsyncSession) -> None:
    for entry, record in zip(entries, records, strict=True):
        HISTORY.write(STARTED, *place(entry, record))
        await session.execute(ADD, row(entry))
        if len(entries) == 1:
            fail(entry, context)
        elif entry.fails:
            raise RuntimeError(entry.id)
        HISTORY.write(ENDED, *place(entry, record))


DIES, TRANSACTIONS = int(os.environ.get("INBOXED_DIES", "0")), count(1)
committed, claim = InTransaction._committed, Ledger.claim


def behind_the_commit(self, ledger, position, session, result):
    if DIES and next(TRANSACTIONS) == DIES:
        os.kill(os.getpid(), signal.SIGKILL)
    if os.environ.get("INBOXED") == "outside":
        with self._engine.begin() as connection:
            claim(ledger, connection, [position - 1])
    return committed(self, ledger, position, session, result)


InTransaction._committed = behind_the_commit
if os.environ.get("INBOXED") == "outside":
    Ledger.claim = lambda _, __, offsets: offsets[-1] + 1
