"""When the poller holds back, and when it pauses a partition.

`pause()` throws away what librdkafka has prefetched for the partition. So the next poll is held for a bounded time
first; only a partition that stays full is paused, and it is resumed at half of that.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence, Sized

    from kafkaboot.client import TP
    from kafkaboot.clock import Clock
    from kafkaboot.consumer.holding import Holding
    from kafkaboot.consumer.settings import ConsumerSettings

HOLD = 0.1
"""Longest hold of one poll, in seconds: far below any poll interval."""
BREATH = 0.001
"""Seconds between two looks while it is held: to be woken for each record would cost the workers more than the wait."""
PATIENCE = 0.5
"""Seconds that a partition may stay full before it is paused."""
KEPT = 4
"""How many times `max-buffered` records of a partition are kept, settled ones behind an unsettled one included."""
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

    def watch(self) -> None:
        """From here on progress is noted: what is looked at between this and `wait` cannot change unseen."""
        self._event.clear()
        self.waiting = True

    def wait(self, seconds: float) -> None:
        """Wait until somebody gets on, or for `seconds`."""
        if not self.waiting:
            self.watch()
        self._event.wait(seconds)
        self.waiting = False

    def breathe(self, seconds: float) -> None:
        """Wait without being woken."""
        time.sleep(seconds)


class BackPressure:
    """Marks in records; the mark in bytes is turned into records by the average size seen lately.

    Counting what is buffered costs time by partition, so it is counted only once more than the mark may be there.
    """

    def __init__(self, settings: ConsumerSettings, clock: Clock, gate: Gate) -> None:
        self._settings = settings
        self._clock = clock
        self._gate = gate
        self._average = 0.0
        self._at_most = 0
        self._next_judgement = 0.0

    def took(self, records: Sequence[Sized]) -> None:
        """Records came in; their size is learnt from a sample."""
        self._at_most += len(records)
        sample = records[::32]
        size = sum(map(len, sample)) / len(sample)
        self._average += (max(size, 1.0) - self._average) / (8 if self._average else 1)

    def high(self) -> int:
        """Buffered records above which polling is held."""
        return max(1, min(self._settings.max_buffered, self._by_size()))

    def limit(self) -> int:
        """Records that the next poll may bring: large ones are taken a few at a time."""
        return min(self._settings.poll_records, self.high())

    def hold(self, holdings: Iterable[Holding], most: float = HOLD) -> None:
        """Hold the next poll, for at most `HOLD` seconds, or `most`, while too much is buffered."""
        high = self.high()
        if self._at_most <= high:
            return
        active = [holding for holding in holdings if not holding.paused]
        self._at_most = sum(holding.buffered() for holding in active)
        if self._at_most <= high:
            return
        until = self._clock.monotonic() + min(HOLD, most)
        woken = False
        while (left := until - self._clock.monotonic()) > 0:
            self._gate.watch()
            self._at_most = sum(holding.buffered() for holding in active)
            if self._at_most <= high // 2:
                break
            if woken:
                self._gate.breathe(min(BREATH, left))
            else:
                self._gate.wait(left)
            woken = not woken
        self._gate.waiting = False

    def judge(self, holdings: Mapping[TP, Holding]) -> tuple[list[Holding], list[Holding]]:
        """Which partitions to pause and which to resume now; looked at a few times a second."""
        now = self._clock.monotonic()
        if now < self._next_judgement:
            return [], []
        self._next_judgement = now + JUDGE
        high = self.high()
        # At least two polls, so that it doesn't flap; but bytes are divided without mercy: what is paused stays in
        # memory, for every partition.
        share = max(2 * self._settings.poll_records, high // max(1, len(holdings)))
        share = max(1, min(share, high, self._by_size() // max(1, len(holdings))))
        # Out of order, what is settled stays behind a slower key: more than are buffered, as long as they are small.
        kept = max(high, min(KEPT * self._settings.max_buffered, self._by_size()))
        pause: list[Holding] = []
        resume: list[Holding] = []
        for holding in holdings.values():
            buffered = holding.buffered()
            crowded = holding.assignment.crowded(kept)
            if holding.paused:
                if buffered <= share // 2 and not crowded:
                    resume.append(holding)
            elif buffered < share and not crowded:
                holding.full_since = None
            elif holding.full_since is None:
                holding.full_since = now
            elif now - holding.full_since >= PATIENCE:
                pause.append(holding)
        return pause, resume

    def _by_size(self) -> int:
        return int(self._settings.max_buffered_size / max(self._average, 1.0))
