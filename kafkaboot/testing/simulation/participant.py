"""A process of the simulated application: its groups on one event loop, stepped by the run."""

from __future__ import annotations

import asyncio
import inspect
from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple, Unpack

from kafkaboot.client import TP
from kafkaboot.client.memory import MemoryClients
from kafkaboot.consumer import ConsumerGroup
from kafkaboot.errors import BatchFailed
from kafkaboot.testing.simulation.attempts import current
from kafkaboot.testing.simulation.loop import STEPS, VirtualGate, VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from concurrent.futures import Executor
    from contextvars import Context

    from kafkaboot.client.memory import MemoryProducer, MemoryTransactional
    from kafkaboot.clock import Clock
    from kafkaboot.consumer import Route
    from kafkaboot.message import RawRecord
    from kafkaboot.testing.simulation.attempts import Attempt
    from kafkaboot.testing.simulation.run import Run

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

ENDING = 20
"""Turns of the loop that cancelled tasks get to end."""


class CrashedError(BaseException):
    """The process is dead: nothing of it goes on. No handler may take it for a failure of its own."""


class HandlerLoop(VirtualLoop):
    """Knows which tasks a handler has started, and when its next timer is due; threads run at once, on the loop."""

    def __init__(self, clock: Clock, started: Callable[[asyncio.Task[Any], Attempt], None]) -> None:
        super().__init__(clock)
        self._started = started
        self._due: list[float] = []
        self._clock_resolution = 1e-6  # asyncio adds it to find what is due; less would vanish beside the time of day
        factory: Any = self._task
        self.set_task_factory(factory)
        self.set_exception_handler(lambda *_: None)  # what ends in a crash is told by the story

    @property
    def busy(self) -> bool:
        """Whether something is ready to run, or due."""
        return bool(vars(self)["_ready"]) or (bool(self._due) and self._due[0] <= self.time())

    @property
    def next_timer(self) -> float | None:
        """When a timer may be due."""
        return self._due[0] if self._due else None

    def step(self, times: int = 1) -> None:
        """Run what is ready and due."""
        super().step(times)
        while self._due and self._due[0] <= self.time():
            heappop(self._due)

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Notes when it is due."""
        heappush(self._due, when)
        return super().call_at(when, callback, *args, context=context)

    def run_in_executor(
        self,
        executor: Executor | None,  # noqa: ARG002
        func: Callable[[Unpack[Ts]], T],
        *args: *Ts,
    ) -> asyncio.Future[T]:
        """Calls it here and now."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def _task(self, _: Any, coro: Coroutine[Any, Any, Any], context: Context | None = None) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, context=context)
        attempt = current.get() if context is None else context.get(current)
        if attempt is not None:
            self._started(task, attempt)
        return task


