"""A consumer group as this process takes part in it: a poller thread, and a crew for each handler."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from kafkaboot.client import TP
from kafkaboot.clock import SystemClock
from kafkaboot.consumer.backpressure import Gate
from kafkaboot.consumer.committer import Committer
from kafkaboot.consumer.dispatch import Dispatch
from kafkaboot.consumer.health import GroupHealth
from kafkaboot.consumer.loop_crew import LoopCrew
from kafkaboot.consumer.poller import Poller
from kafkaboot.consumer.standing import Standing
from kafkaboot.consumer.thread_crew import ThreadCrew
from kafkaboot.consumer.watch import Watch

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping, Sequence

    from kafkaboot.client import ClientFactory, ConsumerPort
    from kafkaboot.clock import Clock
    from kafkaboot.consumer.crew import Crew
    from kafkaboot.consumer.holding import Holding
    from kafkaboot.consumer.lanes import Lanes
    from kafkaboot.consumer.offsets import Assignment, Chunk
    from kafkaboot.consumer.route import Positions, Route
    from kafkaboot.consumer.settings import ConsumerSettings
    from kafkaboot.consumer.transacting import Transacting
    from kafkaboot.health import Health
    from kafkaboot.hooks import OnFailure

log = logging.getLogger("kafkaboot.consumer")

CLOSE = 10.0
"""Seconds that leaving the group may take."""


class ConsumerGroup:
    """Runs the handlers of one group.

    Args:
        name: The group's id.
        routes: Its handlers; they share one consumer.
        clients: Makes the consumer.
        settings: `kafkaboot.consumer`.
        died: Called on the event loop when the group can go no further.
        hooks: Listeners: any of `OnFailure`, `OnRebalance`, `OnCommit`.
        clock: Time.
        positions: Where its partitions stand in something else than Kafka.

    Raises:
        DeclarationError: Two handlers claim the same records.
    """

    def __init__(
        self,
        name: str,
        routes: Sequence[Route],
        clients: ClientFactory,
        settings: ConsumerSettings,
        *,
        died: Callable[[ConsumerGroup, BaseException], None],
        hooks: Sequence[object] = (),
        clock: Clock | None = None,
        positions: Positions | None = None,
    ) -> None:
        self.name = name
        self.routes = list(routes)
        self.settings = settings
        self.clock: Clock = clock or SystemClock()
        self.dispatch = Dispatch(name, routes)
        self.poller: Poller | None = None
        self.transacting: Transacting | None = None
        self.error: BaseException | None = None
        self._clients = clients
        self._died = died
        self._hooks = hooks
        self._positions = positions
        self._crews: dict[str, Crew] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Future[bool] | None = None
        self._watch = Watch(self)

    # --- life

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Make the consumer and begin to poll, on a thread of the group's own.

        Raises:
            ClientError: The client refuses its configuration.
        """
        consumer = self.put_together(loop, Gate())
        threading.Thread(target=self.run, args=(consumer,), name=f"kafkaboot-poller-{self.name}", daemon=True).start()

    def put_together(self, loop: asyncio.AbstractEventLoop, gate: Gate) -> ConsumerPort:
        """Make the consumer, the crews and the poller, and start nothing; answers the consumer.

        Raises:
            ClientError: The client refuses its configuration.
        """
        self._loop = loop
        self._ended = loop.create_future()
        for route in self.routes:
            crew = LoopCrew if route.is_async else ThreadCrew
            self._crews[route.id] = crew(route, loop, self, gate)
        consumer = self._clients.consumer(self.name, self._overrides())
        listeners = self._listeners("on_commit")
        committer = Committer(self.name, self.settings.commit_interval, self.clock, listeners)
        self.transacting = next((route.transacting for route in self.routes if route.transacting is not None), None)
        if self.transacting is not None:
            self.transacting.attach(self._reopen, listeners)
        self.poller = Poller(
            consumer,
            self.dispatch,
            self.settings,
            self.clock,
            self._hand_out,
            committer,
            gate,
            self._listeners("on_rebalance"),
            self.transacting,
        )
        return consumer

    async def stop(self, timeout: float) -> bool:
        """Finish the records at work, commit, leave the group; answers whether all were finished in time.

        Records that were taken but not begun are left for the next owner; nothing of them is committed.
        """
        if self.poller is None or self._ended is None:
            return True
        self.poller.stop(self.clock.monotonic() + timeout)
        drained = await self._ended
        for crew in self._crews.values():
            crew.cancel()
        return drained

    def run(self, consumer: ConsumerPort) -> None:
        """Poll until it is to stop, then leave the group; the thread's own work."""
        poller, loop, ended = self.poller, self._loop, self._ended
        assert poller is not None
        assert loop is not None
        assert ended is not None
        drained = False
        standing = Standing(poller, self._positions) if self._positions is not None else None
        try:
            drained = poller.run(standing)
            if standing is not None:
                standing.end()
        except BaseException as error:
            self.crashed(error)
        finally:
            for holding in poller.holdings.values():
                holding.assignment.live = False
            if self.transacting is not None:
                self.transacting.close()
            try:
                consumer.close(CLOSE)
            except Exception as error:
                log.warning("group %s: leaving the group failed: %s", self.name, error)
            if not loop.is_closed():
                loop.call_soon_threadsafe(_answer, ended, drained)

    def _overrides(self) -> Mapping[str, object]:
        enclosed = any(route.transactional for route in self.routes)
        return self.settings.client_properties(self.routes[0].start, committed_only=enclosed)

    # --- records to the crews, on the poller's thread

    def _hand_out(self, work: list[tuple[Route, Holding, Chunk, Sequence[int]]]) -> None:
        to_loop = []
        for route, holding, chunk, todo in work:
            if route.is_async:
                to_loop.append((self._crews[route.id], holding.lanes_of(route), chunk, todo))
            else:
                self._crews[route.id].hand(holding.lanes_of(route), chunk, todo)
        if to_loop and self._loop is not None:
            self._loop.call_soon_threadsafe(_hand_all, to_loop)

    # --- what crews say, from any thread

    def undelivered(self, assignment: Assignment, error: object) -> None:
        """See `Surroundings`."""
        assert self.poller is not None
        self.poller.undelivered(assignment, error)

    def overheard(self, route: Route, where: str, error: BaseException, attempt: int, delay: float | None) -> None:
        """See `Surroundings`."""
        listeners: list[OnFailure] = self._listeners("on_failure")
        for listener in listeners:
            try:
                listener.on_failure(route.id, where, error, attempt, delay)
            except Exception:
                log.exception("a failure listener raised")

    def crashed(self, error: BaseException) -> None:
        """The group can go no further."""
        if self.error is None:
            self.error = error
            log.critical("group %s died: %s", self.name, error, exc_info=error)
            if self._loop is not None and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self._died, self, error)

    # --- what operators do

    def pause(self, handler: str) -> None:
        """Let a handler begin no further record; those at work are finished. What comes waits in its lanes.

        Its partitions are paused once their lanes are full, other handlers' records on them included: no offset moves
        past a record that waits.

        Raises:
            LookupError: The group has no such handler.
        """
        self._set_paused(handler, paused=True)

    def resume(self, handler: str) -> None:
        """Let it go on.

        Raises:
            LookupError: The group has no such handler.
        """
        self._set_paused(handler, paused=False)

    def pause_partition(self, topic: str, partition: int) -> None:
        """The same for all handlers of one partition, until it is resumed or goes to another member.

        Raises:
            LookupError: This process does not have the partition.
        """
        self._set_held(topic, partition, held=True)

    def resume_partition(self, topic: str, partition: int) -> None:
        """Let it go on.

        Raises:
            LookupError: This process does not have the partition.
        """
        self._set_held(topic, partition, held=False)

    def paused(self) -> list[str]:
        """Handlers, and partitions as `topic[partition]`, that are paused."""
        handlers = [route.id for route in self.routes if route.paused]
        held = [holding.assignment for holding in self._holdings() if holding.assignment.held]
        return handlers + [f"{one.tp.topic}[{one.tp.partition}]" for one in held]

    def _set_paused(self, handler: str, *, paused: bool) -> None:
        route = next((route for route in self.routes if route.id == handler), None)
        if route is None:
            raise LookupError(f"group {self.name!r} has no handler {handler!r}")
        route.paused = paused
        self._review()

    def _set_held(self, topic: str, partition: int, *, held: bool) -> None:
        holding = self.poller.holdings.get(TP(topic, partition)) if self.poller is not None else None
        if holding is None:
            raise LookupError(f"group {self.name!r} does not have {topic}[{partition}] in this process")
        holding.assignment.held = held
        self._review()

    def _review(self) -> None:
        for holding in self._holdings():
            holding.assignment.review()
        self._reopen()

    def _reopen(self) -> None:
        """Let the crews take up lanes that are open again."""
        if self._loop is not None and not self._loop.is_closed():
            for crew in self._crews.values():
                self._loop.call_soon_threadsafe(crew.go_on)

    def _holdings(self) -> list[Holding]:
        return list(self.poller.holdings.values()) if self.poller is not None else []

    # --- what operators ask

    @property
    def crews(self) -> dict[str, Crew]:
        """Who handles what, by handler id."""
        return self._crews

    def health(self) -> Health:
        """See `consumer/health`."""
        return GroupHealth(self).health()

    def lag(self) -> dict[tuple[str, int], int]:
        """Records between what is settled and the end, by topic and partition, from memory."""
        return self._watch.lag()

    def stuck(self) -> list[str]:
        """Handlers at work on one record for longer than they may."""
        return self._watch.stuck()

    def _listeners(self, method: str) -> list[Any]:
        return [hook for hook in self._hooks if hasattr(hook, method)]


def _hand_all(work: list[tuple[Crew, Lanes, Chunk, Sequence[int]]]) -> None:
    for crew, lanes, chunk, todo in work:
        crew.hand(lanes, chunk, todo)


def _answer(ended: asyncio.Future[bool], drained: bool) -> None:
    if not ended.done():
        ended.set_result(drained)
