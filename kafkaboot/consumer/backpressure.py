"""When the poller holds back, and when it pauses a partition.

`pause()` throws away what librdkafka has prefetched for the partition. So the next poll is held for a bounded time
first; only a partition that stays full is paused, and it is resumed at half of that.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence, Sized

    from kafkaboot.client import TP
    from kafkaboot.clock import Clock
    from kafkaboot.consumer.holding import Holding
    from kafkaboot.consumer.settings import ConsumerSettings

HOLD = 0.1
"""Longest hold of one poll, in seconds: far below any poll interval."""
PATIENCE = 0.5
"""Seconds that a partition may stay full before it is paused."""
JUDGE = 0.05
"""Seconds between two looks at every partition."""


class Gate:
    """Where the poller waits for workers to get on; `waiting` says that it does."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.waiting = False

    def progressed(self) -> None:
        """Called by workers, on any thread, whenever they leave a lane."""
        if self.waiting:
            self._event.set()

    def wait(self, seconds: float) -> None:
        """Wait until somebody gets on, or for `seconds`."""
        self._event.clear()
        self.waiting = True
        self._event.wait(seconds)
        self.waiting = False


class BackPressure:
    """Marks in records; the mark in bytes is turned into records by the average size seen lately.

    Counting what is buffered costs time by partition, so it is counted only once more than the mark may be there.
    """

    def __init__(self, settings: ConsumerSettings, clock: Clock, gate: Gate) -> None:
        self._settings = settings
        self._clock = clock
        self._gate = gate
        self._average = 1.0
        self._at_most = 0
        self._next_judgement = 0.0

    def took(self, records: Sequence[Sized]) -> None:
        """Records came in; their size is learnt from a sample."""
        self._at_most += len(records)
        sample = records[::32]
        size = sum(map(len, sample)) / len(sample)
        self._average += (max(size, 1.0) - self._average) / 8

    def high(self) -> int:
        """Buffered records above which polling is held."""
        by_size = int(self._settings.max_buffered_size / self._average)
        return max(1, min(self._settings.max_buffered, by_size))

    def hold(self, holdings: Iterable[Holding]) -> None:
        """Hold the next poll, for at most `HOLD` seconds, while too much is buffered."""
        high = self.high()
        if self._at_most <= high:
            return
        active = [holding for holding in holdings if not holding.paused]
        self._at_most = sum(holding.buffered() for holding in active)
        if self._at_most <= high:
            return
        until = self._clock.monotonic() + HOLD
        while self._at_most > high // 2 and (left := until - self._clock.monotonic()) > 0:
            self._gate.wait(left)
            self._at_most = sum(holding.buffered() for holding in active)

    def judge(self, holdings: Mapping[TP, Holding]) -> tuple[list[Holding], list[Holding]]:
        """Which partitions to pause and which to resume now; looked at a few times a second."""
        now = self._clock.monotonic()
        if now < self._next_judgement:
            return [], []
        self._next_judgement = now + JUDGE
        share = max(2 * self._settings.poll_records, self.high() // max(1, len(holdings)))
        share = min(share, self.high())
        pause: list[Holding] = []
        resume: list[Holding] = []
        for holding in holdings.values():
            buffered = holding.buffered()
            if holding.paused:
                if buffered <= share // 2 and not holding.assignment.crowded():
                    resume.append(holding)
            elif buffered < share and not holding.assignment.crowded():
                holding.full_since = None
            elif holding.full_since is None:
                holding.full_since = now
            elif now - holding.full_since >= PATIENCE:
                pause.append(holding)
        return pause, resume
