"""What the crews do with a record whose handler raised, as the handler's `Failing` decides."""

import logging
import threading

import pytest

from kafkaboot.consumer import Again, Away, Detour, Halt, Settled, commit_note
from kafkaboot.consumer import crew as crew_room
from kafkaboot.consumer.commit_note import Attempts
from kafkaboot.consumer.offsets import Assignment
from kafkaboot.errors import ProcessDiedError, Skip
from kafkaboot.testing import eventually_async

both = pytest.mark.parametrize("kind", ["async", "def"])


class Judge:
    """Decides as it was told, and remembers what it was asked."""

    def __init__(self, *verdicts):
        self.verdicts, self.asked = list(verdicts), []
        self.sent, self.lock = [], threading.Lock()

    def judge(self, failed):
        with self.lock:
            self.asked.append((failed.record.offset(), type(failed.error), failed.attempt))
            verdict = self.verdicts.pop(0) if len(self.verdicts) > 1 else self.verdicts[0]
        return self.away() if verdict == "away" else verdict

    def away(self):
        return Away(lambda settled, wanted: self.sent.append((settled, wanted)), "dead_lettered", "it goes away")


def failing(handler, *offsets, times=10**9):
    handler.failures = dict.fromkeys([b"%d" % offset for offset in offsets], times)
    return handler


def records(raw, count):
    return [raw(i, b"%d" % i, b"%d" % (i % 3)) for i in range(count)]


@both
async def test_a_record_that_goes_elsewhere_lets_those_behind_it_be_handled_and_is_settled_when_it_has_arrived(
    kind, raw, handler_of, route_of, scene_of
):
    judge = Judge("away")
    handler = failing(handler_of(kind), 2)
    scene = scene_of(route_of(handler, backoff=judge))
    chunk = scene.give(*records(raw, 5))
    await eventually_async(lambda: chunk.done == b"\1\1\0\1\1")
    assert handler.values() == [b"0", b"1", b"2", b"3", b"4"]
    assert scene.assignment.advance() == 2, "its offset is not to be committed before the broker has the letter"
    assert not scene.quiet()
    ((settled, wanted),) = judge.sent
    assert wanted()
    settled()
    assert scene.assignment.advance() == 5
    assert scene.quiet()
    counters = scene.route.counters
    assert (counters.handled, counters.dead_lettered, counters.failed) == (4, 1, 0)


@both
@pytest.mark.parametrize("ordering", ["partition", "key"])
async def test_what_is_handled_behind_a_record_on_its_way_travels_with_the_commit(
    kind, ordering, raw, handler_of, route_of, scene_of
):
    """While no letter can be written, a restart would repeat everything since; and all of it would stay in memory."""
    scene = scene_of(route_of(failing(handler_of(kind), 1), backoff=Judge("away"), ordering=ordering))
    chunk = scene.give(*records(raw, 5))
    await eventually_async(lambda: chunk.done == b"\1\0\1\1\1")
    said = scene.assignment.to_commit()
    assert (said.offset, commit_note.read(said).done) == (1, [range(2, 5)])
    assert scene.assignment.crowded(3)
    heir = Assignment(scene.assignment.tp, 2, committed=said, note=commit_note.read(said), in_order=True)
    again, todo = heir.take(records(raw, 6)[1:])
    assert [again.records[i].offset() for i in todo] == [1, 5]
    again.done[4] = 1
    said = heir.to_commit()
    assert (said.offset, commit_note.read(said).done) == (1, [range(2, 6)]), "nor does the owner after that repeat it"


@both
async def test_after_a_revoke_a_record_on_its_way_is_not_wanted_any_more(kind, raw, handler_of, route_of, scene_of):
    judge = Judge("away")
    scene = scene_of(route_of(failing(handler_of(kind), 0), backoff=judge))
    scene.give(*records(raw, 1))
    await eventually_async(lambda: len(judge.sent) == 1)
    scene.assignment.live = False
    assert not scene.quiet(), "it may be written this moment"
    assert not judge.sent[0][1]()
    assert scene.quiet(), "it is left to the next owner: nobody waits for it"


@both
async def test_a_lane_waits_while_too_many_records_are_on_their_way(
    kind, raw, handler_of, route_of, scene_of, monkeypatch
):
    monkeypatch.setattr(crew_room, "AWAY", 2)
    monkeypatch.setattr(crew_room, "LOOK", 0.01)
    judge = Judge("away")
    handler = failing(handler_of(kind), 0, 1, 2, 3)
    scene = scene_of(route_of(handler, backoff=judge))
    scene.give(*records(raw, 4))
    await eventually_async(lambda: len(handler.calls) == 3)
    assert len(judge.sent) == 2
    judge.sent[0][0]()
    await eventually_async(lambda: len(judge.sent) == 3)
    assert [value for value, _ in handler.calls].count(b"2") == 1, "it is not handled again while it waits for room"


@both
async def test_a_record_that_is_skipped_is_settled_at_once_and_counted(kind, raw, handler_of, route_of, scene_of):
    scene = scene_of(route_of(failing(handler_of(kind), 1, 3), backoff=Judge(Settled("skipped"))))
    chunk = scene.give(*records(raw, 5))
    await eventually_async(lambda: all(chunk.done))
    assert (scene.route.counters.handled, scene.route.counters.skipped) == (3, 2)


@both
async def test_a_verdict_to_halt_ends_the_group_and_keeps_the_record(kind, raw, handler_of, route_of, scene_of):
    scene = scene_of(route_of(failing(handler_of(kind), 1), backoff=Judge(Halt())))
    chunk = scene.give(*records(raw, 3))
    await eventually_async(lambda: scene.crashes)
    assert isinstance(scene.crashes[0], ValueError)
    assert chunk.done == b"\1\0\0"


