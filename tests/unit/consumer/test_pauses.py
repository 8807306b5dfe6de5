"""An operator pauses a handler or a partition while it runs."""

import asyncio

import pytest

from kafkaboot.testing import eventually_async

both = pytest.mark.parametrize("kind", ["async", "def"])
orderings = pytest.mark.parametrize("ordering", ["partition", "key", "unordered"])


def give(scene, raw, *offsets):
    return scene.give(*[raw(i, b"%d" % i, b"%d" % (i % 3)) for i in offsets])


def pause(scene, *, paused):
    scene.route.paused = paused
    scene.assignment.review()
    asyncio.get_running_loop().call_soon(scene.crew.go_on)


@both
@orderings
async def test_a_paused_handler_finishes_what_it_is_at_and_begins_nothing_until_it_is_resumed(
    kind, ordering, raw, handler_of, route_of, scene_of
):
    handler = handler_of(kind)
    handler.held = {b"0"}
    scene = scene_of(route_of(handler, ordering=ordering, concurrency=1))
    give(scene, raw, *range(6))
    await eventually_async(lambda: handler.running == [b"0"])
    pause(scene, paused=True)
    handler.held.clear()
    await eventually_async(lambda: handler.done == [b"0"])
    give(scene, raw, 6, 7)
    await eventually_async(lambda: not any(lanes.running for lanes in scene.holding.lanes.values()))
    assert handler.values() == [b"0"]
    assert scene.assignment.advance() == 1
    assert scene.quiet(), "a rebalance does not wait for what is paused"
    pause(scene, paused=False)
    await eventually_async(lambda: len(handler.done) == 8)
    assert sorted(handler.values()) == [b"%d" % i for i in range(8)]
    assert scene.assignment.advance() == 8


@both
async def test_a_retry_that_becomes_due_while_its_handler_is_paused_waits_as_well(
    kind, raw, handler_of, route_of, scene_of
):
    handler = handler_of(kind)
    handler.failures, handler.held = {b"0": 1}, {b"0"}
    scene = scene_of(route_of(handler))
    give(scene, raw, 0)
    await eventually_async(lambda: handler.running == [b"0"])
    pause(scene, paused=True)
    handler.held.clear()
    await eventually_async(lambda: scene.crew._paused)
    assert scene.heard
    assert len(handler.calls) == 1
    pause(scene, paused=False)
    await eventually_async(lambda: handler.done == [b"0"])


@both
async def test_a_paused_partition_that_is_given_back_leaves_nothing_behind(kind, raw, handler_of, route_of, scene_of):
    handler = handler_of(kind)
    scene = scene_of(route_of(handler))
    scene.assignment.held = True
    give(scene, raw, 0, 1)
    await eventually_async(lambda: scene.crew._paused)
    scene.assignment.live = False
    scene.crew.go_on()
    assert scene.crew._paused == []
    assert handler.calls == []
