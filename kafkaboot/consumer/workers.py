"""The threads of a `def` handler: who takes a lane, who waits until one is due again, and who is called for that."""

from __future__ import annotations

import threading
from heapq import heappop, heappush
from itertools import count
from math import inf
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING

from kafkaboot.consumer.ready import waiting_lanes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kafkaboot.consumer.lanes import Lane
    from kafkaboot.consumer.route import Route


class Workers:
    """At most `concurrency` threads, made when they are first needed.

    They are called one by one: whoever takes a lane calls the next one if there is more. So a handler that never waits
    is served by one thread and one that waits by as many as are allowed, and a poll does not wake eight threads that
    would only take turns at the interpreter's lock. What is due later is waited for by a thread that has nothing else
    to do: by way of the event loop an attempt would change threads three times.

    Args:
        route: The handler.
        lock: Guards the lanes, and everything here.
        handle: What a thread does with a lane that it took; answers whether the lane is ready for more.
        is_ready: Whether a lane that was due later is ready now.
    """

    def __init__(
        self,
        route: Route,
        lock: threading.Lock,
        handle: Callable[[Lane], bool],
        is_ready: Callable[[Lane, BaseException | None], bool],
    ) -> None:
        self._route = route
        self._lock = lock
        self._handle = handle
        self._is_ready = is_ready
        self._ready = waiting_lanes(route.ordering)
        self._due: list[tuple[float, int, Lane, BaseException | None]] = []
        self._turns = count()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._threads = 0
        self._idle = 0
        self._called = False  # somebody was called, or made, and has not looked yet
        self._watched = inf  # when the first of the idle threads looks by itself
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
            for _ in range(self._threads):
                self._bell.put(None)

    def _call(self) -> bool:
        """See that somebody comes for what there is; with the lock held. Answers whether a thread is to be made."""
        if self._called or not (self._ready or (self._due and self._due[0][0] < self._watched)):
            return False
        if self._idle:
            self._called = True
            self._bell.put(None)
            return False
        if self._threads >= self._route.concurrency:
            return False
        self._called = True
        self._threads += 1
        return True

    def _hire(self) -> None:
        name = f"kafkaboot-{self._route.id}-{self._threads}"
        threading.Thread(target=self._work, name=name, daemon=True).start()

    def _work(self) -> None:
        more: Lane | None = None
        with self._lock:
            self._called = False
        while not self._closed:
            lane, due, hire, until = None, None, False, inf
            with self._lock:
                if more is not None:
                    self._ready.append(more)
                    more = None
                if self._due and self._due[0][0] <= monotonic():
                    due = heappop(self._due)
                elif self._ready:
                    lane = self._ready.popleft()
                    # Counted before it is looked at: a partition is given back when nobody is counted in its lanes.
                    lane.lanes.running += 1
                    hire = self._call()
                else:
                    self._idle += 1
                    if self._due and self._due[0][0] < self._watched:
                        until = self._watched = self._due[0][0]
            if hire:
                self._hire()
            if lane is not None:
                more = lane if self._handle(lane) else None
            elif due is not None:
                more = due[2] if self._is_ready(due[2], due[3]) else None
            else:
                self._wait(until)

    def _wait(self, until: float) -> None:
        """Wait to be called, or for this moment."""
        try:
            self._bell.get(timeout=None if until == inf else max(0.0, until - monotonic()))
            called = True
        except Empty:
            called = False
        with self._lock:
            self._idle -= 1
            if until == self._watched:
                self._watched = inf
            if not called:
                # Whoever was called in this moment may have been this thread: the next call must not wait for it.
                try:
                    self._bell.get_nowait()
                except Empty:
                    return
            self._called = False
