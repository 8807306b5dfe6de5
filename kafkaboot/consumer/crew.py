"""Who handles the lanes of one handler: tasks on the event loop, or threads. At most `concurrency` at once.

The success path is the `for` loop of `_handle`: call, settle, next. Everything else is off it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from abc import ABC, abstractmethod
from collections import deque
from functools import partial
from queue import SimpleQueue
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any, Protocol

from kafkaboot.consumer.batches import BatchRun
from kafkaboot.errors import KafkabootError, UndecodableError
from kafkaboot.message import place

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kafkaboot.consumer.lanes import Lane, Lanes, Piece
    from kafkaboot.consumer.offsets import Assignment, Chunk
    from kafkaboot.consumer.route import Route

log = logging.getLogger("kafkaboot.consumer")

SLICE = 0.005
"""Seconds a worker keeps the event loop with handlers that never wait."""
ROOM = 0.005
"""Seconds between two looks at a full producer buffer."""


class Surroundings(Protocol):
    """What a crew tells its group, from any thread."""

    def progressed(self) -> None:
        """Somebody left a lane: the poller may be waiting for room or for quiet."""

    def undelivered(self, assignment: Assignment, error: object) -> None:
        """An output of a record was not delivered: what was taken from its partition is to be handled again."""

    def overheard(self, route: Route, where: str, error: BaseException, attempt: int, delay: float) -> None:
        """A handler raised."""

    def crashed(self, error: BaseException) -> None:
        """A worker died of something that is no ordinary exception: the application must end."""


class Crew(ABC):
    """What both crews share: the way of a failed record, and the way of a returned value."""

    def __init__(self, route: Route, loop: asyncio.AbstractEventLoop, group: Surroundings) -> None:
        self.route = route
        self.at_work: set[Lane] = set()
        self._loop = loop
        self._group = group

    @abstractmethod
    def hand(self, lanes: Lanes, chunk: Chunk, todo: Sequence[int]) -> None:
        """Take over records: `LoopCrew` on the event loop, `ThreadCrew` on the poller's thread."""

    @abstractmethod
    def cancel(self) -> None:
        """Stop what can be stopped; on the event loop."""

    def _acked(self, chunk: Chunk, i: int, error: object | None, _record: Any) -> None:
        """An output's delivery report, on the producer's thread."""
        if error is None:
            chunk.done[i] = 1
        else:
            self._group.undelivered(chunk.assignment, error)

    def _explain(self, lane: Lane, error: BaseException) -> float:
        """Say what happened, once, off the success path; answers the seconds to wait."""
        route = self.route
        piece = lane.pieces[0]
        record = piece.chunk.records[piece.todo[0]]
        where = place(record.topic(), record.partition(), record.offset())
        delay = lane.lanes.failed(lane)
        fate = (
            f"the record is kept and tried again in {delay:.1f} s (attempt {lane.attempt} failed); "
            f"records behind it in its lane wait, its offset is not committed"
        )
        if isinstance(error, UndecodableError):
            log.error("%s: %s: %s\n  %s\n  %s", route.id, where, error.what, fate, f"To do: {error.todo}")
        else:
            trace = None if isinstance(error, KafkabootError) else error
            log.error("%s: %s: %s: %s; %s", route.id, where, type(error).__name__, error, fate, exc_info=trace)
        self._group.overheard(route, where, error, lane.attempt, delay)
        return delay


