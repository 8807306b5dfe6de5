"""How old a record is when a bare `poll` loop has it: `python -m benchmarks.bare.latency`."""

from __future__ import annotations

import time

from benchmarks.bare.client import Commits, consumer, decode
from benchmarks.measure import Stopwatch

if __name__ == "__main__":
    watch, source = Stopwatch(), consumer()
    commits = Commits(source)
    while not watch.over:
        message = source.poll(0.1)
        if message is not None and message.error() is None:
            watch.sample(time.monotonic_ns() - decode(message.value()).ts)
        if commits.due():
            commits.commit()
    source.close()
