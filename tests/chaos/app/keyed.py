"""An application some of whose keys fail, again and again: a handler that writes down what it does.

A record says how often its handler raises first (`fails`; -1: always). `KEYED` names what is left out for a control:
`memory`: a process that takes over a partition does not look which keys wait in the retry topic.
"""

import asyncio
import os

import msgspec

from kafkaboot import Context, Record, event_handler
from kafkaboot.failure import KeyOrder
from kafkaboot.testing.history import ENDED, FAILED, STARTED, History

HISTORY = History(os.environ["CHAOS_HISTORY"])


class Entry(msgspec.Struct):
    id: str
    key: str
    seq: int
    work: float
    fails: int = 0


class NotYetError(Exception):
    """What a handler raises that will succeed later."""


@event_handler("${ledger.topic}", ordering="key")
async def take(entry: Entry, record: Record, context: Context) -> None:
    where = record.topic, record.partition, record.offset, entry.id, entry.key, entry.seq
    HISTORY.write(STARTED, *where, detail=str(context.attempt))
    await asyncio.sleep(entry.work)
    if entry.fails < 0 or context.attempt <= entry.fails:
        HISTORY.write(FAILED, *where, detail=str(context.attempt))
        raise NotYetError(entry.id)
    HISTORY.write(ENDED, *where)


if os.environ.get("KEYED") == "memory":
    KeyOrder._found = lambda *_: None
