"""Answers each order with an invoice, and notes every few seconds what memory it has and how old the records are."""

import asyncio
import itertools
import json
import os
import threading
import time
from pathlib import Path

import msgspec

from kafkaboot import component, event_handler, on_start, publisher

NOTES, EVERY = Path(os.environ["STEADY_NOTES"]), float(os.environ["STEADY_EVERY"])
LEAKS = int(os.environ.get("STEADY_LEAKS", "0"))
"""Bytes a record that are never let go: for the control."""
counted, ages, kept = itertools.count(1), [], []
handled = 0


class Order(msgspec.Struct):
    sent: int
    text: str


class Invoice(msgspec.Struct):
    text: str


@event_handler("${ledger.topic}")
@publisher("${ledger.topic}-out")
async def answer(order: Order) -> Invoice:
    global handled
    handled = next(counted)
    if handled % 100 == 0:
        ages.append(time.monotonic_ns() - order.sent)
    if LEAKS:
        kept.append(bytes(LEAKS))
    return Invoice(order.text)


def resident() -> int:
    """Kilobytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


@component
class Notes:
    @on_start
    async def begin(self) -> None:
        self._task = asyncio.create_task(self._write())

    async def _write(self) -> None:
        with NOTES.open("w") as file:
            while True:
                await asyncio.sleep(EVERY)
                seen = sorted(ages)
                ages.clear()
                if seen:
                    note = {
                        "at": time.monotonic(),
                        "handled": handled,
                        "kb": resident(),
                        "p50": seen[len(seen) // 2] / 1e6,
                        "p99": seen[len(seen) * 99 // 100] / 1e6,
                        "threads": threading.active_count(),
                        "files": len(os.listdir("/proc/self/fd")),
                    }
                    file.write(json.dumps(note) + "\n")
                    file.flush()
