"""A circuit: what is down is not called, and found out about by a few trial calls from time to time.

While it is closed, a call costs one look at `record` and one entry in the window; there is no lock on that path. The
window is a bounded `deque`, whose `append` is one step that no other thread can come between. Each closed time has a
window of its own, so that what a call of an earlier time reports goes nowhere.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from typing import TYPE_CHECKING, Literal

from kafkaboot.clock import SystemClock
from kafkaboot.errors import BatchFailed, CircuitOpenError
from kafkaboot.failure.blame import Blame
from kafkaboot.failure.meaning import CIRCUITS

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.clock import Clock
    from kafkaboot.failure.settings import CircuitSettings

    State = Literal["closed", "open", "half-open"]

FINE, FAILED, SLOW, IGNORED = 0, 1, 2, 4
"""What became of a call, as bits: one may have failed and been slow."""
GROWTH = 2.0
"""How much longer it stays open each time that a trial fails."""
SHORTEST = 0.75
"""The part of its full length that an open time has at least; the rest is drawn, so that processes try apart."""
LOOK, LONG_LOOK = 0.05, 1.0
"""Seconds after which a call may ask again while all trials are taken: as long as they have taken, within these."""


class Circuit:
    """One circuit; any thread may use it. `around` in `failure/guard.py` is how functions are called through it.

    It opens at a failed or a slow call, never at one that went well.

    Args:
        name: Its name under `kafkaboot.circuits`.
        settings: When it opens and closes.
        blame: Which exceptions are failures.
        clock: Time.
        changed: Called with name, state and reason when it has changed its state, one change after the other, on the
            thread whose call brought it about, off the success path. It must not raise.
        draw: Answers a number from 0 to 1, for the open times.

    Attributes:
        record: Takes what became of a call; `None` while the circuit is not closed.
        slow_after: Seconds after which a call is slow, or `None`.
        calls: Calls that were let through.
        failures: Those of them that failed.
        rejected: Calls that were not let through.
        reason: Why it is in its state.

    The counts are plain additions: CPython's lock keeps them exact, a build without that lock may miss some.
    """

    __slots__ = (
        "_blame", "_changed", "_draw", "_lock", "_news", "_settings", "_telling", "_trials", "_until", "_wait",
        "_window", "calls", "failures", "name", "now", "reason", "record", "rejected", "slow_after",
    )  # fmt: skip

    record: Callable[[int], object] | None
    _trials: Trials | None
    _wait: float

    def __init__(
        self,
        name: str,
        settings: CircuitSettings,
        *,
        blame: Callable[[BaseException], bool] | None = None,
        clock: Clock | None = None,
        changed: Callable[[str, State, str], None] = lambda *_: None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self._settings = settings
        self._blame = blame or Blame()
        self._changed, self._draw = changed, draw
        self.now = (clock or SystemClock()).monotonic
        self.slow_after = self._settings.slow_call
        self.calls = self.failures = self.rejected = 0
        self._lock, self._telling = threading.Lock(), threading.Lock()
        self._news: deque[tuple[State, str]] = deque()
        self._until = 0.0
        self._begin()
        self.reason = ""

    @property
    def closed(self) -> bool:
        """Whether all calls are let through."""
        return self.record is not None

    @property
    def state(self) -> State:
        """Its state; it stays `open` beyond its time until somebody calls."""
        if self.record is not None:
            return "closed"
        return "open" if self._trials is None else "half-open"

    # --- what a call says of itself; `around` is the only caller

    def enter(self) -> Callable[[int], object]:
        """Let a call through as a trial, or not at all; answers what takes its outcome.

        Raises:
            CircuitOpenError: It is not the time for a trial, or others are at it.
        """
        with self._lock:
            if self.record is not None:
                return self.record
            now = self.now()
            if self._trials is None:
                if now < self._until:
                    self._reject(self._until - now)
                self._trials, self._until = Trials(self, now, self._settings.half_open), now
                self._is("half-open", "its time is over: a few calls are tried")
            trials = self._trials
            if trials.running >= trials.permits:
                if now < self._until + self._settings.longest:
                    self._reject(min(max(now - trials.began, LOOK), LONG_LOOK))
                # Trials that do not come back must not keep it half-open for ever.
                trials.permits += self._settings.half_open
                self._until = now
            trials.running += 1
        self._tell()
        return trials

    def took(self, record: Callable[[int], object], began: float) -> None:
        """A call went well, and calls may be slow here."""
        if self._slow(began):
            record(SLOW)
            self._look(record)
        else:
            record(FINE)

    def failed(self, record: Callable[[int], object], error: BaseException, began: float) -> None:
        """A call raised."""
        if self._blame(error):
            self.failures += 1
            # For `held_back`: what the record's fate depends on is this circuit's state, whoever asked for the call.
            told = error.cause if isinstance(error, BatchFailed) else error
            vars(told).setdefault(CIRCUITS, {})[self.name] = self
            record(FAILED | self._slow(began))
            self._look(record)
        elif isinstance(record, Trials):
            record(IGNORED)

    # --- states; all below but `_slow`, `_look` and `_tell` is done under the lock

    def tried(self, trials: Trials, outcome: int) -> None:
        """A trial has come back."""
        with self._lock:
            trials.running -= 1
            if trials is not self._trials or outcome == IGNORED:
                return
            trials.done += 1
            trials.slow += outcome == SLOW
            if outcome & FAILED:
                self._open("a trial call failed")
            elif trials.done >= self._settings.half_open:
                if trials.slow and trials.slow >= self._settings.slow_rate * trials.done:
                    self._open(f"{trials.slow} of {trials.done} trial calls {self._too_slow}")
                else:
                    self._begin()
                    self._is("closed", f"{trials.done} trial calls went well")
        self._tell()

    def _slow(self, began: float) -> int:
        return SLOW if self.slow_after is not None and self.now() - began > self.slow_after else FINE

    def _look(self, record: Callable[[int], object]) -> None:
        """See whether what was just recorded opens the circuit."""
        with self._lock:
            if record is not self.record:
                return
            reason = self._trouble()
            if reason is not None:
                self._open(reason)
        self._tell()

    def _trouble(self) -> str | None:
        settings = self._settings
        window = list(self._window.copy())  # the copy is one step; the window goes on changing
        count, row = len(window), settings.row
        if row and count >= row and all(outcome & FAILED for outcome in window[-row:]):
            return f"{row} failures in a row"
        if count < settings.calls_needed:
            return None
        failed = window.count(FAILED) + window.count(FAILED | SLOW)
        if failed and failed >= settings.failure_rate * count:
            return f"{failed} of {count} calls failed"
        slow = window.count(SLOW) + window.count(FAILED | SLOW)
        if slow and slow >= settings.slow_rate * count:
            return f"{slow} of {count} calls {self._too_slow}"
        return None

    @property
    def _too_slow(self) -> str:
        return f"took longer than {self.slow_after:g} s"

    def _open(self, reason: str) -> None:
        wait = self._wait * (SHORTEST + (1 - SHORTEST) * self._draw())
        self._until = self.now() + wait
        self._wait = min(self._wait * GROWTH, self._settings.longest)
        self.record = self._trials = None
        self._is("open", f"{reason}; the next trial is in {wait:.1f} s")

    def _begin(self) -> None:
        """Closed, with nothing remembered."""
        self._window: deque[int] = deque(maxlen=self._settings.window)
        self._wait = self._settings.open_for
        self._trials = None
        self.record = self._window.append

    def _reject(self, after: float) -> None:
        self.rejected += 1
        raise CircuitOpenError(self.name, after)

    def _is(self, state: State, reason: str) -> None:
        self.reason = reason
        self._news.append((state, reason))

    def _tell(self) -> None:
        """Tell of changes outside of the lock, in their order: whoever is telling tells of later ones as well."""
        while self._news and self._telling.acquire(blocking=False):
            try:
                while self._news:
                    self._changed(self.name, *self._news.popleft())
            finally:
                self._telling.release()


class Trials:
    """The trial calls of one half-open time; called with the outcome of each."""

    __slots__ = ("_circuit", "began", "done", "permits", "running", "slow")

    def __init__(self, circuit: Circuit, began: float, permits: int) -> None:
        self._circuit = circuit
        self.began, self.permits = began, permits
        self.running = self.done = self.slow = 0

    def __call__(self, outcome: int) -> None:
        """A trial has come back."""
        self._circuit.tried(self, outcome)
