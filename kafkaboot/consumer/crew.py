"""Who handles the lanes of one handler, at most `concurrency` at once. What both kinds of crew share stands here."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from functools import partial
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Protocol

from kafkaboot.consumer.route import Again, Away, Detour, Failed, Halt
from kafkaboot.consumer.telling import Telling
from kafkaboot.consumer.transacting import Judged
from kafkaboot.consumer.turnstile import Turnstile
from kafkaboot.errors import BatchFailed, KafkabootError, ProcessDiedError
from kafkaboot.message import HANDLING, Worker, explain

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from kafkaboot.consumer.backpressure import Gate
    from kafkaboot.consumer.batches import BatchRun
    from kafkaboot.consumer.lanes import Lane, Lanes
    from kafkaboot.consumer.offsets import Assignment, Chunk
    from kafkaboot.consumer.route import Route, Verdict
    from kafkaboot.message import RawRecord

log = logging.getLogger("kafkaboot.consumer")

ROOM = 0.005
"""Seconds between two looks at a full producer buffer."""
SOON = 0.0005
"""Seconds between two looks at a transaction that has enough."""
ROW = 64
"""Records that are settled together, while handlers are quick; a commit settles what is handled of a row at work."""
QUICK = 0.001
"""Seconds that such a row may take; when it takes longer, each record is settled alone."""
AWAY = 1000
"""Records of one handler and partition that may be on their way to another topic; then its lanes wait."""
AWAY_ENCLOSED = 400
"""The same in transactions: each leaves a hole in the map of records done beyond, which must fit into each commit."""
LOOK = 0.05
"""Seconds between two looks at whether there is room again."""


class Surroundings(Protocol):
    """What a crew tells its group, from any thread."""

    def undelivered(self, assignment: Assignment, error: object) -> None:
        """An output of a record was not delivered: what was taken from its partition is to be handled again."""

    def overheard(self, route: Route, where: str, error: BaseException, attempt: int, delay: float | None) -> None:
        """A handler raised; `delay` is `None` where it was the record's last attempt."""

    def crashed(self, error: BaseException) -> None:
        """A worker died of something that is no ordinary exception: the application must end."""


