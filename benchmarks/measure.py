"""The stopwatch inside a measured process. It is told what to do by environment variables, for every side alike.

`BENCH_BOOTSTRAP`, `BENCH_TOPIC`, `BENCH_OUT`, `BENCH_GROUP`: where to read and write.
`BENCH_RECORDS`: how many records make a run. `BENCH_SPAWNED`: `time.monotonic()` when the process was started.
`BENCH_SIZE`: bytes of each record, where megabytes are asked for.
`BENCH_RESULT`: the file for the figures. `BENCH_READY`: a file to be made once the first record is handled, if set.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import time
from pathlib import Path

BOOTSTRAP = os.environ.get("BENCH_BOOTSTRAP", "127.0.0.1:9092")
TOPIC = os.environ.get("BENCH_TOPIC", "")
OUT = os.environ.get("BENCH_OUT", "")
GROUP = os.environ.get("BENCH_GROUP", "")
RECORDS = int(os.environ.get("BENCH_RECORDS", "1"))


def cpu_seconds() -> float:
    """CPU of all threads of this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_megabytes() -> float:
    """Peak memory. `ru_maxrss` survives an exec, so that a child of a large parent would report its parent's."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


class Stopwatch:
    """Runs from the first record to the last.

    A handler that counts by itself does so with `if next(taken) in watch.marks: watch.mark()`, where `taken` is an
    `itertools.count(1)`: the cheapest count that worker threads share without losing one.
    """

    def __init__(self, records: int = RECORDS, *, terminate: bool = False) -> None:
        """With `terminate` the process sends itself SIGTERM when the figures are written."""
        self.records, self.terminate = records, terminate
        self.marks = frozenset({1, records})
        self.samples: list[int] = []
        self.over = False
        self._began: tuple[float, float] | None = None
        self._lapped: tuple[float, float] | None = None
        self._added = 0

    def begin(self) -> None:
        """The first record is here; later calls change nothing."""
        if self._began is None:
            self._began = (time.monotonic(), cpu_seconds())
            if ready := os.environ.get("BENCH_READY"):
                Path(ready).touch()

    def mark(self) -> None:
        """The first record is handled, or the last."""
        if self._began is not None or self.records == 1:
            self.begin()
            self.finish()
        else:
            self.begin()

    def add(self, count: int) -> None:
        """`count` records more, for those who count by chunk and called `begin` before the first."""
        self._added += count
        if self._added >= self.records and not self.over:
            self.finish()

    def lap(self) -> None:
        """All records are through: speed and CPU are taken here, and only latencies follow."""
        self._lapped = (time.monotonic(), cpu_seconds())

    def sample(self, nanoseconds: int) -> None:
        """The latency of one record. The first fifth warms up and is left out of the figures."""
        self.begin()
        self.samples.append(nanoseconds)
        if len(self.samples) == self.records:
            self.finish()

    def finish(self) -> None:
        """Write the figures."""
        ended, used = self._lapped or (time.monotonic(), cpu_seconds())
        assert self._began is not None
        began, used_before = self._began
        figures = {
            "rate": self.records / max(ended - began, 1e-9),
            "cpu": (used - used_before) / self.records * 1e6,
            "peak": peak_megabytes(),
            "start": began - float(os.environ.get("BENCH_SPAWNED", began)),
        }
        if size := int(os.environ.get("BENCH_SIZE", "0")):
            figures["mb"] = figures["rate"] * size / 1e6
        if self.samples:
            steady = sorted(self.samples[len(self.samples) // 5 :])
            figures |= {f"p{p}": steady[len(steady) * p // 100] / 1e6 for p in (50, 95, 99)}
        if result := os.environ.get("BENCH_RESULT"):
            Path(result).write_text(json.dumps(figures))
        else:
            print(json.dumps(figures))
        self.over = True
        if self.terminate:
            os.kill(os.getpid(), signal.SIGTERM)
