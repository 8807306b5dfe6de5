import asyncio
import logging
import threading

import pytest

from kafkaboot.testing import eventually, eventually_async

both = pytest.mark.parametrize("kind", ["async", "def"])


def settled(scene):
    return scene.assignment.unsettled() == 0


@both
async def test_a_partition_s_records_are_handled_one_after_another_in_their_order(
    kind, raw, handler_of, route_of, scene_of
):
    handler = handler_of(kind)
    scene = scene_of(route_of(handler, concurrency=8))
    scene.give(*[raw(i, b"%d" % i) for i in range(50)])
    scene.give(*[raw(i, b"%d" % i) for i in range(50, 60)])
    await eventually_async(lambda: settled(scene))
    assert handler.values() == [b"%d" % i for i in range(60)]
    assert handler.most == 1
    assert scene.route.counters.handled == 60
    assert scene.assignment.advance() == 60


@both
async def test_different_keys_of_one_partition_overlap_and_one_key_never_does(
    kind, raw, handler_of, route_of, scene_of
):
    handler = handler_of(kind)
    handler.held = {b"a1", b"b1"}
    scene = scene_of(route_of(handler, ordering="key"))
    scene.give(raw(0, b"a1", b"a"), raw(1, b"a2", b"a"), raw(2, b"b1", b"b"), raw(3, b"c1", b"c"))
    scene.give(raw(4, b"b2", b"b"), raw(5, b"c2", b"c"))
    await eventually_async(lambda: set(handler.done) == {b"c1", b"c2"} and set(handler.running) == {b"a1", b"b1"})
    assert {b"a2", b"b2"}.isdisjoint(handler.values())
    handler.held.clear()
    await eventually_async(lambda: settled(scene))
    for first, second in [(b"a1", b"a2"), (b"b1", b"b2"), (b"c1", b"c2")]:
        assert handler.values().index(first) < handler.values().index(second)


@both
async def test_by_partition_different_keys_do_not_overlap(kind, raw, handler_of, route_of, scene_of):
    """The negative control of the test above: the overlap comes from the ordering."""
    handler = handler_of(kind)
    handler.held = {b"a1"}
    scene = scene_of(route_of(handler, ordering="partition"))
    scene.give(raw(0, b"a1", b"a"), raw(1, b"b1", b"b"))
    await eventually_async(lambda: handler.running == [b"a1"])
    for i in range(2, 6):
        scene.give(raw(i, b"later %d" % i, b"c"))
        await asyncio.sleep(0)
    handler.held.clear()
    await eventually_async(lambda: settled(scene))
    assert handler.most == 1
    assert handler.calls[2:] == [(b"later %d" % i, 1) for i in range(2, 6)]


@both
async def test_records_without_a_key_share_one_lane(kind, raw, handler_of, route_of, scene_of):
    handler = handler_of(kind)
    handler.held = {b"n1"}
    scene = scene_of(route_of(handler, ordering="key"))
    scene.give(raw(0, b"n1"), raw(1, b"empty", b""), raw(2, b"n2"))
    scene.give(raw(3, b"n3"))
    await eventually_async(lambda: handler.done == [b"empty"])
    handler.held.clear()
    await eventually_async(lambda: settled(scene))
    assert [value for value in handler.values() if value != b"empty"] == [b"n1", b"n2", b"n3"]


@both
async def test_keys_that_come_back_later_are_handled_again_in_a_lane_of_their_own(
    kind, raw, handler_of, route_of, scene_of
):
    handler = handler_of(kind)
    scene = scene_of(route_of(handler, ordering="key"))
    for i in range(5):
        scene.give(raw(i, b"%d" % i, b"a"))
        await eventually_async(lambda: settled(scene))
    assert handler.values() == [b"%d" % i for i in range(5)]


@both
async def test_unordered_records_of_one_key_overlap(kind, raw, handler_of, route_of, scene_of):
    handler = handler_of(kind)
    handler.held = {b"1"}
    scene = scene_of(route_of(handler, ordering="unordered"))
    scene.give(raw(0, b"1", b"a"), raw(1, b"2", b"a"), raw(2, b"3", b"a"))
    await eventually_async(lambda: (set(handler.done), handler.running) == ({b"2", b"3"}, [b"1"]))
    handler.held.clear()
    await eventually_async(lambda: settled(scene))


