import pytest

from kafkaboot.client import TP, Committed
from kafkaboot.consumer.offsets import Assignment
from kafkaboot.testing import eventually_async

both = pytest.mark.parametrize("kind", ["async", "def"])


def settled(scene):
    return scene.assignment.unsettled() == 0


class Outbox:
    """A `Forwarding` whose answers a test gives."""

    def __init__(self, room=10**9):
        self.room, self.waiting, self.refusals = room, [], 0

    def forward(self, result, delivered):
        if len(self.waiting) >= self.room:
            self.refusals += 1
            raise BufferError("full")
        self.waiting.append((result, delivered))


def returning(kind):
    async def answer_async(raw, attempt=1):
        return raw.value()

    def answer(raw, attempt=1):
        return raw.value()

    return answer_async if kind == "async" else answer


@both
async def test_a_record_is_settled_only_when_its_output_is_delivered(kind, raw, route_of, scene_of):
    outbox = Outbox()
    scene = scene_of(route_of(call=returning(kind), is_async=kind == "async", forwarding=outbox))
    scene.give(raw(0, b"0"), raw(1, b"1"))
    await eventually_async(lambda: len(outbox.waiting) == 2)
    assert scene.assignment.unsettled() == 2
    assert not scene.quiet(), "outputs under way are waited for"
    outbox.waiting[1][1](None, None)
    assert scene.assignment.advance() == 0
    outbox.waiting[0][1](None, None)
    assert scene.assignment.advance() == 2
    await eventually_async(scene.quiet)


@both
async def test_outputs_wait_for_room_in_the_buffer(kind, raw, route_of, scene_of):
    outbox = Outbox(room=1)
    scene = scene_of(route_of(call=returning(kind), is_async=kind == "async", forwarding=outbox))
    scene.give(raw(0, b"0"), raw(1, b"1"))
    await eventually_async(lambda: outbox.refusals >= 2)
    outbox.room = 2
    await eventually_async(lambda: [result for result, _ in outbox.waiting] == [b"0", b"1"])


@both
async def test_a_handler_s_none_settles_at_once(kind, raw, handler_of, route_of, scene_of):
    outbox = Outbox()
    scene = scene_of(route_of(handler_of(kind), forwarding=outbox))
    scene.give(raw(0, b"0"))
    await eventually_async(lambda: settled(scene))
    assert outbox.waiting == []


@both
async def test_an_output_that_was_not_delivered_leaves_its_record_unsettled_and_holds_up_nobody(
    kind, raw, route_of, scene_of
):
    outbox = Outbox()
    scene = scene_of(route_of(call=returning(kind), is_async=kind == "async", forwarding=outbox))
    scene.give(raw(0, b"0"), raw(1, b"1"))
    await eventually_async(lambda: len(outbox.waiting) == 2)
    outbox.waiting[0][1]("gone", None)
    outbox.waiting[1][1](None, None)
    assert scene.refused == [(scene.assignment, "gone")]
    assert scene.assignment.advance() == 0
    scene.assignment.live = False
    await eventually_async(scene.quiet, saying="an answer that says no is an answer: nobody has to be waited for")


@both
async def test_a_batch_whose_outputs_were_not_delivered_holds_up_nobody(kind, raw, route_of, scene_of):
    outbox = Outbox()

    def answer(raws, attempt=1):
        return [raw.value() for raw in raws]

    async def answer_async(raws, attempt=1):
        return answer(raws)

    batch_call = answer_async if kind == "async" else answer
    scene = scene_of(route_of(batch_call=batch_call, is_async=kind == "async", forwarding=outbox))
    scene.give(*[raw(i, b"%d" % i) for i in range(3)])
    await eventually_async(lambda: len(outbox.waiting) == 1)
    assert not scene.quiet()
    outbox.waiting[0][1]("gone", None)
    assert scene.assignment.advance() == 0
    await eventually_async(scene.quiet)


def test_a_commit_tells_nothing_of_what_is_done_behind_a_refused_output(raw):
    """It is handled again, in order; a next owner that skipped it would put the refused output behind it."""
    assignment = Assignment(TP("orders", 0), 1, in_order=False, may_replay=True)
    chunk, _ = assignment.take([raw(offset) for offset in range(3)])
    chunk.done[1] = 1
    assert assignment.to_commit().metadata, "negative control: the map is written while nothing is refused"
    assignment.refused.append(1)
    assert assignment.to_commit() == Committed(0, "")