class LoopCrew(Crew):
    """Handles an `async def` handler's lanes in tasks; everything here happens on the event loop."""

    def __init__(self, route: Route, loop: asyncio.AbstractEventLoop, group: Surroundings) -> None:
        super().__init__(route, loop, group)
        self._ready: deque[Lane] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._summoned = False

    def hand(self, lanes: Lanes, chunk: Chunk, todo: Sequence[int]) -> None:
        """Take over records; on the event loop."""
        if chunk.assignment.live:
            self._ready.extend(lanes.add(chunk, todo))
            self._summon()

    def cancel(self) -> None:
        """Cancel the handlers at work, at the end of a drain; on the event loop."""
        for task in self._tasks:
            task.cancel()

    def _summon(self) -> None:
        """Add one worker, and another one a turn of the loop later if there is still work.

        Handlers that never wait are thus served by one worker, handlers that wait by as many as are allowed.
        """
        if self._ready and not self._summoned and len(self._tasks) < self.route.concurrency:
            task = self._loop.create_task(self._work(), name=f"kafkaboot-{self.route.id}")
            self._tasks.add(task)
            task.add_done_callback(self._gone)
            if len(self._ready) > 1:
                self._summoned = True
                self._loop.call_soon(self._summon_more)

    def _summon_more(self) -> None:
        self._summoned = False
        self._summon()

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._group.crashed(error)
        self._summon()

    async def _work(self) -> None:
        handle = self._handle_batch if self.route.batch_call else self._handle
        ready, at_work, group = self._ready, self.at_work, self._group
        until = monotonic() + SLICE
        while ready:
            lane = ready.popleft()
            lanes = lane.lanes
            lanes.running += 1
            at_work.add(lane)
            try:
                if await handle(lane):
                    ready.append(lane)
            finally:
                at_work.discard(lane)
                lanes.running -= 1
                group.progressed()
            if monotonic() > until:
                await asyncio.sleep(0)
                until = monotonic() + SLICE

    async def _handle(self, lane: Lane) -> bool:
        """Handle the lane's first piece; answers whether the lane is ready for more."""
        if lane.attempt:
            return await self._again(lane)
        piece = lane.pieces[0]
        todo, chunk = piece.todo, piece.chunk
        records, done, assignment = chunk.records, chunk.done, chunk.assignment
        call, forwarding = self.route.call, self.route.forwarding
        assert call is not None
        until = monotonic() + SLICE
        i = todo[0]
        try:
            for i in todo:
                if not assignment.live:
                    lane.lanes.head_done(lane, todo.index(i))
                    return False
                piece.at = i
                result = await call(records[i])
                if forwarding is None or result is None:
                    done[i] = 1
                else:
                    await self._forward(chunk, i, result)
                if not i & 31 and monotonic() > until:
                    await asyncio.sleep(0)
                    until = monotonic() + SLICE
        except (Exception, asyncio.CancelledError) as error:
            self._reraise_cancelled(error)
            lane.lanes.head_done(lane, todo.index(i))
            self._wait(lane, error)
            return False
        return lane.lanes.pieces_done(lane, 1)

    async def _again(self, lane: Lane) -> bool:
        """Try the lane's first record once more, alone."""
        piece = lane.pieces[0]
        if not piece.chunk.assignment.live:
            return False
        i, chunk = piece.todo[0], piece.chunk
        call = self.route.call
        assert call is not None
        lane.lanes.retrying()
        try:
            result = await call(chunk.records[i], lane.attempt + 1)
            if self.route.forwarding is None or result is None:
                chunk.done[i] = 1
            else:
                await self._forward(chunk, i, result)
        except (Exception, asyncio.CancelledError) as error:
            self._reraise_cancelled(error)
            self._wait(lane, error)
            return False
        return _proceed(lane)

    async def _forward(self, chunk: Chunk, i: int, result: Any) -> None:
        forwarding = self.route.forwarding
        assert forwarding is not None
        delivered = partial(self._acked, chunk, i)
        while True:
            try:
                forwarding.forward(result, delivered)
            except BufferError:
                await asyncio.sleep(ROOM)
            else:
                return

    async def _handle_batch(self, lane: Lane) -> bool:
        run = BatchRun(lane, self.route)
        if not run.live:
            return False
        assert self.route.batch_call is not None
        try:
            result = await self.route.batch_call(run.records, lane.attempt + 1)
            if self.route.forwarding is None or result is None:
                run.settle()
            else:
                delivered = partial(self._batch_acked, run)
                while True:
                    try:
                        self.route.forwarding.forward(result, delivered)
                    except BufferError:
                        await asyncio.sleep(ROOM)
                    else:
                        break
        except (Exception, asyncio.CancelledError) as error:
            self._reraise_cancelled(error)
            return self._batch_failed(run, error)
        return run.proceed()

    def _batch_failed(self, run: BatchRun, error: BaseException) -> bool:
        cause = run.failed(error)
        if cause is None:
            return True
        self._wait(run.lane, cause)
        return False

    def _batch_acked(self, run: BatchRun, error: object | None, _record: Any) -> None:
        if error is None:
            run.settle()
        else:
            self._group.undelivered(run.assignment, error)

    def _wait(self, lane: Lane, error: BaseException) -> None:
        if lane.lanes.assignment.live:
            self._loop.call_later(self._explain(lane, error), self._ready_again, lane)

    def _ready_again(self, lane: Lane) -> None:
        if lane.lanes.assignment.live:
            self._ready.append(lane)
            self._summon()

    @staticmethod
    def _reraise_cancelled(error: BaseException) -> None:
        """A cancelled worker ends; a handler that merely lets a CancelledError out has failed like any other."""
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise error


