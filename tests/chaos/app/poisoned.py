"""An application that gets poison: a handler that writes down what it does, and what becomes of what it cannot do.

A record says how often its handler raises first (`fails`; -1: always), or that it ends its process (`deadly`). The
control `POISONED=settle-first` settles a record before its dead letter is delivered.
"""

import asyncio
import os
import signal
from pathlib import Path

import msgspec

from kafkaboot import Context, Record, component, event_handler
from kafkaboot.failure.dead_letter import DeadLetters
from kafkaboot.testing.history import DEAD_LETTERED, ENDED, FAILED, GIVEN_UP, STARTED, History

HISTORY = History(os.environ["CHAOS_HISTORY"])
DOWN = Path("down")
"""While this file is there, what `pay` depends on is down."""


class Entry(msgspec.Struct):
    id: str
    key: str
    seq: int
    work: float
    fails: int = 0
    deadly: bool = False


class NeverError(Exception):
    """What a handler raises that does not succeed."""


class DownError(Exception):
    """The dependency does not answer."""


@event_handler("${ledger.topic}")
async def take(entry: Entry, record: Record, context: Context) -> None:
    where = record.topic, record.partition, record.offset, entry.id, entry.key, entry.seq
    HISTORY.write(STARTED, *where, detail=str(context.attempt))
    if entry.deadly:
        os.kill(os.getpid(), signal.SIGKILL)
    await asyncio.sleep(entry.work)
    if entry.fails < 0 or context.attempt <= entry.fails:
        HISTORY.write(FAILED, *where, detail=str(context.attempt))
        raise NeverError(entry.id)
    HISTORY.write(ENDED, *where)


@event_handler("${ledger.topic}")
async def pay(entry: Entry, record: Record) -> None:
    where = record.topic, record.partition, record.offset, entry.id, entry.key, entry.seq
    HISTORY.write(STARTED, *where)
    await asyncio.sleep(entry.work)
    if DOWN.exists():
        HISTORY.write(FAILED, *where)
        raise DownError("no answer")
    HISTORY.write(ENDED, *where)


@component
class Notes:
    """Writes down what becomes of records that fail, and how circuits change."""

    def on_failure(self, handler: str, where: str, error: BaseException, attempt: int, delay: float | None) -> None:
        if delay is None:
            HISTORY.write(GIVEN_UP, *place(where), detail=type(error).__name__)

    def on_dead_letter(self, handler: str, where: str, error: BaseException, letter: str) -> None:
        HISTORY.write(DEAD_LETTERED, *place(where), detail=letter)

    def on_circuit(self, circuit: str, state: str, reason: str) -> None:
        HISTORY.write(f"circuit {state}", detail=reason)


def place(where: str) -> tuple[str, int, int]:
    topic, _, rest = where.rpartition("[")
    partition, _, offset = rest.partition("]@")
    return topic, int(partition), int(offset)


if os.environ.get("POISONED") == "settle-first":
    write = DeadLetters.send

    def settle_first(self, failed, handler, group, topic, partition, settled, wanted, **more):
        settled()
        write(self, failed, handler, group, topic, partition, lambda: None, wanted, **more)

    DeadLetters.send = settle_first
