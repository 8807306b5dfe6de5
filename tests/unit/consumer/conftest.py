"""What the engine's tests share: a record, a client in memory, a handler that can be held, a crew's surroundings."""

import asyncio
import threading
import time
from collections import deque

import pytest

from kafkaboot.client import TP, Committed
from kafkaboot.clock import ManualClock
from kafkaboot.consumer import Backoff, ConsumerSettings, Route
from kafkaboot.consumer.backpressure import Gate
from kafkaboot.consumer.committer import Committer
from kafkaboot.consumer.dispatch import Dispatch
from kafkaboot.consumer.holding import Holding
from kafkaboot.consumer.loop_crew import LoopCrew
from kafkaboot.consumer.offsets import Assignment
from kafkaboot.consumer.poller import Poller
from kafkaboot.consumer.thread_crew import ThreadCrew


class Raw:
    """A polled record."""

    def __init__(self, offset, value=b"", key=None, *, topic="orders", partition=0, headers=None):
        self._at = topic, partition, offset
        self._key, self._value, self._headers = key, value, headers

    def __len__(self):
        return len(self._value or b"")

    def topic(self):
        return self._at[0]

    def partition(self):
        return self._at[1]

    def offset(self):
        return self._at[2]

    def key(self):
        return self._key

    def value(self):
        return self._value

    def headers(self):
        return self._headers

    def timestamp(self):
        return 1, 1_700_000_000_000


class FakeConsumer:
    """A `ConsumerPort` that gives out what a test puts into it, and notes what it is told.

    `at_poll` takes functions that run inside the next poll, as rebalances do. Records of a paused partition wait.
    """

    def __init__(self):
        self.at_poll, self.chunks, self.errors, self.commit_errors = deque(), deque(), deque(), deque()
        self.stand, self.ends, self.commits, self.paused, self.told = {}, {}, [], set(), []
        self.answer_commits, self.unanswered, self.marks = True, [], []
        self.listener = None
        self.polls = self.most_polled = 0
        self.closed = threading.Event()

    def subscribe(self, topics, listener):
        self.listener = listener
        self.told.append(("subscribe", tuple(topics)))

    def assign(self, *partitions, topic="orders"):
        self.at_poll.append(lambda: self.listener.assigned([TP(topic, p) for p in partitions]))

    def revoke(self, *partitions, topic="orders"):
        self.at_poll.append(lambda: self.listener.revoked([TP(topic, p) for p in partitions]))

    def give(self, *records):
        self.chunks.append(list(records))

    def poll_chunk(self, limit, timeout):
        self.polls += 1
        self.most_polled = max(self.most_polled, limit)
        while self.at_poll:
            self.at_poll.popleft()()
        if self.errors:
            raise self.errors.popleft()
        for index, chunk in enumerate(self.chunks):
            if not any(TP(r.topic(), r.partition()) in self.paused for r in chunk):
                del self.chunks[index]
                return chunk
        if timeout:
            time.sleep(0.001)  # real clients wait here; a fake that does not would burn the machine
        return []

    def commit(self, offsets, done):
        if done is None and all(committed.metadata.startswith("ks1:") for committed in offsets.values()):
            self.marks.append(dict(offsets))  # what a beginning says before the first record
            return
        self.told.append(("commit", dict(offsets), done is None))
        error = self.commit_errors.popleft() if self.commit_errors else None
        if done is not None:
            if self.answer_commits:
                self.at_poll.append(lambda: done(error))
            else:
                self.unanswered.append(done)
        elif error is not None:
            raise error
        if error is None:
            self.commits.append(dict(offsets))

    def committed(self, partitions, timeout):
        return {tp: self.stand.get(tp, Committed(None)) for tp in partitions}

    def pause(self, partitions):
        self.told.append(("pause", tuple(partitions)))
        self.paused |= set(partitions)

    def resume(self, partitions):
        self.told.append(("resume", tuple(partitions)))
        self.paused -= set(partitions)

    def start(self, partition, offset):
        self.told.append(("start", partition, offset))

    def high_watermarks(self):
        return self.ends

    def close(self, timeout):
        self.told.append(("close",))
        self.closed.set()


