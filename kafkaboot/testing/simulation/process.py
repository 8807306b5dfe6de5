"""One process of the simulated application: a group of the real engine, its event loop, and its one handler."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from kafkaboot.client.memory import MemoryClients
from kafkaboot.consumer import ConsumerGroup, Route
from kafkaboot.consumer.backoff import Backoff
from kafkaboot.errors import BatchFailed
from kafkaboot.testing.simulation.ledger import Place
from kafkaboot.testing.simulation.loop import VirtualGate, VirtualLoop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kafkaboot.client import TP
    from kafkaboot.client.memory import MemoryConsumer
    from kafkaboot.message import RawRecord
    from kafkaboot.testing.simulation.ledger import Execution
    from kafkaboot.testing.simulation.world import World

BRIEF = 0.03
"""Seconds that a handler takes that takes some."""


class Process:
    """Takes part in the group until it is stopped or crashes."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.loop = VirtualLoop(world.clock)
        self.gate = VirtualGate(self._wait)
        self.held: dict[Place, asyncio.Future[bool]] = {}
        self.busy = False
        self.gone = False
        self._turned_at = 0.0
        self._commit_failed = False
        clients = MemoryClients(world.kafka)
        self._producer = clients.producer({})
        single = {"call": self._handle} if world.batch is None else {"batch_call": self._handle_batch}
        route = Route(
            "bill",
            Backoff(initial=0.2, maximum=2.0, jitter=False),
            topics=(world.topic,),
            ordering=world.ordering,
            concurrency=world.concurrency,
            batch=world.batch or 1,
            forwarding=self if world.ledger.forwarding else None,
            **single,
        )
        self.group = ConsumerGroup(
            world.group, [route], clients, world.settings, died=lambda *_: None, hooks=[self], clock=world.clock
        )
        made: Any = self.group.put_together(self.loop, self.gate)
        assert self.group.poller is not None
        self.consumer: MemoryConsumer = made
        self.poller = self.group.poller
        self.consumer.subscribe(self.group.dispatch.subscription(), self.poller)

    # --- what is done to it

    def turn(self) -> None:
        """One round of the poller."""
        self.busy, self._turned_at, self._commit_failed = True, self.world.clock.monotonic(), False
        try:
            self.poller.turn()
        finally:
            self.busy = False
        self._well()

    def step(self) -> None:
        """A few turns of the event loop."""
        self.loop.step()
        self._well()

    def stop(self) -> None:
        """Stop cleanly: drain, commit, leave."""
        self.busy, self._turned_at, self._commit_failed = True, self.world.clock.monotonic(), False
        self.poller.stop(self.world.clock.monotonic() + self.world.settings.drain_timeout)
        self.group.run(self.consumer)
        self._well()
        self._end()

    def crash(self) -> None:
        """Die on the spot; the group hears of it when the session has run out."""
        self.consumer.vanish()
        self._end()

    # --- the handler, and where its results go

    async def _handle(self, raw: RawRecord, attempt: int = 1) -> Any:  # noqa: ARG002
        self._alive()
        place = Place(raw.partition(), raw.offset())
        running = self.world.ledger.began(self.name, [place])
        if await self._at_work(place, running):
            self.world.ledger.over(running, "ended")
            return running if self.world.ledger.forwarding else None
        self.world.ledger.over(running, "raised")
        raise ValueError(f"{place} fails")

    async def _handle_batch(self, raws: Sequence[RawRecord], attempt: int = 1) -> Any:  # noqa: ARG002
        self._alive()
        places = [Place(raw.partition(), raw.offset()) for raw in raws]
        running = self.world.ledger.began(self.name, places)
        for index, place in enumerate(places):
            if await self._at_work(place, running):
                continue
            if self.world.ledger.forwarding or place.offset % 2:
                self.world.ledger.over(running, "raised")
                raise ValueError(f"{place} fails, and with it all")
            self.world.ledger.over(running[:index], "ended")
            self.world.ledger.over(running[index:], "raised")
            raise BatchFailed(index, ValueError(f"{place} fails"))
        self.world.ledger.over(running, "ended")
        return running if self.world.ledger.forwarding else None

    def _alive(self) -> None:
        if self.gone:
            raise asyncio.CancelledError

    async def _at_work(self, place: Place, running: list[Execution]) -> bool:
        """Do what was planned for the record; answers whether all went well."""
        try:
            mode = self.world.mode(place)
            if mode == "brief":
                await asyncio.sleep(BRIEF)
            elif mode == "held":
                self.held[place] = self.loop.create_future()
                try:
                    if not await self.held[place]:
                        return False
                finally:
                    del self.held[place]
        except asyncio.CancelledError:
            if not self.gone:
                self.world.ledger.over(running, "cut")
            raise
        return not self.world.fails(place)

    def forward(self, result: list[Execution], delivered: Callable[[object | None, Any], None]) -> None:
        """Write one output that names the records it came from; see `Forwarding`."""

        def reported(error: object | None, record: RawRecord) -> None:
            if error is not None:
                self.world.ledger.refused(result[0].place)
            for execution in result:
                execution.reported = error is None
            delivered(error, record)

        self._producer.produce(self.world.outputs, b"", None, None, 0, reported)
        self.world.note_outputs([execution.place for execution in result])

    # --- what the engine says

    def on_rebalance(self, group: str, kind: str, partitions: list[tuple[str, int]]) -> None:  # noqa: ARG002
        """See `OnRebalance`."""
        ledger, numbers = self.world.ledger, [partition for _, partition in partitions]
        if kind == "assigned":
            ledger.assigned(self.name, numbers)
        elif kind == "lost":
            ledger.lost(self.name, numbers)
        else:
            waited = self.world.clock.monotonic() - self._turned_at >= self.world.settings.revoke_timeout - 0.001
            ledger.gave_back(self.name, numbers, waited=waited, committed=not self._commit_failed)

    def on_commit(self, group: str, offsets: list[tuple[str, int, int]], error: BaseException | None) -> None:  # noqa: ARG002
        """See `OnCommit`."""
        self._commit_failed |= error is not None

    # --- inside

    def _wait(self, seconds: float) -> None:
        self.world.wait(seconds)

    def _well(self) -> None:
        if self.group.error is not None:
            raise AssertionError(f"{self.name} died: {self.group.error!r}") from self.group.error
        assert not self.world.ledger.breaches, self.world.ledger.breaches

    def _end(self) -> None:
        self.gone = True
        self.world.ledger.died(self.name)
        self._producer.vanish()
        while tasks := asyncio.all_tasks(self.loop):
            for task in tasks:
                task.cancel()
            self.loop.step()
        self.loop.close()
        self.world.processes.remove(self)

    def holds(self) -> list[TP]:
        """What its consumer believes to hold."""
        return self.consumer.assigned
