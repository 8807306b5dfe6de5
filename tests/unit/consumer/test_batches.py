import asyncio
import threading

import pytest

from kafkaboot.errors import BatchFailed
from kafkaboot.testing import eventually_async

both = pytest.mark.parametrize("kind", ["async", "def"])


def settled(scene):
    return scene.assignment.unsettled() == 0


class Batches:
    """A batch handler that notes the batches it is given and fails on the values it is told to."""

    def __init__(self, kind, *, hold=False):
        self.kind, self.seen, self.bad, self.named, self.hold = kind, [], set(), False, hold

    @property
    def options(self):
        return {"batch_call": self._async if self.kind == "async" else self._sync, "is_async": self.kind == "async"}

    def _judge(self, raws, attempt):
        values = [raw.value() for raw in raws]
        self.seen.append((values, attempt))
        for index, value in enumerate(values):
            if value in self.bad:
                cause = ValueError(f"bad {value!r}")
                raise BatchFailed(index, cause) if self.named else cause

    async def _async(self, raws, attempt=1):
        while self.hold:
            await asyncio.sleep(0.001)
        self._judge(raws, attempt)

    def _sync(self, raws, attempt=1):
        while self.hold:
            threading.Event().wait(0.001)
        self._judge(raws, attempt)


@both
async def test_a_batch_runs_across_chunks_up_to_its_size(kind, raw, route_of, scene_of):
    handler = Batches(kind, hold=True)
    scene = scene_of(route_of(**handler.options, batch=4))
    scene.give(raw(0, b"0"))
    await eventually_async(lambda: scene.crew.at_work())
    for i in range(1, 7, 3):
        scene.give(*[raw(j, b"%d" % j) for j in range(i, i + 3)])
    handler.hold = False
    await eventually_async(lambda: settled(scene))
    assert [values for values, _ in handler.seen] == [[b"0"], [b"1", b"2", b"3", b"4"], [b"5", b"6"]]
    assert scene.route.counters.handled == 7
    assert scene.holding.buffered() == 0


@both
async def test_a_batch_takes_only_what_its_handler_claims(kind, raw, route_of, scene_of):
    handler = Batches(kind)
    scene = scene_of(route_of(**handler.options, batch=10))
    chunk, _ = scene.assignment.take([raw(i, b"%d" % i) for i in range(6)])
    lanes = scene.holding.lanes_of(scene.route)
    lanes.handed += 3
    scene.crew.hand(lanes, chunk, [1, 3, 5])
    await eventually_async(lambda: scene.holding.buffered() == 0)
    assert handler.seen == [([b"1", b"3", b"5"], 1)]
    assert bytes(chunk.done) == b"\0\1\0\1\0\1"


@both
async def test_a_batch_that_says_which_record_failed_settles_those_before_it_and_tries_it_alone(
    kind, raw, route_of, scene_of
):
    handler = Batches(kind)
    handler.bad, handler.named = {b"2"}, True
    scene = scene_of(route_of(**handler.options, batch=10))
    chunk = scene.give(*[raw(i, b"%d" % i) for i in range(5)])
    await eventually_async(lambda: len(scene.heard) >= 3)
    assert handler.seen[0] == ([b"0", b"1", b"2", b"3", b"4"], 1)
    assert handler.seen[1:3] == [([b"2"], 2), ([b"2"], 3)]
    assert bytes(chunk.done) == b"\1\1\0\0\0"
    assert [str(error) for _, error, _, _ in scene.heard[:1]] == ["bad b'2'"]
    assert scene.heard[0][0] == "orders[0]@2"
    handler.bad = set()
    await eventually_async(lambda: settled(scene))
    assert scene.route.counters.failed == 0
    assert scene.route.counters.handled == 5


@both
async def test_a_batch_that_only_raises_is_split_until_the_bad_record_is_alone(kind, raw, route_of, scene_of):
    handler = Batches(kind)
    handler.bad = {b"5"}
    scene = scene_of(route_of(**handler.options, batch=8))
    chunk = scene.give(*[raw(i, b"%d" % i) for i in range(8)])
    await eventually_async(lambda: len(scene.heard) >= 2)
    assert bytes(chunk.done) == b"\1\1\1\1\1\0\0\0"
    assert {where for where, _, _, _ in scene.heard} == {"orders[0]@5"}
    assert [values for values, _ in handler.seen][-1] == [b"5"]
    handler.bad = set()
    await eventually_async(lambda: settled(scene))
    handled = [value for values, _ in handler.seen for value in values]
    assert handled[-2:] == [b"6", b"7"]


@both
async def test_a_batch_index_that_cannot_be_is_taken_as_any_other_failure(kind, raw, route_of, scene_of):
    calls = []

    def judge(raws, attempt=1):
        calls.append(len(raws))
        if len(calls) == 1:
            raise BatchFailed(7, ValueError("off by some"))

    async def judge_async(raws, attempt=1):
        judge(raws)

    scene = scene_of(route_of(batch_call=judge_async if kind == "async" else judge, is_async=kind == "async", batch=4))
    scene.give(*[raw(i) for i in range(4)])
    await eventually_async(lambda: settled(scene))
    assert calls[:2] == [4, 2]


@both
async def test_one_bad_record_of_a_key_s_batch_does_not_hold_up_other_keys(kind, raw, route_of, scene_of):
    handler = Batches(kind)
    handler.bad = {b"a1"}
    scene = scene_of(route_of(**handler.options, batch=8, ordering="key"))
    chunk = scene.give(raw(0, b"a0", b"a"), raw(1, b"a1", b"a"), raw(2, b"b0", b"b"), raw(3, b"b1", b"b"))
    await eventually_async(lambda: len(scene.heard) >= 2)
    assert bytes(chunk.done) == b"\1\0\1\1"
