"""Payloads of a size, and how the age of an acknowledgement is measured, for both sides alike."""

from __future__ import annotations

import os
import random

SIZE = int(os.environ.get("BENCH_SIZE", "0"))
"""Bytes a record."""
DISTINCT = 4 * 1024 * 1024
"""Bytes of different payloads; texts that repeat flatter codecs, and making all of them would be most of the run."""
IN_FLIGHT = 16 * 1024 * 1024
"""Bytes of a batch, of ten thousand records at most."""
SECONDS = 3
"""How long the ages are taken."""


def payloads() -> list[bytes]:
    """Different ones, of random bytes."""
    draw = random.Random(7)
    return [draw.randbytes(SIZE) for _ in range(max(16, DISTINCT // SIZE))]


def batches(count: int) -> list[list[bytes]]:
    """`count` payloads, as many at a time as are under way together."""
    pool = payloads()
    most = max(1, min(10_000, IN_FLIGHT // SIZE))
    return [[pool[i % len(pool)] for i in range(begin, min(begin + most, count))] for begin in range(0, count, most)]


def steady() -> int:
    """Records a second while ages are taken: a thousand, or 20 MB of them."""
    return min(1000, 20_000_000 // SIZE)