@both
async def test_a_failure_that_was_no_attempt_is_neither_counted_nor_told(
    kind, raw, handler_of, route_of, scene_of, caplog
):
    judge = Judge(Again(0.001, counts=False), Again(0.001, counts=False), Again(0.001), Again(0.001, counts=False),
                  Again(0.001))  # fmt: skip
    handler = failing(handler_of(kind), 0, times=5)
    scene = scene_of(route_of(handler, backoff=judge))
    with caplog.at_level(logging.DEBUG, "kafkaboot.consumer"):
        chunk = scene.give(*records(raw, 2))
        await eventually_async(lambda: all(chunk.done))
    assert [attempt for _, _, attempt in judge.asked] == [1, 1, 1, 2, 2]
    assert [attempt for _, _, attempt, _ in scene.heard] == [1, 2]
    assert len(caplog.records) == 1, "the second of a kind within a second is left out"
    assert scene.route.counters.failed == 0


@both
async def test_a_detour_in_place_of_the_handler_is_no_failure_and_says_itself_what_becomes_of_the_record(
    kind, raw, handler_of, route_of, scene_of, caplog
):
    handler, judge, seen = handler_of(kind), Judge(Halt()), []
    verdicts = [Again(0.001), Again(0.001), judge.away()]

    def verdict(failed):
        seen.append((failed.record.offset(), failed.attempt, failed.first()))
        return verdicts.pop(0)

    def guarded(record, attempt=1):
        if record.offset() == 3 and verdicts:
            raise Detour("not now", verdict)
        return handler.call(record, attempt)

    scene = scene_of(route_of(handler, call=guarded, backoff=judge, ordering="key"))
    with caplog.at_level(logging.DEBUG, "kafkaboot.consumer"):
        chunk = scene.give(*records(raw, 7))
        await eventually_async(lambda: chunk.done == b"\1\1\1\0\1\1\1")
    assert seen == [(3, 0, True)] * 3
    assert len(judge.sent) == 1
    assert not judge.asked
    assert not scene.heard
    assert not caplog.records
    assert commit_note.read(scene.holding.to_commit()).attempts == {}
    counters = scene.route.counters
    assert (counters.handled, counters.retried, counters.failed) == (6, 0, 0)


@both
async def test_failed_attempts_are_noted_for_the_commit_and_counted_on_by_the_next_owner(
    kind, raw, handler_of, route_of, scene_of
):
    judge = Judge(Again(0.001), Again(0.001), Again(60))
    handler = failing(handler_of(kind), 0)
    scene = scene_of(route_of(handler, ordering="key", backoff=judge))
    scene.give(*records(raw, 3))
    await eventually_async(lambda: len(judge.asked) == 3)
    lanes = scene.holding.lanes_of(scene.route)
    (noted,) = lanes.attempts()
    assert noted[0] == 0
    assert noted[1].times == 3
    after = Judge(Again(60))
    successor = scene_of(route_of(failing(handler_of(kind), 0), ordering="key", backoff=after))
    successor.assignment.attempts = dict([noted])
    successor.give(*records(raw, 3))
    await eventually_async(lambda: after.asked == [(0, ValueError, 4)])
    assert successor.route.counters.failed == 1


@both
async def test_a_record_at_which_owners_died_is_not_handled_but_judged(kind, raw, handler_of, route_of, scene_of):
    judge = Judge("away")
    handler = handler_of(kind)
    scene = scene_of(route_of(handler, backoff=judge))
    scene.assignment.suspects = {0: 3}
    scene.assignment.attempts = {0: Attempts(3, 0.0)}
    scene.give(*records(raw, 3))
    await eventually_async(lambda: len(handler.done) == 2)
    assert judge.asked == [(0, ProcessDiedError, 4)]
    assert handler.values() == [b"1", b"2"]
    assert scene.crashes == []


@both
async def test_a_signal_is_no_error_in_the_log(kind, raw, handler_of, route_of, scene_of, caplog):
    async def skips(raw, attempt=1):
        raise Skip("not mine")

    def skips_too(raw, attempt=1):
        raise Skip("not mine")

    call = skips if kind == "async" else skips_too
    scene = scene_of(route_of(call=call, is_async=kind == "async", backoff=Judge(Settled("skipped"))))
    with caplog.at_level(logging.DEBUG, "kafkaboot.consumer"):
        chunk = scene.give(*records(raw, 2))
        await eventually_async(lambda: all(chunk.done))
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}
    assert "not mine" in caplog.text


async def test_failures_of_one_kind_are_told_once_a_second_with_the_number_of_those_left_out(
    raw, handler_of, route_of, scene_of, caplog, monkeypatch
):
    now = [100.0]
    monkeypatch.setattr("kafkaboot.consumer.telling.monotonic", lambda: now[0])
    scene = scene_of(route_of(failing(handler_of("async"), *range(9)), backoff=Judge("away")))
    chunk = scene.give(*records(raw, 5))
    await eventually_async(lambda: scene.route.counters.dead_lettered == 5)
    assert len(caplog.records) == 1
    assert caplog.records[0].exc_info is not None
    now[0] += 2
    scene.give(*[raw(i, b"%d" % i) for i in range(5, 7)])
    await eventually_async(lambda: scene.route.counters.dead_lettered == 7)
    assert len(caplog.records) == 2
    assert caplog.records[1].exc_info is None
    assert "(4 more like it since the last line)" in caplog.text
    assert "it goes away at its first attempt" in caplog.text
    assert len(scene.heard) == 7, "listeners hear all of them"
    assert chunk.assignment.live