class Crew(ABC):
    """What both crews share: the way of a failed record, and the way of a returned value."""

    def __init__(self, route: Route, loop: asyncio.AbstractEventLoop, group: Surroundings, gate: Gate) -> None:
        self.route = route
        self._hands: set[Worker] = set()
        self._row = 1
        self._loop = loop
        self._group = group
        self._gate = gate
        self._lock = Turnstile()
        self._arrivals = threading.Lock()
        self._telling = Telling(route, group)
        self._paused: list[Lane] = []
        self._away = AWAY_ENCLOSED if route.transacting is not None else AWAY
        self._room = SOON if route.transacting is not None else ROOM

    @abstractmethod
    def hand(self, lanes: Lanes, chunk: Chunk, todo: Sequence[int]) -> None:
        """Take over records: `LoopCrew` on the event loop, `ThreadCrew` on the poller's thread."""

    @abstractmethod
    def cancel(self) -> None:
        """Stop what can be stopped; on the event loop."""

    def at_work(self) -> list[Lane]:
        """The lanes that a worker is in at this moment; from any thread."""
        return [lane for worker in list(self._hands) if (lane := worker.lane) is not None]

    def _hired(self) -> Worker:
        """Once for each task or thread, in its own context: whoever publishes in its handler finds the record by it."""
        worker = Worker(singly=self.route.batch_call is None, transacting=self.route.transacting)
        self._hands.add(worker)
        HANDLING.set(worker)
        return worker

    def _row_took(self, seconds: float) -> None:
        """Learn how many records may be settled together."""
        if seconds > QUICK:
            self._row = 1
        elif self._row < ROW:
            self._row *= 2

    def _acked(self, chunk: Chunk, i: int, error: object | None, _record: Any) -> None:
        """An output's delivery report, on the producer's thread."""
        if error is None:
            chunk.done[i] = 1
        else:
            chunk.assignment.refused.append(1)
            self._group.undelivered(chunk.assignment, error)

    def _batch_acked(self, run: BatchRun, error: object | None, _record: Any) -> None:
        if error is None:
            run.settle()
        else:
            run.assignment.refused.append(len(run.records))
            self._group.undelivered(run.assignment, error)

    def _understood(self, record: RawRecord, error: BaseException) -> BaseException:
        """The error in words where it was the decoder's: the same bytes fail again, a handler's own error does not."""
        plain = self.route.plain
        if plain is None or isinstance(error, KafkabootError):
            return error
        try:
            plain.decode(record.value())
        except Exception as again:
            return explain(again, plain.annotation, record.value())
        return error

    # --- the way of a failed record

    def _failed(self, lane: Lane, error: BaseException) -> bool:
        """The lane's first record failed: do what is to become of it; answers whether the lane has more to do now."""
        lanes, (chunk, todo) = lane.lanes, lane.pieces[0]
        assignment = chunk.assignment
        if not assignment.live:
            return False
        if lanes.away >= self._away:
            self._later(LOOK, lane, error)
            return False
        record, detour = chunk.records[todo[0]], error if isinstance(error, Detour) else None
        if detour is None:
            with self._lock:
                lanes.failed(lane)
        first = partial(assignment.settled_before, record)
        failed = Failed(record, error, lane.attempt, lane.since if lane.attempt else time(), first)
        verdict = self.route.failing.judge(failed) if detour is None else detour.verdict(failed)
        self._telling.tell(record, error, lane.attempt, verdict)
        if isinstance(verdict, Again) and not verdict.counts and detour is None:
            with self._lock:
                lanes.uncounted(lane, verdict.delay)
        if self._fell(assignment, record, failed, verdict):
            return False
        return self._carry_out(lane, failed, verdict)

    def _carry_out(self, lane: Lane, failed: Failed, verdict: Verdict) -> bool:
        """Do what was decided of the lane's first record; answers whether the lane has more to do now."""
        lanes, (chunk, todo) = lane.lanes, lane.pieces[0]
        assignment = chunk.assignment
        if isinstance(verdict, Again):
            self._later(verdict.delay, lane)
            return False
        if isinstance(verdict, Halt):
            self._group.crashed(failed.error)
            return False
        if self.route.transacting is not None:
            # Should the transaction fall, the record is not called again: this is what becomes of it.
            assignment.judged[failed.record.offset()] = Judged(failed, verdict, 0.0)
        away = isinstance(verdict, Away)
        if away:
            assignment.in_order = False
        else:
            chunk.done[todo[0]] = 1
        with self._lock, self._arrivals:
            lanes.away += away
            self.route.counters.count(verdict.why)
            more = lanes.proceed(lane)
        if isinstance(verdict, Away):
            verdict.send(partial(self._arrived, lanes, chunk, todo[0]), partial(self._wanted, assignment))
        return more

    def _foretold(self, lane: Lane) -> bool | None:
        """Where the lane's first record is not to be called now: what it is instead, as `_failed` answers; else `None`.

        It is one at which owners died, or whose last attempt fell together with its transaction.
        """
        chunk, todo = lane.pieces[0]
        of, offset = chunk.assignment, chunk.records[todo[0]].offset()
        deaths = of.suspects.pop(offset, None)
        if deaths is not None:
            return self._failed(lane, ProcessDiedError(deaths))
        judged = of.judged.get(offset)
        if judged is None:
            return None
        if not isinstance(judged.verdict, Again):
            return self._carry_out(lane, judged.failed, judged.verdict)
        wait = judged.due - monotonic()
        if wait > 0:
            self._later(wait, lane)
            return False
        return None

    def _fell(self, assignment: Assignment, record: RawRecord, failed: Failed, verdict: Verdict) -> bool:
        """Whether the failed record has published something: then its transaction is aborted, and all of it replayed.

        What was decided of the record holds after the replay.
        """
        transacting = self.route.transacting
        if transacting is None or not transacting.stained(assignment, record):
            return False
        due = monotonic() + verdict.delay if isinstance(verdict, Again) else 0.0
        assignment.judged[record.offset()] = Judged(failed, verdict, due)
        transacting.taint(f"handler {self.route.id} failed on a record for which it had published something")
        return True

    def _batch_fell(self, run: BatchRun, error: BaseException) -> bool:
        """The same for a batch that is to be halved: the transaction falls, and a smaller one begins at its place."""
        transacting, size = self.route.transacting, len(run.records)
        if transacting is None or size == 1 or not transacting.stained(run.assignment, run.records[0]):
            return False
        narrow, index = run.assignment.narrow, error.index if isinstance(error, BatchFailed) else 0
        narrow[run.records[0].offset()] = index or (size + 1) // 2
        if index:
            narrow[run.records[index].offset()] = 1
        transacting.taint(f"handler {self.route.id} failed on a batch for which it had published something")
        return True

    def is_ready(self, lane: Lane, error: BaseException | None) -> bool:
        """The wait of a lane is over, and with `error` what its record failed of is decided only now."""
        return lane.lanes.assignment.live if error is None else self._failed(lane, error)

    def _arrived(self, lanes: Lanes, chunk: Chunk, i: int) -> None:
        """The broker has the record that went to another topic; on any thread."""
        chunk.done[i] = 1
        with self._arrivals:
            lanes.away -= 1
        self._gate.progressed()

    def _wanted(self, assignment: Assignment) -> bool:
        """Whether a record on its way is still ours to send; whoever is told no leaves it, and does not ask again."""
        if assignment.live:
            return True
        assignment.left.append(1)
        self._gate.progressed()
        return False

    @abstractmethod
    def _later(self, delay: float, lane: Lane, error: BaseException | None = None) -> None:
        """Ask `_is_ready` in `delay` seconds, and go on with the lane if it is; from whoever handles it."""

    # --- pauses

    def go_on(self) -> None:
        """Take up what was held while an operator had paused it; on the event loop."""
        with self._lock:
            lanes = [lane for lane in self._paused if lane.lanes.open]
            self._paused = [lane for lane in self._paused if not lane.lanes.open and lane.lanes.assignment.live]
        for lane in lanes:
            self._resume(lane)

    def _held(self, lane: Lane) -> bool:
        """The lane is not open: keep it if it is only paused; answers whether it may go on after all."""
        with self._lock:
            if not lane.lanes.assignment.live:
                return False
            if lane.lanes.open:
                return True
            self._paused.append(lane)
            return False

    @abstractmethod
    def _resume(self, lane: Lane) -> None:
        """The lane has work again; on the event loop."""