class ThreadCrew(Crew):
    """Handles a `def` handler's lanes in threads. The lock guards the lanes; it is taken once a piece."""

    def __init__(self, route: Route, loop: asyncio.AbstractEventLoop, group: Surroundings) -> None:
        super().__init__(route, loop, group)
        self._ready: SimpleQueue[Lane | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._idle = 0

    def hand(self, lanes: Lanes, chunk: Chunk, todo: Sequence[int]) -> None:
        """Take over records; on the poller's thread."""
        with self._lock:
            ready = lanes.add(chunk, todo)
        for lane in ready:
            self._put(lane)

    def cancel(self) -> None:
        """Let idle threads go. A thread inside a handler cannot be stopped; it is a daemon."""
        with self._lock:
            for _ in range(self._threads):
                self._ready.put(None)

    def _put(self, lane: Lane) -> None:
        self._ready.put(lane)
        with self._lock:
            if self._ready.qsize() <= self._idle or self._threads >= self.route.concurrency:
                return
            self._threads += 1
        threading.Thread(target=self._work, name=f"kafkaboot-{self.route.id}-{self._threads}", daemon=True).start()

    def _work(self) -> None:
        handle = self._handle_batch if self.route.batch_call else self._handle
        while True:
            with self._lock:
                self._idle += 1
            lane = self._ready.get()
            with self._lock:
                self._idle -= 1
                if lane is None:
                    self._threads -= 1
                    return
                lane.lanes.running += 1
                self.at_work.add(lane)
            more = False
            try:
                more = handle(lane)
            except BaseException as error:
                self._group.crashed(error)
                raise
            finally:
                with self._lock:
                    self.at_work.discard(lane)
                    lane.lanes.running -= 1
                if more:
                    self._ready.put(lane)
                self._group.progressed()

    def _handle(self, lane: Lane) -> bool:
        """Handle the lane's first piece; answers whether the lane is ready for more."""
        if lane.attempt:
            return self._again(lane)
        piece = lane.pieces[0]
        todo, chunk = piece.todo, piece.chunk
        records, done, assignment = chunk.records, chunk.done, chunk.assignment
        call, forwarding = self.route.call, self.route.forwarding
        assert call is not None
        i = todo[0]
        try:
            for i in todo:
                if not assignment.live:
                    self._head_done(lane, todo.index(i))
                    return False
                piece.at = i
                result = call(records[i])
                if forwarding is None or result is None:
                    done[i] = 1
                else:
                    self._forward(result, partial(self._acked, chunk, i))
        except Exception as error:
            self._head_done(lane, todo.index(i))
            self._wait(lane, error)
            return False
        with self._lock:
            return lane.lanes.pieces_done(lane, 1)

    def _head_done(self, lane: Lane, count: int) -> None:
        with self._lock:
            lane.lanes.head_done(lane, count)

    def _again(self, lane: Lane) -> bool:
        piece = lane.pieces[0]
        if not piece.chunk.assignment.live:
            return False
        i, chunk = piece.todo[0], piece.chunk
        call = self.route.call
        assert call is not None
        with self._lock:
            lane.lanes.retrying()
        try:
            result = call(chunk.records[i], lane.attempt + 1)
            if self.route.forwarding is None or result is None:
                chunk.done[i] = 1
            else:
                self._forward(result, partial(self._acked, chunk, i))
        except Exception as error:
            self._wait(lane, error)
            return False
        with self._lock:
            return _proceed(lane)

    def _forward(self, result: Any, delivered: Callable[[object | None, Any], None]) -> None:
        forwarding = self.route.forwarding
        assert forwarding is not None
        while True:
            try:
                forwarding.forward(result, delivered)
            except BufferError:
                sleep(ROOM)
            else:
                return

    def _handle_batch(self, lane: Lane) -> bool:
        with self._lock:
            run = BatchRun(lane, self.route)
        if not run.live:
            return False
        assert self.route.batch_call is not None
        try:
            result = self.route.batch_call(run.records, lane.attempt + 1)
            if self.route.forwarding is None or result is None:
                run.settle()
            else:
                self._forward(result, partial(self._batch_acked, run))
        except Exception as error:
            with self._lock:
                cause = run.failed(error)
            if cause is None:
                return True
            self._wait(lane, cause)
            return False
        with self._lock:
            return run.proceed()

    def _batch_acked(self, run: BatchRun, error: object | None, _record: Any) -> None:
        if error is None:
            run.settle()
        else:
            self._group.undelivered(run.assignment, error)

    def _wait(self, lane: Lane, error: BaseException) -> None:
        if not lane.lanes.assignment.live:
            return
        with self._lock:
            delay = self._explain(lane, error)
        self._loop.call_soon_threadsafe(self._loop.call_later, delay, self._ready_again, lane)

    def _ready_again(self, lane: Lane) -> None:
        if lane.lanes.assignment.live:
            self._put(lane)


def _proceed(lane: Lane) -> bool:
    """The lane's first record was handled after all."""
    piece: Piece = lane.pieces[0]
    lane.lanes.recovered(lane)
    if len(piece.todo) == 1:
        return lane.lanes.pieces_done(lane, 1)
    lane.lanes.head_done(lane, 1)
    return True
