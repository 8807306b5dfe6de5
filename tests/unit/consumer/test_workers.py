"""The threads of a `def` handler: who takes a lane, and who waits until one is due again."""

import random
import threading
from math import inf
from time import monotonic

import pytest

from kafkaboot.client import TP
from kafkaboot.consumer.backoff import Backoff
from kafkaboot.consumer.commit_note import Attempts
from kafkaboot.consumer.holding import Holding
from kafkaboot.consumer.lanes import Lane
from kafkaboot.consumer.offsets import Assignment
from kafkaboot.consumer.workers import Workers
from kafkaboot.testing import eventually_async


def settled(scene):
    return scene.assignment.unsettled() == 0


def threads(name):
    return [thread for thread in threading.enumerate() if name in thread.name]


class Hold:
    """Holds a thread at one place, once."""

    def __init__(self):
        self.reached, self.go_on = threading.Event(), threading.Event()

    def here(self):
        if not self.reached.is_set():
            self.reached.set()
            self.go_on.wait(10)


class TooLate:
    """The bell of a thread that gives up waiting in the very moment at which it is rung."""

    def __init__(self, bell, hold):
        self._bell, self._hold = bell, hold

    def __hash__(self):
        return hash(self._bell)

    def __eq__(self, other):
        return other is self._bell

    def acquire(self, timeout=None):
        if timeout is None:
            return self._bell.acquire()
        self._hold.here()
        return False


async def test_a_lane_does_not_wait_for_a_thread_that_was_about_to_take_another_one(
    raw, handler_of, route_of, scene_of, monkeypatch
):
    """A thread has been called and not yet looked, when the next lane comes in."""
    handler = handler_of("def")
    scene = scene_of(route_of(handler, ordering="key", concurrency=2))
    workers, hold = scene.crew._workers, Hold()
    wait = workers._wait

    def slowly(bell, until):
        bell.acquire()
        bell.release()
        hold.here()
        wait(bell, until)

    monkeypatch.setattr(workers, "_wait", slowly)
    scene.give(raw(0, b"warm", b"w"))
    await eventually_async(lambda: settled(scene) and workers._idle)
    handler.held = {b"slow"}
    scene.give(raw(1, b"slow", b"a"))
    await eventually_async(hold.reached.is_set)
    scene.give(raw(2, b"quick", b"b"))
    hold.go_on.set()
    await eventually_async(lambda: b"quick" in handler.done, deadline=3, saying="a free thread may not stay away")
    handler.held.clear()
    await eventually_async(lambda: settled(scene))


async def test_a_call_in_the_moment_of_giving_up_is_heard(raw, handler_of, route_of, scene_of, monkeypatch):
    """Unheard it would keep everybody else from being called."""
    handler = handler_of("def")
    handler.failures, handler.held = {b"again": 1}, {b"slow"}
    scene = scene_of(route_of(handler, ordering="key", concurrency=2))
    workers, hold = scene.crew._workers, Hold()
    wait = workers._wait
    monkeypatch.setattr(
        workers, "_wait", lambda bell, until: wait(bell if until == inf else TooLate(bell, hold), until)
    )
    scene.give(raw(0, b"again", b"k"))
    await eventually_async(hold.reached.is_set)
    scene.give(raw(1, b"slow", b"a"))  # calls it
    hold.go_on.set()
    await eventually_async(lambda: b"slow" in handler.running)
    scene.give(raw(2, b"quick", b"b"))
    await eventually_async(lambda: b"quick" in handler.done, deadline=3, saying="a second thread was allowed")
    handler.held.clear()
    await eventually_async(lambda: settled(scene))


class NobodyLooks(Workers):
    """Calls nobody for what is due later."""

    def _call(self):
        return bool(self._ready) and super()._call()


async def attempt_while_busy(raw, handler_of, route_of, scene_of):
    """A record waits for its next attempt, and the thread that waits for it is given one that takes long."""
    handler = handler_of("def")
    handler.failures, handler.held = {b"again": 1}, {b"slow"}
    backoff = Backoff(initial=0.2, jitter=False)
    scene = scene_of(route_of(handler, ordering="key", concurrency=2, backoff=backoff))
    scene.give(raw(0, b"again", b"k"))
    await eventually_async(lambda: scene.crew._workers._watched() < inf)
    scene.give(raw(1, b"slow", b"s"))
    await eventually_async(lambda: b"slow" in handler.running)
    return scene, handler


