"""Handles the lanes of an `async def` handler, in tasks on the event loop.

The success path is the inner `for` loop of `_handle_row`, and of `_work` where records are handled out of order or
forwarded: call, settle, next. Everything else is off it.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from kafkaboot.consumer.batches import BatchRun
from kafkaboot.consumer.crew import Crew, Surroundings
from kafkaboot.consumer.ready import waiting_lanes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kafkaboot.consumer.backpressure import Gate
    from kafkaboot.consumer.lanes import Lane, Lanes
    from kafkaboot.consumer.offsets import Chunk
    from kafkaboot.consumer.route import Route

SLICE = 0.005
"""Seconds a worker keeps the event loop with handlers that never wait."""


class LoopCrew(Crew):
    """Handles an `async def` handler's lanes in tasks; everything here happens on the event loop."""

    def __init__(self, route: Route, loop: asyncio.AbstractEventLoop, group: Surroundings, gate: Gate) -> None:
        super().__init__(route, loop, group, gate)
        self._ready = waiting_lanes(route.ordering)
        self._tasks: set[asyncio.Task[None]] = set()
        self._summoned = False
        self._until = 0.0
        self._name = f"kafkaboot-{route.id}"

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
            task = self._loop.create_task(self._work(), name=self._name)
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
        """One worker: lane by lane, record by record, until nothing is ready."""
        worker = self._hired()
        ready, again = self._ready, self._handle_batch if self.route.batch_call else self._again
        call, gate = self.route.call, self._gate
        forward = self.route.forwarding.forward if self.route.forwarding else None
        plain: Any = self.route.plain or (None, None, None)
        function, decode, _ = plain
        lanes: Lanes | None = None
        self._until = monotonic() + SLICE
        try:
            while ready:
                lane = ready.popleft()
                if lane.lanes is not lanes:
                    # Counted before `live` is looked at: a partition is given back when nobody is counted in it.
                    self._leave(lanes)
                    lanes = lane.lanes
                    lanes.running += 1
                worker.lane = lane
                if call is None or lane.attempt:
                    if await again(lane):
                        ready.append(lane)
                    gate.progressed()
                    if monotonic() > self._until:
                        await self._let_others()
                    continue
                chunk, todo = lane.pieces[0]
                if forward is None and type(todo) is range:
                    if await self._handle_row(lane, chunk, todo):
                        ready.append(lane)
                    if gate.waiting:
                        gate.progressed()
                    continue
                records, done = chunk.records, chunk.done
                i, lane.row = todo[0], None
                try:
                    for i in todo:
                        if not lanes.open:
                            lanes.head_done(lane, todo.index(i))
                            if self._held(lane):
                                ready.append(lane)
                            break
                        lane.at = i
                        # The short way is written out: a function between would cost as much as all the rest here.
                        result = await (function(decode(records[i].value())) if decode else call(records[i]))
                        if forward is None or result is None:
                            done[i] = 1
                        else:
                            delivered = partial(self._acked, chunk, i)
                            try:
                                forward(result, delivered)
                            except BufferError:
                                await self._forward(result, delivered)
                        if not i % 31 and monotonic() > self._until:
                            await self._let_others()
                    else:
                        if lanes.piece_done(lane):
                            ready.append(lane)
                        if gate.waiting:
                            gate.progressed()
                except (Exception, asyncio.CancelledError) as error:
                    self._reraise_cancelled(error)
                    lanes.head_done(lane, todo.index(i))
                    if self._failed(lane, self._understood(records[i], error)):
                        ready.append(lane)
        finally:
            worker.lane = None
            self._hands.discard(worker)
            self._leave(lanes)

    async def _handle_row(self, lane: Lane, chunk: Chunk, todo: range) -> bool:
        """Records without a gap between them, of which nothing is forwarded; answers whether the lane has more to do.

        They are settled a row at a time, which saves a store and an index for each.
        """
        lanes, call = lane.lanes, self.route.call
        plain: Any = self.route.plain or (None, None, None)
        function, decode, _ = plain
        assert call is not None
        now, start = monotonic(), todo.start
        while start < todo.stop:
            began, stop = now, min(start + self._row, todo.stop)
            rest = iter(chunk.records[start:stop])
            lane.row = (chunk, start, stop, rest)
            failure: BaseException | None = None
            try:
                for record in rest:
                    if not lanes.open:
                        break
                    await (function(decode(record.value())) if decode else call(record))
                else:
                    chunk.settle(start, stop)
                    start, now = stop, monotonic()
                    self._row_took(now - began)
                    if now > self._until:
                        now = await self._let_others()
                    continue
            except (Exception, asyncio.CancelledError) as error:
                failure = error
            at = lane.begun()
            chunk.settle(start, at)
            if failure is not None:
                self._reraise_cancelled(failure)
            lanes.head_done(lane, at - todo.start)
            if failure is None:
                return self._held(lane)
            return self._failed(lane, self._understood(chunk.records[at], failure))
        return lanes.piece_done(lane)

    async def _let_others(self) -> float:
        """The slice is over: let others have the event loop; answers the time then."""
        await asyncio.sleep(0)
        now = monotonic()
        self._until = now + SLICE
        return now

    def _leave(self, lanes: Lanes | None) -> None:
        if lanes is not None:
            lanes.running -= 1
            self._gate.progressed()

    async def _again(self, lane: Lane) -> bool:
        """Try the lane's first record once more, alone; answers whether the lane is ready for more."""
        chunk, todo = lane.pieces[0]
        call = self.route.call
        assert call is not None
        if not lane.lanes.open:
            return self._held(lane)
        i = lane.at = todo[0]
        lane.row = None
        of = chunk.assignment
        if (of.suspects or of.judged) and (foretold := self._foretold(lane)) is not None:
            return foretold
        lane.lanes.retrying()
        try:
            result = await call(chunk.records[i], lane.attempt + 1)
            if self.route.forwarding is None or result is None:
                chunk.done[i] = 1
            else:
                await self._forward(result, partial(self._acked, chunk, i))
        except (Exception, asyncio.CancelledError) as error:
            self._reraise_cancelled(error)
            return self._failed(lane, error)
        return lane.lanes.proceed(lane)

    async def _forward(self, result: Any, delivered: Callable[[object | None, Any], None]) -> None:
        forwarding = self.route.forwarding
        assert forwarding is not None
        while True:
            try:
                forwarding.forward(result, delivered)
            except BufferError:
                await asyncio.sleep(self._room)
            else:
                return

    async def _handle_batch(self, lane: Lane) -> bool:
        run = BatchRun(lane, self.route)
        if not run.live:
            return self._held(lane)
        of = run.assignment
        if (of.suspects or of.judged) and (foretold := self._foretold(lane)) is not None:
            return foretold
        assert self.route.batch_call is not None
        try:
            result = await self.route.batch_call(run.records, lane.attempt + 1)
            if self.route.forwarding is None or result is None:
                run.settle()
            else:
                await self._forward(result, partial(self._batch_acked, run))
        except (Exception, asyncio.CancelledError) as error:
            self._reraise_cancelled(error)
            if self._batch_fell(run, error):
                return False
            cause = run.failed(error)
            return cause is None or self._failed(lane, cause)
        return run.proceed()

    def _later(self, delay: float, lane: Lane, error: BaseException | None = None) -> None:
        self._loop.call_later(delay, self._due, lane, error)

    def _due(self, lane: Lane, error: BaseException | None) -> None:
        if self.is_ready(lane, error):
            self._resume(lane)

    def _resume(self, lane: Lane) -> None:
        self._ready.append(lane)
        self._summon()

    @staticmethod
    def _reraise_cancelled(error: BaseException) -> None:
        """A cancelled worker ends; a handler that merely lets a CancelledError out has failed like any other."""
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise error