class Participant:
    """Takes part in the application's groups until it stops or crashes.

    Args:
        run: The world.
        name: How the report calls it.
    """

    def __init__(self, run: Run, name: str) -> None:
        self.run, self.name = run, name
        self.dying = self.gone = self.busy = self.started = False
        self.state = run.application.memory.fresh()
        self.loop = HandlerLoop(run.clock, self._task_started)
        self._clients = run.clients()
        self.groups: list[tuple[ConsumerGroup, Any]] = []

    def start(self) -> None:
        """Build everything, run the start hooks, join the groups."""
        with self.run.inside(self):
            built = self.run.application.build(self._clients, self.run.world)
            self._stops = built.stops
            for hook in built.starts:
                self._call(hook)
            for name, routes in built.routes.items():
                for route in routes:
                    self._watch(name, route)
                group = ConsumerGroup(
                    name,
                    routes,
                    self._clients,
                    built.settings,
                    died=lambda *_: None,
                    hooks=[self, *built.listeners],
                    clock=self.run.clock,
                )
                consumer: Any = group.put_together(self.loop, VirtualGate(partial(self.run.wait, self)))
                assert group.poller is not None
                consumer.subscribe(group.dispatch.subscription(), group.poller)
                self.groups.append((group, consumer))
        self.started = True

    # --- what the run does with it

    def turn(self) -> None:
        """One round of each poller."""
        self._while_busy(self._turn_all)

    def step(self) -> None:
        """One turn of the event loop."""
        with self.run.inside(self):
            self.loop.step(1)
        self._judge()

    def stop(self) -> None:
        """Drain, commit, leave, run the stop hooks."""
        self._while_busy(self._leave)
        if not self.gone:
            self._end()

    def expire(self) -> None:
        """Its sessions have run out; it learns of it when it polls next."""
        for _, consumer in self.groups:
            consumer.expire()

    def crash(self) -> None:
        """Die on the spot; the groups hear of it when the session has run out."""
        for _, consumer in self.groups:
            consumer.vanish()
        self._end()

    # --- handlers, watched

    def _watch(self, group: str, route: Route) -> None:
        call = route.batch_call or route.call
        is_async, is_batch = route.is_async, route.batch_call is not None

        async def watched(given: Any, attempt: int = 1) -> Any:
            if self.gone or self.dying:
                raise asyncio.CancelledError
            records: Sequence[RawRecord] = given if is_batch else [given]
            made = self.run.began(self, group, route, records)
            token = current.set(made)
            try:
                assert call is not None
                result = call(given, attempt)
                if is_async:
                    result = await result
            except BaseException as error:
                if not self.gone and not self.dying:
                    self.run.over(self, made, error, error.index if isinstance(error, BatchFailed) else 0)
                raise
            finally:
                current.reset(token)
            if not self.gone and not self.dying:
                self.run.over(self, made)
            return result

        route.is_async, route.plain = True, None
        if is_batch:
            route.batch_call = lambda raws, attempt=1: watched(raws, attempt)
        else:
            route.call = lambda raw, attempt=1: watched(raw, attempt)

    def _task_started(self, task: asyncio.Task[Any], attempt: Attempt) -> None:
        attempt.tasks.add(task)

        def ended(task: asyncio.Task[Any]) -> None:
            if not self.gone and not self.dying:
                self.run.attempts.task_over(attempt, task)

        task.add_done_callback(ended)

    # --- what the engine says

    def on_rebalance(self, group: str, kind: str, partitions: list[tuple[str, int]]) -> None:
        """See `OnRebalance`."""
        self.run.rebalanced(self, group, kind, [TP(*one) for one in partitions])

    # --- inside

    def _turn_all(self) -> None:
        for group, _ in self.groups:
            assert group.poller is not None
            group.poller.turn()

    def _leave(self) -> None:
        for group, consumer in self.groups:
            assert group.poller is not None
            group.poller.stop(self.run.clock.monotonic() + group.settings.drain_timeout)
            group.run(consumer)
        for hook in self._stops:
            self._call(hook)

    def _while_busy(self, move: Callable[[], None]) -> None:
        self.busy = True
        try:
            with self.run.inside(self):
                move()
        except CrashedError:
            self.dying = True
        finally:
            self.busy = False
        self._judge()

    def _judge(self) -> None:
        """Whether it has died of what it did."""
        if self.dying and not self.gone:
            self.crash()
            self.run.crashed(self)
        for group, _ in self.groups:
            if group.error is not None and not self.gone:
                raise AssertionError(f"{self.name} died: {group.error!r}") from group.error

    def _call(self, hook: Callable[[], Any]) -> None:
        """A hook, to its end."""
        result = hook()
        if not inspect.isawaitable(result):
            return
        future = asyncio.ensure_future(result, loop=self.loop)
        until = self.run.clock.monotonic() + 60.0
        while not future.done() and self.run.clock.monotonic() < until:
            self.loop.step(1)
            if not self.loop.busy:
                self.run.pass_time([self])
        future.result()

    def _end(self) -> None:
        self.gone = True
        self.run.attempts.died(self.name)
        self._clients.vanish()
        for group, _ in self.groups:
            for holding in group.poller.holdings.values() if group.poller is not None else ():
                holding.assignment.live = False  # so that workers let their lanes go, and no new ones come
        with self.run.inside(self):
            for _ in range(ENDING):
                tasks = asyncio.all_tasks(self.loop)
                if not tasks:
                    break
                for task in tasks:
                    task.cancel()
                self.loop.step(STEPS)
            self.loop.close()
        self.run.participants.remove(self)


class ProcessClients(MemoryClients):
    """The clients of one process: its producers die with it."""

    def __init__(self, run: Run) -> None:
        super().__init__(run.kafka)
        self._producers: list[MemoryProducer] = []

    def producer(self, overrides: Mapping[str, object]) -> MemoryProducer:
        """A producer of this process."""
        made = super().producer(overrides)
        self._producers.append(made)
        return made

    def transactional(self, transactional_id: str, overrides: Mapping[str, object]) -> MemoryTransactional:
        """A producer of this process."""
        made = super().transactional(transactional_id, overrides)
        self._producers.append(made)
        return made

    def vanish(self) -> None:
        """The process dies."""
        for producer in self._producers:
            producer.vanish()
