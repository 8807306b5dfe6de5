"""A lock that nobody owns while waiting for the interpreter's lock."""

from __future__ import annotations

import threading
from time import sleep


class Turnstile:
    """Guards what is done in microseconds, between threads that want it thousands of times a second.

    Whoever waits for a plain lock is given it while it sleeps, and then waits for the interpreter's lock; the thread
    that runs meanwhile finds it taken and goes to sleep in turn. Once two threads have met they change places at each
    use, some ten microseconds a time, as long as there is work. Here a thread that finds it taken lets the others
    run, and tries again when it runs itself.

    Args:
        reentrant: Whether who is inside may enter once more.
    """

    __slots__ = ("_leave", "_try")

    def __init__(self, *, reentrant: bool = False) -> None:
        lock = threading.RLock() if reentrant else threading.Lock()
        self._try, self._leave = lock.acquire, lock.release

    def __enter__(self) -> None:
        while not self._try(False):
            sleep(0)

    def __exit__(self, *_: object) -> None:
        self._leave()