class Handler:
    """A user's function that notes its calls, holds what it is told to hold, and fails as often as it is told to."""

    def __init__(self, kind):
        self.kind = kind
        self.calls, self.done, self.held, self.failures = [], [], set(), {}
        self.running, self.most = [], 0
        self._lock = threading.Lock()

    @property
    def call(self):
        return self._async if self.kind == "async" else self._sync

    def values(self):
        return [value for value, _ in self.calls]

    def _enter(self, raw, attempt):
        with self._lock:
            self.calls.append((raw.value(), attempt))
            self.running.append(raw.value())
            self.most = max(self.most, len(self.running))

    def _leave(self, raw):
        with self._lock:
            self.running.remove(raw.value())
        left = self.failures.get(raw.value(), 0)
        if left:
            self.failures[raw.value()] = left - 1
            raise ValueError(f"not yet: {raw.value()!r}")
        self.done.append(raw.value())

    async def _async(self, raw, attempt=1):
        self._enter(raw, attempt)
        try:
            while raw.value() in self.held:
                await asyncio.sleep(0.001)
        finally:
            self._leave(raw)

    def _sync(self, raw, attempt=1):
        self._enter(raw, attempt)
        while raw.value() in self.held:
            time.sleep(0.001)
        self._leave(raw)


class Scene:
    """One handler's crew and one partition of it, without poller and client."""

    def __init__(self, route):
        self.route = route
        self.gate = Gate()
        self.heard, self.crashes, self.refused = [], [], []
        crew = LoopCrew if route.is_async else ThreadCrew
        self.crew = crew(route, asyncio.get_running_loop(), self, self.gate)
        self.assignment = Assignment(TP("orders", 0), 1, in_order=route.ordering == "partition")
        self.holding = Holding(self.assignment)

    def give(self, *records):
        chunk, todo = self.assignment.take(list(records))
        lanes = self.holding.lanes_of(self.route)
        lanes.handed += len(todo)
        self.crew.hand(lanes, chunk, todo)
        return chunk

    def quiet(self):
        return self.holding.quiet()

    def overheard(self, route, where, error, attempt, delay):
        self.heard.append((where, error, attempt, delay))

    def undelivered(self, assignment, error):
        self.refused.append((assignment, error))

    def crashed(self, error):
        self.crashes.append(error)


class Desk:
    """A poller on this thread, and lanes that a test empties by hand."""

    def __init__(self, consumer, routes, clock=None, **settings):
        self.consumer = consumer
        self.clock = clock or ManualClock()
        self.settings = ConsumerSettings(**{"commit_interval": 1.0} | settings)
        self.work, self.rebalances = [], []
        committer = Committer("shop", self.settings.commit_interval, self.clock)
        self.poller = Poller(
            consumer, Dispatch("shop", routes), self.settings, self.clock, self.work.extend, committer, Gate(), [self]
        )
        consumer.listener = self.poller

    def on_rebalance(self, group, kind, partitions):
        self.rebalances.append((kind, partitions))

    def turn(self, times=1):
        for _ in range(times):
            self.poller.turn()

    def offsets(self):
        return [chunk.records[i].offset() for _, _, chunk, todo in self.work for i in todo]

    def handle(self, *offsets, settle=True):
        """Do what a crew does; all records by default."""
        for route, holding, chunk, todo in self.work:
            for i in todo:
                if not offsets or chunk.records[i].offset() in offsets:
                    chunk.done[i] = settle
                    holding.lanes_of(route).finished += 1
        if not offsets:
            self.work.clear()

    def committed(self):
        return {tp: offset.offset for commit in self.consumer.commits for tp, offset in commit.items()}


@pytest.fixture
def raw():
    """Makes a record."""
    return Raw


@pytest.fixture
def consumer():
    """A client in memory."""
    return FakeConsumer()


@pytest.fixture
def handler_of():
    """Makes a handler of the kind `async` or `def`."""
    return Handler


@pytest.fixture
def route_of():
    """Makes a route, with a short back-off that is the same every time."""

    def make(handler=None, **options):
        if handler is not None:
            options = {"call": handler.call, "is_async": handler.kind == "async"} | options
        options = {"topics": ("orders",), "where": "shop.py:1"} | options
        backoff = options.pop("backoff", Backoff(initial=0.01, jitter=False))
        return Route(options.pop("id", "bill"), backoff, **options)

    return make


@pytest.fixture
def scene_of():
    """Puts a crew on its scene; threads are let go at the end."""
    scenes = []

    def make(route):
        scenes.append(Scene(route))
        return scenes[-1]

    yield make
    for scene in scenes:
        scene.assignment.live = False
        if not scene.route.is_async:
            scene.crew.cancel()


@pytest.fixture
def desk(consumer, route_of):
    """Puts a poller on the client in memory."""

    def make(*routes, **options):
        return Desk(consumer, routes or [route_of()], **options)

    return make
