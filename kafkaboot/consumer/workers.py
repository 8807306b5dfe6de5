"""The threads of a `def` handler: who takes a lane, who waits until one is due again, and who is called for that."""

from __future__ import annotations

import threading
from heapq import heappop, heappush
from itertools import count
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from kafkaboot.consumer.ready import waiting_lanes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kafkaboot.consumer.lanes import Lane
    from kafkaboot.consumer.route import Route
    from kafkaboot.consumer.turnstile import Turnstile

    Bell = threading.Lock


class Task(Protocol):
    """What is done with lanes, on the threads."""

    def hired(self) -> None:
        """A thread begins; called on it."""

    def handle(self, lane: Lane) -> bool:
        """Handle the lane's first piece; answers whether the lane is ready for more."""

    def is_ready(self, lane: Lane, error: BaseException | None) -> bool:
        """Whether a lane that was due later is ready now; `error` is what was given to `Workers.later`."""

    def progressed(self) -> None:
        """A thread has left a lane."""

    def crashed(self, error: BaseException) -> None:
        """A thread died of it."""


class Workers:
    """At most `concurrency` threads, made when they are first needed.

    They are called one by one: whoever takes a lane calls the next one if there is more. So a handler that never waits
    is served by one thread and one that waits by as many as are allowed, and a poll does not wake eight threads that
    would only take turns at the interpreter's lock. What is due later is waited for by a thread that has nothing else
    to do: by way of the event loop an attempt would change threads three times.

    Args:
        route: The handler.
        lock: Guards the lanes, and everything here.
        task: What is done with them.
    """

    def __init__(self, route: Route, lock: Turnstile, task: Task) -> None:
        self._route = route
        self._lock = lock
        self._task = task
        self._ready = waiting_lanes(route.ordering)
        self._due: list[tuple[float, int, Lane, BaseException | None]] = []
        self._turns = count()
        self._threads = 0
        self._idle: dict[Bell, float] = {}  # whom to ring, and when each looks by itself
        self._called = False  # somebody was called, or made, and has not looked yet
        self._closed = False

    def put(self, lanes: Iterable[Lane]) -> None:
        """Lanes have work; from any thread."""
        with self._lock:
            self._ready.extend(lanes)
            hire = self._call()
        if hire:
            self._hire()

    def later(self, delay: float, lane: Lane, error: BaseException | None = None) -> None:
        """The lane is due in `delay` seconds; from one of the threads, which looks itself before it waits."""
        with self._lock:
            heappush(self._due, (monotonic() + delay, next(self._turns), lane, error))

    def close(self) -> None:
        """Let idle threads go. One inside a handler cannot be stopped; it is a daemon."""
        with self._lock:
            self._closed = True
            while self._idle:
                self._idle.popitem()[0].release()

    def _call(self) -> bool:
        """See that somebody comes for what there is; with the lock held. Answers whether a thread is to be made."""
        if self._called or not (self._ready or (self._due and self._due[0][0] < self._watched())):
            return False
        if self._idle:
            self._called = True
            self._idle.popitem()[0].release()
            return False
        if self._threads >= self._route.concurrency:
            return False
        self._called = True
        self._threads += 1
        return True

    def _watched(self) -> float:
        """When the first of the idle threads looks by itself."""
        return min(self._idle.values(), default=inf)

    def _hire(self) -> None:
        name = f"kafkaboot-{self._route.id}-{self._threads}"
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def _work(self) -> None:
        lane: Lane | None = None
        bell = threading.Lock()
        bell.acquire()
        with self._lock:
            self._called = False
        try:
            self._task.hired()
            while True:
                lane, late, error = self._take(bell)
                if lane is None:
                    return
                more = self._task.is_ready(lane, error) if late else self._task.handle(lane)
                self._leave(lane, more=more)
                lane = None
        except BaseException as error:
            if lane is not None:
                self._leave(lane, more=False)
            self._task.crashed(error)
            raise

    def _take(self, bell: Bell) -> tuple[Lane | None, bool, BaseException | None]:
        """The next lane, and whether and with which error it was due; none when this thread is to go."""
        while True:
            with self._lock:
                if self._closed:
                    self._threads -= 1
                    return None, False, None
                found = self._found()
                hire = found is not None and self._call()
                if found is None:
                    first = self._due[0][0] if self._due else inf
                    until = self._idle[bell] = first if first < self._watched() else inf
            if found is None:
                self._wait(bell, until)
                continue
            if hire:
                self._hire()
            return found

    def _found(self) -> tuple[Lane, bool, BaseException | None] | None:
        if self._due and self._due[0][0] <= monotonic():
            _, _, lane, error = heappop(self._due)
            found = lane, True, error
        elif self._ready:
            found = self._ready.popleft(), False, None
        else:
            return None
        # Counted before it is looked at: a partition is given back when nobody is counted in its lanes.
        found[0].lanes.running += 1
        return found

    def _leave(self, lane: Lane, *, more: bool) -> None:
        with self._lock:
            lane.lanes.running -= 1
            if more:
                self._ready.append(lane)
        self._task.progressed()

    def _wait(self, bell: Bell, until: float) -> None:
        """Wait to be called, or for this moment."""
        rung = bell.acquire(timeout=-1 if until == inf else max(0.0, until - monotonic()))
        with self._lock:
            if self._idle.pop(bell, None) is None:  # it was called, perhaps in the moment in which it gave up waiting
                self._called = False
                if not rung:
                    bell.acquire()