@both
async def test_no_more_lanes_than_the_concurrency_run_at_once(kind, raw, handler_of, route_of, scene_of):
    handler = handler_of(kind)
    handler.held = {b"%d" % i for i in range(20)}
    scene = scene_of(route_of(handler, ordering="unordered", concurrency=3))
    scene.give(*[raw(i, b"%d" % i) for i in range(10)])
    scene.give(*[raw(i, b"%d" % i) for i in range(10, 20)])
    await eventually_async(lambda: len(handler.running) == 3)
    handler.held.clear()
    await eventually_async(lambda: settled(scene))
    assert handler.most == 3


@both
async def test_a_record_that_fails_waits_in_its_lane_with_growing_delays_and_others_flow(
    kind, raw, handler_of, route_of, scene_of
):
    handler = handler_of(kind)
    handler.failures = {b"a1": 3}
    scene = scene_of(route_of(handler, ordering="key"))
    scene.give(raw(0, b"a0", b"a"), raw(1, b"a1", b"a"), raw(2, b"a2", b"a"), raw(3, b"b1", b"b"))
    await eventually_async(lambda: settled(scene))
    assert [call for call in handler.calls if call[0] != b"b1"] == [
        (b"a0", 1), (b"a1", 1), (b"a1", 2), (b"a1", 3), (b"a1", 4), (b"a2", 1)
    ]  # fmt: skip
    assert handler.done.index(b"b1") < handler.done.index(b"a1")
    assert [(where, attempt, round(delay, 3)) for where, _, attempt, delay in scene.heard] == [
        ("orders[0]@1", 1, 0.01), ("orders[0]@1", 2, 0.02), ("orders[0]@1", 3, 0.04)
    ]  # fmt: skip
    counters = scene.route.counters
    assert (counters.handled, counters.retried, counters.failed) == (4, 3, 0)


@both
async def test_while_a_record_fails_it_counts_as_failed_and_nothing_beyond_it_may_be_committed(
    kind, raw, handler_of, route_of, scene_of
):
    handler = handler_of(kind)
    handler.failures = {b"1": 10**6}
    scene = scene_of(route_of(handler))
    scene.give(*[raw(10 + i, b"%d" % i) for i in range(4)])
    await eventually_async(lambda: len(scene.heard) >= 2)
    assert scene.assignment.to_commit().offset == 11
    assert scene.route.counters.failed == 1
    assert scene.holding.buffered() == 3, "what waits for a retry counts as buffered"
    assert {b"2", b"3"}.isdisjoint(handler.values())


@both
async def test_what_is_said_of_a_failed_record_names_its_place_its_fate_and_the_error(
    kind, raw, handler_of, route_of, scene_of, caplog
):
    handler = handler_of(kind)
    handler.failures = {b"1": 1}
    scene = scene_of(route_of(handler))
    with caplog.at_level(logging.ERROR, "kafkaboot.consumer"):
        scene.give(raw(1042, b"1"))
        await eventually_async(lambda: settled(scene))
    assert [record.getMessage() for record in caplog.records] == [
        (
            "bill: orders[0]@1042: ValueError: not yet: b'1'; the record is kept and tried again in 0.0 s "
            "(attempt 1 failed); records behind it in its lane wait, and its offset is not committed"
        )
    ]


@both
async def test_a_partition_that_is_given_back_is_left_before_the_next_record(kind, raw, handler_of, route_of, scene_of):
    handler = handler_of(kind)
    handler.held = {b"1"}
    scene = scene_of(route_of(handler))
    scene.give(*[raw(i, b"%d" % i) for i in range(5)])
    await eventually_async(lambda: handler.running == [b"1"])
    assert not scene.quiet()
    scene.assignment.live = False
    handler.held.clear()
    await eventually_async(scene.quiet)
    assert handler.values() == [b"0", b"1"]
    assert scene.assignment.to_commit().offset == 2
    assert scene.holding.buffered() == 3


@both
async def test_a_retry_that_waits_when_its_partition_goes_is_dropped(kind, raw, handler_of, route_of, scene_of):
    handler = handler_of(kind)
    handler.failures = {b"1": 10**6}
    scene = scene_of(route_of(handler))
    scene.give(raw(0, b"1"))
    await eventually_async(lambda: len(scene.heard) >= 2)
    scene.assignment.live = False
    await eventually_async(scene.quiet)
    calls = len(handler.calls)
    await asyncio.sleep(scene.heard[-1][3] + 0.02)
    assert len(handler.calls) == calls


