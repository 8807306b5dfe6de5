"""Handles the lanes of a `def` handler, in threads.

The success path is the `for` loop of `_handle_row`, and of `_handle` where records are handled out of order or
forwarded: call, settle, next. The lock guards the lanes and is taken once a piece, never once a record.
"""

from __future__ import annotations

from functools import partial
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from kafkaboot.consumer.batches import BatchRun
from kafkaboot.consumer.crew import Crew, Surroundings
from kafkaboot.consumer.workers import Workers
from kafkaboot.message import HANDLING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from kafkaboot.consumer.backpressure import Gate
    from kafkaboot.consumer.lanes import Lane, Lanes
    from kafkaboot.consumer.offsets import Chunk
    from kafkaboot.consumer.route import Route


class ThreadCrew(Crew):
    """Handles a `def` handler's lanes in threads. The lock guards the lanes; it is taken once a piece."""

    def __init__(self, route: Route, loop: asyncio.AbstractEventLoop, group: Surroundings, gate: Gate) -> None:
        super().__init__(route, loop, group, gate)
        self._piece = self._handle_batch if route.batch_call else self._handle
        self._workers = Workers(route, self._lock, self)

    def hand(self, lanes: Lanes, chunk: Chunk, todo: Sequence[int]) -> None:
        """Take over records; on the poller's thread."""
        with self._lock:
            ready = lanes.add(chunk, todo)
        if ready:
            self._workers.put(ready)

    def cancel(self) -> None:
        """Let idle threads go. A thread inside a handler cannot be stopped; it is a daemon."""
        self._workers.close()

    def hired(self) -> None:
        """A worker's thread begins."""
        self._hired()

    def handle(self, lane: Lane) -> bool:
        """Handle the lane's first piece, on a worker's thread; answers whether the lane is ready for more."""
        worker = HANDLING.get()
        assert worker is not None
        worker.lane = lane
        try:
            return self._piece(lane)
        finally:
            worker.lane = None

    def _handle(self, lane: Lane) -> bool:
        """Handle the lane's first piece; answers whether the lane is ready for more."""
        if lane.attempt:
            return self._again(lane)
        chunk, todo = lane.pieces[0]
        if self.route.forwarding is None and isinstance(todo, range):
            return self._handle_row(lane, chunk, todo)
        records, done, lanes = chunk.records, chunk.done, lane.lanes
        call, forwarding = self.route.call, self.route.forwarding
        plain: Any = self.route.plain or (None, None, None)
        function, decode, _ = plain
        assert call is not None
        i, lane.row = todo[0], None
        try:
            for i in todo:
                if not lanes.open:
                    self._head_done(lane, todo.index(i))
                    return self._held(lane)
                lane.at = i
                result = function(decode(records[i].value())) if decode else call(records[i])
                if forwarding is None or result is None:
                    done[i] = 1
                else:
                    self._forward(result, partial(self._acked, chunk, i))
        except Exception as error:
            self._head_done(lane, todo.index(i))
            return self._failed(lane, self._understood(records[i], error))
        with self._lock:
            return lane.lanes.piece_done(lane)

    def _handle_row(self, lane: Lane, chunk: Chunk, todo: range) -> bool:
        """Records without a gap between them, of which nothing is forwarded: settled a row at a time."""
        lanes, call = lane.lanes, self.route.call
        plain: Any = self.route.plain or (None, None, None)
        function, decode, _ = plain
        assert call is not None
        now, start = monotonic(), todo.start
        while start < todo.stop:
            began, stop = now, min(start + self._row, todo.stop)
            rest = iter(chunk.records[start:stop])
            lane.row = (chunk, start, stop, rest)
            failure: Exception | None = None
            try:
                for record in rest:
                    if not lanes.open:
                        break
                    if decode:
                        function(decode(record.value()))
                    else:
                        call(record)
                else:
                    chunk.settle(start, stop)
                    start, now = stop, monotonic()
                    self._row_took(now - began)
                    continue
            except Exception as error:
                failure = error
            at = lane.begun()
            chunk.settle(start, at)
            self._head_done(lane, at - todo.start)
            if failure is None:
                return self._held(lane)
            return self._failed(lane, self._understood(chunk.records[at], failure))
        with self._lock:
            return lane.lanes.piece_done(lane)

    def _head_done(self, lane: Lane, count: int) -> None:
        with self._lock:
            lane.lanes.head_done(lane, count)

    def _again(self, lane: Lane) -> bool:
        chunk, todo = lane.pieces[0]
        if not lane.lanes.open:
            return self._held(lane)
        i = lane.at = todo[0]
        lane.row = None
        of = chunk.assignment
        if (of.suspects or of.judged) and (foretold := self._foretold(lane)) is not None:
            return foretold
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
            return self._failed(lane, error)
        with self._lock:
            return lane.lanes.proceed(lane)

    def _forward(self, result: Any, delivered: Callable[[object | None, Any], None]) -> None:
        forwarding = self.route.forwarding
        assert forwarding is not None
        while True:
            try:
                forwarding.forward(result, delivered)
            except BufferError:
                sleep(self._room)
            else:
                return

    def _handle_batch(self, lane: Lane) -> bool:
        with self._lock:
            run = BatchRun(lane, self.route)
        if not run.live:
            return self._held(lane)
        of = run.assignment
        if (of.suspects or of.judged) and (foretold := self._foretold(lane)) is not None:
            return foretold
        assert self.route.batch_call is not None
        try:
            result = self.route.batch_call(run.records, lane.attempt + 1)
            if self.route.forwarding is None or result is None:
                run.settle()
            else:
                self._forward(result, partial(self._batch_acked, run))
        except Exception as error:
            if self._batch_fell(run, error):
                return False
            with self._lock:
                cause = run.failed(error)
            return cause is None or self._failed(lane, cause)
        with self._lock:
            return run.proceed()

    def progressed(self) -> None:
        """A worker has left a lane."""
        self._gate.progressed()

    def crashed(self, error: BaseException) -> None:
        """A worker died of something that is no ordinary exception."""
        self._group.crashed(error)

    def _later(self, delay: float, lane: Lane, error: BaseException | None = None) -> None:
        self._workers.later(delay, lane, error)

    def _resume(self, lane: Lane) -> None:
        self._workers.put((lane,))
