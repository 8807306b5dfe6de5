"""How long a handler's function takes, and how much of the processor it uses itself."""

from __future__ import annotations

import inspect
import itertools
import time
from functools import wraps
from typing import TYPE_CHECKING, Any

from kafkaboot.testing.bench.figures import cpu_us

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

EVERY = 8
"""The processor's clock is read for one call of so many: it costs more than many a handler."""


class Stopwatch:
    """Watches the calls of one function.

    Attributes:
        times: Seconds of each call, waiting included.
        used: Seconds of CPU of the calls that were looked at, on their own thread; waiting is not in them.
        began: When the first call was made, by `time.perf_counter`, and what CPU the process had used; `None` before.
    """

    def __init__(self) -> None:
        self.times: list[float] = []
        self.used: list[float] = []
        self.began: tuple[float, float] | None = None
        self._number = itertools.count()

    @property
    def cpu_us_per_call(self) -> float:
        """Microseconds of CPU of a call."""
        return sum(self.used) / len(self.used) * 1e6 if self.used else 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, watched; a coroutine function stays one."""
        now, times, number = time.perf_counter, self.times, self._number

        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def watched(*args: Any, **kwargs: Any) -> Any:
                begun = now()
                try:
                    if next(number) % EVERY:
                        return await function(*args, **kwargs)
                    self.began = self.began or (begun, cpu_us())
                    return await _Stepped(function(*args, **kwargs), self.used)
                finally:
                    times.append(now() - begun)

            return watched

        @wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            begun = now()
            try:
                if next(number) % EVERY:
                    return function(*args, **kwargs)
                self.began = self.began or (begun, cpu_us())
                before = time.thread_time()
                try:
                    return function(*args, **kwargs)
                finally:
                    self.used.append(time.thread_time() - before)
            finally:
                times.append(now() - begun)

        return called


class _Stepped:
    """A coroutine whose steps are timed, without what goes on while it waits."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], used: list[float]) -> None:
        self._coroutine, self._used = coroutine, used

    def __await__(self) -> Generator[Any, Any, Any]:
        coroutine, clock = self._coroutine, time.thread_time
        value: Any = None
        thrown: BaseException | None = None
        total = 0.0
        try:
            while True:
                begun = clock()
                try:
                    waits = coroutine.send(value) if thrown is None else coroutine.throw(thrown)
                except StopIteration as stop:
                    return stop.value
                finally:
                    total += clock() - begun
                value = thrown = None
                try:
                    value = yield waits
                except BaseException as error:  # it is the coroutine's to handle
                    thrown = error
        finally:
            self._used.append(total)