# --- what a handler may throw


async def test_a_cancelled_error_that_a_handler_lets_out_is_a_failure_and_its_worker_lives_on(raw, route_of, scene_of):
    calls = []

    async def call(record, attempt=1):
        calls.append((record.value(), attempt))
        if attempt == 1:
            raise asyncio.CancelledError

    scene = scene_of(route_of(call=call, concurrency=1))
    scene.give(raw(0, b"0"), raw(1, b"1"))
    await eventually_async(lambda: settled(scene))
    assert calls == [(b"0", 1), (b"0", 2), (b"1", 1), (b"1", 2)]
    assert scene.crashes == []


async def test_cancelling_the_crew_ends_handlers_at_work_without_settling_their_records(
    raw, handler_of, route_of, scene_of
):
    handler = handler_of("async")
    handler.held = {b"0"}
    scene = scene_of(route_of(handler))
    scene.give(raw(0, b"0"))
    await eventually_async(lambda: handler.running == [b"0"])
    scene.assignment.live = False
    scene.crew.cancel()
    await eventually_async(lambda: not scene.crew._tasks)
    assert scene.assignment.unsettled() == 1
    assert scene.heard == []
    assert scene.crashes == []


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_system_exit_in_a_thread_is_told_and_its_record_is_not_settled(raw, route_of, scene_of):
    def call(record, attempt=1):
        raise SystemExit(3)

    scene = scene_of(route_of(call=call, is_async=False, id="exits"))
    scene.give(raw(0, b"0"))
    await eventually_async(lambda: scene.crashes)
    await eventually_async(lambda: not [thread for thread in threading.enumerate() if "exits" in thread.name])
    assert isinstance(scene.crashes[0], SystemExit)
    assert scene.assignment.unsettled() == 1


def test_a_system_exit_in_a_coroutine_ends_the_loop_and_its_record_is_not_settled(raw, route_of, scene_of):
    seen = []

    async def call(record, attempt=1):
        raise SystemExit(3)

    async def main():
        scene = scene_of(route_of(call=call))
        seen.append(scene)
        scene.give(raw(0, b"0"))
        await asyncio.Event().wait()

    with pytest.raises(SystemExit):
        asyncio.run(main())
    assert seen[0].assignment.unsettled() == 1


# --- workers


@pytest.mark.parametrize("mine", [range(400), [*range(1, 800, 2)], [*range(0, 6400, 16)]])
@pytest.mark.parametrize("ordering", ["partition", "key"])
async def test_handlers_that_never_wait_leave_the_loop_to_others(mine, ordering, raw, route_of, scene_of):
    """Whichever records of the chunk are this handler's."""
    turns = []

    async def call(record, attempt=1):
        end = asyncio.get_running_loop().time() + 0.001
        while asyncio.get_running_loop().time() < end:
            pass

    async def tick():
        while True:
            turns.append(asyncio.get_running_loop().time())
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    scene = scene_of(route_of(call=call, concurrency=1, ordering=ordering))
    chunk, _ = scene.assignment.take([raw(i, key=b"%d" % i) for i in range(mine[-1] + 1)])
    lanes = scene.holding.lanes_of(scene.route)
    lanes.handed += len(mine)
    scene.crew.hand(lanes, chunk, mine)
    await eventually_async(lambda: scene.holding.buffered() == 0)
    ticking.cancel()
    assert len(turns) >= 4, "0.4 s of work without a pause would leave the loop to nobody"


async def test_threads_are_not_made_without_need(raw, handler_of, route_of, scene_of):
    handler = handler_of("def")
    scene = scene_of(route_of(handler, id="thrifty", concurrency=8))
    for i in range(20):
        scene.give(raw(i, b"%d" % i))
        await eventually_async(lambda: settled(scene) and not scene.crew.at_work())
    names = [thread.name for thread in threading.enumerate() if "thrifty" in thread.name]
    assert len(names) == 1
    scene.crew.cancel()
    eventually(lambda: not [thread for thread in threading.enumerate() if "thrifty" in thread.name])
