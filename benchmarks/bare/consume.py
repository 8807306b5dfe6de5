"""Bare consuming loops: `python -m benchmarks.bare.consume KIND`."""

from __future__ import annotations

import asyncio
import itertools
import sys
from concurrent.futures import ThreadPoolExecutor

import msgspec

from benchmarks.bare.client import CHUNK, Commits, consumer, decode
from benchmarks.measure import Stopwatch
from benchmarks.orders import OrderStruct

watch = Stopwatch()
taken = itertools.count(1)


async def take(order: object) -> None:
    if next(taken) in watch.marks:
        watch.mark()


async def thin(*, typed: bool = False) -> None:
    """Awaits an `async def` for each record; a thread waits for records only when none is there."""
    source, loop, helper = consumer(), asyncio.get_running_loop(), ThreadPoolExecutor(1)
    commits = Commits(source)
    while not watch.over:
        chunk = source.consume(CHUNK, 0) or await loop.run_in_executor(helper, source.consume, CHUNK, 0.1)
        if typed:
            for message in chunk:
                if message.error() is None and event_type(message.headers()) == b"order.placed":
                    await take(decode(message.value()))
        else:
            for message in chunk:
                if message.error() is None:
                    await take(decode(message.value()))
        if commits.due():
            commits.commit()
    source.close()


def event_type(headers: list[tuple[str, bytes]] | None) -> bytes | None:
    for name, value in headers or ():
        if name == "ce_type":
            return value
    return None


def loop(read: object) -> None:
    """Decodes each record and counts by chunk."""
    source = consumer()
    commits = Commits(source)
    while not watch.over:
        chunk = source.consume(CHUNK, 0.1)
        if not chunk:
            continue
        watch.begin()
        for message in chunk:
            if message.error() is None:
                read(message.value())
        watch.add(len(chunk))
        if commits.due():
            commits.commit()
    source.close()


def lists() -> None:
    """Makes a list of each chunk's models, as a batch handler gets them, and counts by chunk."""
    source = consumer()
    commits = Commits(source)
    while not watch.over:
        chunk = source.consume(CHUNK, 0.1)
        if not chunk:
            continue
        watch.begin()
        orders = [decode(message.value()) for message in chunk if message.error() is None]
        watch.add(len(orders))
        if commits.due():
            commits.commit()
    source.close()


KINDS = {
    "thin": lambda: asyncio.run(thin()),
    "thin-typed": lambda: asyncio.run(thin(typed=True)),
    "pydantic": lambda: loop(decode),
    "lists": lists,
    "msgspec": lambda: loop(msgspec.json.Decoder(OrderStruct).decode),
}

if __name__ == "__main__":
    KINDS[sys.argv[1]]()