async def test_an_attempt_is_made_in_time_while_the_thread_that_waited_for_it_is_busy(
    raw, handler_of, route_of, scene_of
):
    scene, handler = await attempt_while_busy(raw, handler_of, route_of, scene_of)
    await eventually_async(lambda: b"again" in handler.done, deadline=3)
    handler.held = set()
    await eventually_async(lambda: settled(scene))


async def test_without_a_call_for_what_is_due_it_would_wait_for_the_busy_one(
    raw, handler_of, route_of, scene_of, monkeypatch
):
    monkeypatch.setattr("kafkaboot.consumer.thread_crew.Workers", NobodyLooks)
    scene, handler = await attempt_while_busy(raw, handler_of, route_of, scene_of)
    with pytest.raises(AssertionError):
        await eventually_async(lambda: b"again" in handler.done, deadline=0.5)
    handler.held = set()
    await eventually_async(lambda: settled(scene))


async def test_an_attempt_that_is_due_changes_no_thread(raw, handler_of, route_of, scene_of):
    """The one that failed waits for it, while nothing else is to be done."""
    handler = handler_of("def")
    handler.failures = {b"again": 3}
    scene = scene_of(route_of(handler, ordering="partition", concurrency=8, id="alone"))
    scene.give(raw(0, b"again"), raw(1, b"next"))
    await eventually_async(lambda: settled(scene))
    assert [attempt for value, attempt in handler.calls if value == b"again"] == [1, 2, 3, 4]
    assert len(threads("alone")) == 1


async def test_the_earliest_of_all_that_is_due_is_looked_at_first(raw, handler_of, route_of, scene_of):
    """A thread that waits for a later moment does not keep an earlier one from being watched."""
    handler = handler_of("def")
    handler.failures, handler.held = {b"soon": 1, b"later": 1}, {b"soon", b"slow"}
    backoff = Backoff(initial=0.01, multiplier=50, jitter=False)
    scene = scene_of(route_of(handler, ordering="key", concurrency=3, backoff=backoff))
    scene.assignment.attempts[0] = Attempts(1, 0.0)  # its next wait is fifty times as long
    scene.give(raw(0, b"later", b"l"))
    await eventually_async(lambda: scene.crew._workers._watched() < inf)
    scene.give(raw(1, b"soon", b"s"), raw(2, b"slow", b"o"))
    await eventually_async(lambda: len(handler.running) == 2)
    handler.held = {b"slow"}
    await eventually_async(lambda: {b"soon", b"later"} <= set(handler.done), deadline=3)
    assert handler.done == [b"soon", b"later"]
    handler.held = set()
    await eventually_async(lambda: settled(scene))


async def test_threads_that_are_let_go_leave_even_while_something_is_due(raw, handler_of, route_of, scene_of):
    handler = handler_of("def")
    scene = scene_of(route_of(handler, id="leaves"))
    scene.give(raw(0, b"0"))
    await eventually_async(lambda: settled(scene))
    scene.crew._workers.later(60, Lane(scene.holding.lanes_of(scene.route), None, []))
    scene.crew.cancel()
    await eventually_async(lambda: not threads("leaves"))


async def test_no_call_is_lost_among_thousands_of_waits(raw, route_of, scene_of):
    """With a queue for a bell, at which all threads waited with a timeout, most such runs stood still for good."""
    failed = set()

    def call(record, attempt=1):
        if attempt == 1 and record.offset() % 3 == 0 and (key := (id(record), record.offset())) not in failed:
            failed.add(key)
            raise OSError(record.offset())

    scene = scene_of(route_of(call=call, is_async=False, backoff=Backoff(initial=0.001)))
    partitions = [Holding(Assignment(TP("orders", number), 1)) for number in range(4)]
    go_on = threading.Event()

    def busy():
        """Another thread that wants the interpreter, as a poller does."""
        chance = random.Random(7)
        while not go_on.is_set():
            until = monotonic() + chance.random() * 0.003
            while monotonic() < until:
                pass
            go_on.wait(chance.random() * 0.001)

    other = threading.Thread(target=busy, daemon=True)
    other.start()
    try:
        for first in range(0, 3000, 500):
            for holding in partitions:
                chunk, todo = holding.assignment.take([raw(i, b"") for i in range(first, first + 500)])
                lanes = holding.lanes_of(scene.route)
                lanes.handed += len(todo)
                scene.crew.hand(lanes, chunk, todo)

        def left():
            return sum(holding.assignment.unsettled() for holding in partitions)

        while before := left():
            await eventually_async(lambda before=before: left() < before, saying="it stands still")
    finally:
        go_on.set()
        other.join()
        for holding in partitions:
            holding.assignment.live = False
