"""Processes with a transactional handler, on a Kafka in memory; pollers and time are in a test's hand."""

import asyncio
import itertools
import time
from collections import Counter, deque
from concurrent.futures import Future

import pytest

from kafkaboot.client import TP
from kafkaboot.client.memory import MemoryClients
from kafkaboot.consumer import Backoff, ConsumerGroup, ConsumerSettings, EnclosedSettings, Route
from kafkaboot.consumer.backpressure import Gate
from kafkaboot.declare.spec import PublisherSpec
from kafkaboot.producer import Binding, Producer, ProducerSettings, Transactions
from kafkaboot.transaction import EnclosedForward, GroupTransactions


class Ends:
    """Runs what blocks: at once, or when a test lets it."""

    def __init__(self):
        self.held, self._waiting = False, deque()

    def __call__(self, call):
        future = Future()
        self._waiting.append((call, future))
        if not self.held:
            self.let()
        return future

    def let(self):
        while self._waiting:
            call, future = self._waiting.popleft()
            future.set_result(call())


class Process:
    """One of them. `handle(raw, attempt)` is the handler; what it returns goes to `copies`."""

    def __init__(self, kafka, number, handle, *, kind="async", slot=None, batch=None, forwards=True, failing=None,
                 settings=None, retry=None, **route):  # fmt: skip
        self.kafka, self.clients, self.ends, self.crashes = kafka, MemoryClients(kafka), Ends(), []
        prefix = f"shop-{number if slot is None else slot}"
        options = ProducerSettings.model_validate({"transaction": {"timeout": 10}})
        pool = Transactions(
            self.clients, options.transaction_properties(), prefix=prefix, size=1, timeout=10, make=Producer
        )
        self.pool = pool
        self.producer = Producer(self.clients.producer(options.client_properties()), transactions=pool, envelope="none")
        self.producer.join_handlers()
        self.transactions = GroupTransactions(
            "shop", pool.seat("shop"), EnclosedSettings(**(settings or {})), timeout=10, clock=kafka.clock,
            run=self.ends, ended=pool.ended,
        )  # fmt: skip
        self.transactions.prepare()

        def bind(door):
            return [Binding(PublisherSpec("copies", key=lambda _: None, partition=0), self.producer.through(door))]

        call = {"batch_call" if batch else "call": handle, "batch": batch or 500}
        self.route = Route(
            "copy", failing or Backoff(retry or 0.0, jitter=False), ("orders",), is_async=kind == "async",
            transactional=True, transacting=self.transactions,
            forwarding=EnclosedForward(self.transactions.door, bind, many=bool(batch)) if forwards else None,
            **{**call, **route},
        )  # fmt: skip
        self.group = ConsumerGroup(
            "shop",
            [self.route],
            self.clients,
            ConsumerSettings(session_timeout=45, revoke_timeout=0.5, drain_timeout=0.5),
            died=lambda _, error: self.crashes.append(error),
            clock=kafka.clock,
        )
        self.consumer = self.group.put_together(asyncio.get_running_loop(), Gate())
        self.consumer.subscribe(["orders"], self.group.poller)

    @property
    def poller(self):
        return self.group.poller

    @property
    def holdings(self):
        return self.group.poller.holdings

    async def turn(self, times=1):
        """Rounds of the poller, each followed by some of the loop and a little time."""
        for _ in range(times):
            self.poller.turn()
            for _ in range(5):
                await asyncio.sleep(0)
            self.kafka.clock.advance(0.01)

    async def until(self, condition, saying="", turns=2000):
        for _ in range(turns):
            if condition():
                return
            await self.turn()
            await asyncio.sleep(0.0005)
        raise AssertionError(saying or "it did not happen")

    def die(self):
        self.consumer.vanish()
        self.transactions.ends.seat._port.vanish()
        for crew in self.group.crews.values():
            crew.cancel()


class World:
    """The cluster and what came of it."""

    def __init__(self, partitions=1):
        self.kafka = MemoryClients().kafka
        self.kafka.create("orders", partitions)
        for topic in ("copies", "letters"):
            self.kafka.create(topic)
        self.processes, self._numbers = [], itertools.count()

    def process(self, handle, **options):
        made = Process(self.kafka, next(self._numbers), handle, **options)
        self.processes.append(made)
        return made

    def give(self, *values, partition=0, key=None):
        for value in values:
            given = key(value) if callable(key) else key
            self.kafka.append("orders", str(value).encode(), given, None, partition)

    def copies(self, topic="copies"):
        """What a reader of committed records sees."""
        return [int(record.value()) for record in self.kafka.records(topic, committed=True)]

    def written(self, topic="copies"):
        return [int(record.value()) for record in self.kafka.records(topic)]

    def stands(self, partition=0):
        found = self.kafka.groups["shop"].offsets.get(TP("orders", partition))
        return None if found is None else found.offset


@pytest.fixture
async def world():
    """Makes a world; its processes are dismissed at the end."""
    made = []

    def make(partitions=1):
        made.append(World(partitions))
        return made[-1]

    yield make
    for one in made:
        for process in one.processes:
            for holding in process.holdings.values():
                holding.assignment.live = False
            for crew in process.group.crews.values():
                crew.cancel()
            for _ in range(3):
                await asyncio.sleep(0)


class Calls:
    """A handler that notes its calls, fails as often as it is told, and can be held. It answers the record's value."""

    def __init__(self, kind="async", publish=None):
        self.kind, self.publish = kind, publish
        self.calls, self.failures, self.held, self.seen = [], {}, set(), Counter()

    @property
    def handle(self):
        return self._async if self.kind == "async" else self._sync

    def _begin(self, raw, attempt):
        value = raw.value().decode()
        self.calls.append((value, attempt))
        self.seen[value] += 1
        if self.publish is not None:
            self.publish(raw.value().decode())
        return value

    def _end(self, value):
        if self.failures.get(value, 0):
            self.failures[value] -= 1
            raise ValueError(f"not yet: {value}")
        return None if self.publish is not None else value

    async def _async(self, raw, attempt=1):
        value = self._begin(raw, attempt)
        while value in self.held:
            await asyncio.sleep(0)
        return self._end(value)

    def _sync(self, raw, attempt=1):
        value = self._begin(raw, attempt)
        while value in self.held:
            time.sleep(0.001)
        return self._end(value)


@pytest.fixture
def calls():
    """Makes a handler."""
    return Calls
