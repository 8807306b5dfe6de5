"""The application under test: handlers that write down when they begin and when they end.

A record says how long its handler works (`work`, seconds) and how often it raises first (`fails`).
"""

import asyncio
import os
import time
from collections import Counter

import msgspec

from kafkaboot import Record, event_handler
from kafkaboot.testing.history import ENDED, FAILED, STARTED, History

HISTORY = History(os.environ["CHAOS_HISTORY"])
RAISED: Counter[str] = Counter()


class Entry(msgspec.Struct):
    id: str
    key: str
    seq: int
    work: float
    fails: int = 0


class NotYetError(Exception):
    """What a handler raises that will succeed later."""


def begin(entry: Entry, record: Record) -> None:
    HISTORY.write(STARTED, record.topic, record.partition, record.offset, entry.id, entry.key, entry.seq)


def end(entry: Entry, record: Record) -> None:
    if RAISED[entry.id] < entry.fails:
        RAISED[entry.id] += 1
        HISTORY.write(FAILED, record.topic, record.partition, record.offset, entry.id, entry.key, entry.seq)
        raise NotYetError(entry.id)
    HISTORY.write(ENDED, record.topic, record.partition, record.offset, entry.id, entry.key, entry.seq)


@event_handler("${ledger.topic}")
async def note(entry: Entry, record: Record) -> None:
    begin(entry, record)
    await asyncio.sleep(entry.work)
    end(entry, record)


@event_handler("${ledger.topic}")
def note_in_a_thread(entry: Entry, record: Record) -> None:
    begin(entry, record)
    time.sleep(entry.work)
    end(entry, record)
