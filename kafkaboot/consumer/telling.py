"""What is said of failed attempts: all of it to listeners, and to the log no more than somebody can read."""

from __future__ import annotations

import logging
from time import monotonic
from typing import TYPE_CHECKING

from kafkaboot.consumer.route import Again, Away, Detour, Halt
from kafkaboot.errors import KafkabootError, Signal
from kafkaboot.message import place

if TYPE_CHECKING:
    from kafkaboot.consumer.crew import Surroundings
    from kafkaboot.consumer.route import Route, Verdict
    from kafkaboot.message import RawRecord

log = logging.getLogger("kafkaboot.consumer")

QUIET = 1.0
"""Seconds between two lines about failures of the same kind: a traceback costs more than many records."""
KINDS = 500
"""Kinds of failures that are remembered."""

Kind = tuple[type[BaseException], object, str]


class Telling:
    """Tells of one handler's failures: the first of a kind with its traceback, then one line a second at most."""

    def __init__(self, route: Route, group: Surroundings) -> None:
        self._route, self._group = route, group
        self._said: dict[Kind, tuple[float, int]] = {}

    def tell(self, record: RawRecord, error: BaseException, attempt: int, verdict: Verdict) -> None:
        """An attempt failed, and this becomes of its record; on the thread that made the attempt."""
        again = verdict if isinstance(verdict, Again) else None
        if isinstance(error, Detour) or (again is not None and not again.counts):
            return  # the handler was not to be called: that is no failure of the record
        where = place(record.topic(), record.partition(), record.offset())
        if isinstance(error, Signal):
            log.debug("%s: %s: %s: %s", self._route.id, where, type(error).__name__, error.what)
        else:
            self._log(where, error, attempt, verdict)
        self._group.overheard(self._route, where, error, attempt, again.delay if again is not None else None)

    def _log(self, where: str, error: BaseException, attempt: int, verdict: Verdict) -> None:
        now, kind = monotonic(), (type(error), _place(error), type(verdict).__name__)
        last, left_out = self._said.get(kind, (0.0, 0))
        if last and now - last < QUIET:
            self._said[kind] = (last, left_out + 1)
            return
        if len(self._said) >= KINDS:
            self._said.clear()
        self._said[kind] = (now, 0)
        more = f" ({left_out} more like it since the last line)" if left_out else ""
        fate = _fate(verdict, attempt)
        if isinstance(error, KafkabootError):
            advice = f"; to do: {error.todo}" if error.todo else ""
            log.error("%s: %s: %s; %s%s%s", self._route.id, where, error.what, fate, advice, more)
        else:
            trace = None if last else error
            log.error("%s: %s: %s: %s; %s%s", self._route.id, where, type(error).__name__, error, fate, more,
                      exc_info=trace)  # fmt: skip


def _place(error: BaseException) -> object:
    """Where it was raised."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (trace.tb_frame.f_code, trace.tb_lineno) if trace is not None else None


def _fate(verdict: Verdict, attempt: int) -> str:
    if isinstance(verdict, Again):
        return (
            f"the record is kept and tried again in {verdict.delay:.1f} s (attempt {attempt} failed); records behind "
            "it in its lane wait, and its offset is not committed"
        )
    if isinstance(verdict, Halt):
        return "the application stops, as on_exhausted says; the record is kept and its offset is not committed"
    attempts = f"after {attempt} attempts" if attempt > 1 else "at its first attempt"
    if isinstance(verdict, Away):
        return f"{verdict.fate} {attempts}"
    return f"the record is {verdict.why} {attempts}"
