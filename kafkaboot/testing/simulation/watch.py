"""Runs a simulation on a thread that can be left behind: code that catches everything cannot be ended from inside."""

from __future__ import annotations

import sys
import threading
import time
from contextvars import copy_context
from typing import TYPE_CHECKING, TypeVar

from kafkaboot.errors import KafkabootError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import FrameType

T = TypeVar("T")

THREAD = "kafkaboot simulation"
"""The thread's name; its time is virtual."""
LOOK = 0.2
"""Seconds between two looks."""
PATIENCE = 10.0
"""Seconds of the processor that one turn of a process may take: neither a debugger nor a busy machine uses them up."""
GHOSTS = 1000
"""Effects that a dead process may try, each of which is refused."""


class StuckHandlerError(KafkabootError):
    """Code of the application does not come back, so that its simulated process cannot end."""


class Watch:
    """Knows whether the simulation goes on.

    Attributes:
        turns: Grows with each turn of a process.
    """

    def __init__(self) -> None:
        self.turns = 0
        self._ghosts = 0
        self._haunted = self._left_behind = False

    def turn(self) -> None:
        """A process's turn begins; never on a thread that was left behind, since another simulation may be running."""
        if self._left_behind:
            threading.Event().wait()
        self.turns += 1
        self._ghosts = 0

    def ghost(self) -> None:
        """A dead process tries an effect. Who goes on to do so is stopped here, for good."""
        self._ghosts += 1
        if self._ghosts > GHOSTS:
            self._haunted = True
            threading.Event().wait()

    def run(self, what: Callable[[], T], modules: Collection[str]) -> T:
        """Call `what` on a thread and wait for it.

        Args:
            what: The simulation.
            modules: The application's, of which the error names the place.

        Raises:
            StuckHandlerError: One turn takes too long. The thread is left behind.
        """
        results: list[T] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                results.append(what())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=copy_context().run, args=(work,), name=THREAD, daemon=True)
        thread.start()
        turns, begin = self.turns, time.process_time()
        while thread.is_alive():
            thread.join(LOOK)
            if turns != self.turns:
                turns, begin = self.turns, time.process_time()
            if self._haunted or time.process_time() - begin > PATIENCE:
                self._left_behind = True
                frames = sys._current_frames()  # noqa: SLF001 - documented, and the only way to see another thread
                raise _stuck(frames.get(thread.ident or 0), modules, dead=self._haunted)
        if errors:
            raise errors[0]
        return results[0]


def _stuck(frame: FrameType | None, modules: Collection[str], *, dead: bool) -> StuckHandlerError:
    while frame is not None and frame.f_globals.get("__name__") not in modules:
        frame = frame.f_back
    where = f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}" if frame else "the application"
    what = (
        f"goes on after its process has died, and tried more than {GHOSTS} effects"
        if dead
        else f"does not come back: one turn has taken more than {PATIENCE:.0f} s of the processor"
    )
    return StuckHandlerError(
        f"{where} {what}. The simulation cannot go on; its thread is left behind",
        todo="let a loop that tries again catch Exception: the end of a process or of a task is a BaseException.",
    )
