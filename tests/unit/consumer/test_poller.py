import logging
import threading

import pytest

from kafkaboot.client import TP, Committed
from kafkaboot.clock import SystemClock
from kafkaboot.consumer import commit_note
from kafkaboot.consumer.backpressure import PATIENCE
from kafkaboot.errors import ClientError
from kafkaboot.testing import eventually

TP0, TP1 = TP("orders", 0), TP("orders", 1)


# --- records in


def test_records_go_out_in_chunks_by_partition_and_handler(desk, consumer, raw, route_of):
    at = desk()
    consumer.assign(0, 1)
    consumer.give(*[raw(i) for i in range(3)], *[raw(i, partition=1) for i in range(2)])
    at.turn()
    assert [(route.id, chunk.assignment.tp, list(todo)) for route, _, chunk, todo in at.work] == [
        ("bill", TP0, [0, 1, 2]),
        ("bill", TP1, [0, 1]),
    ]


def test_a_record_whose_type_nobody_takes_is_settled(desk, consumer, raw, route_of):
    at = desk(route_of(type="order.placed"))
    consumer.assign(0)
    consumer.give(raw(0, headers=[("ce_type", b"other")]), raw(1), raw(2, headers=[("ce_type", b"other")]))
    at.turn()
    assert at.offsets() == [1]
    at.handle()
    at.clock.advance(1)
    at.turn()
    assert at.committed() == {TP0: 3}


def test_two_handlers_of_one_topic_hold_up_the_commit_for_each_other(desk, consumer, raw, route_of):
    at = desk(route_of(id="a", type="a"), route_of(id="b", type="b"))
    consumer.assign(0)
    consumer.give(*[raw(i, headers=[("ce_type", b"ab"[i % 2 : i % 2 + 1])]) for i in range(4)])
    at.turn()
    assert [(route.id, list(todo)) for route, _, _, todo in at.work] == [("a", [0, 2]), ("b", [1, 3])]
    at.handle(1, 3)
    at.clock.advance(1)
    at.turn()
    assert at.committed() == {TP0: 0}
    assert commit_note.read(consumer.commits[-1][TP0]).done == [range(1, 2), range(3, 4)]


def test_records_of_a_partition_that_is_not_held_are_left_alone(desk, consumer, raw):
    at = desk()
    consumer.give(raw(0))
    at.turn()
    assert at.work == []
    assert consumer.commits == []


def test_a_poll_that_fails_is_said_once_and_polling_goes_on(desk, consumer, raw, caplog):
    at = desk()
    consumer.assign(0)
    consumer.errors.extend(ClientError("down", code="_ALL_BROKERS_DOWN", retriable=True) for _ in range(3))
    consumer.give(raw(0))
    with caplog.at_level(logging.ERROR, "kafkaboot.consumer"):
        at.turn(3)
    assert at.poller.trouble.code == "_ALL_BROKERS_DOWN"
    assert [record.getMessage() for record in caplog.records] == ["group shop: down"]
    at.turn()
    assert at.offsets() == [0]
    assert at.poller.trouble is None


def test_a_fatal_error_ends_the_poller(desk, consumer):
    at = desk()
    consumer.errors.append(ClientError("fenced", code="FENCED_INSTANCE_ID", fatal=True))
    with pytest.raises(ClientError, match="fenced"):
        at.turn()


# --- committing


def test_commits_cover_the_contiguous_prefix_of_each_partition(desk, consumer, raw):
    at = desk()
    consumer.assign(0, 1)
    consumer.give(*[raw(i) for i in range(10, 14)], *[raw(i, partition=1) for i in range(20, 24)])
    at.turn()
    at.handle(10, 11, 13, 20)
    at.clock.advance(1)
    at.turn()
    assert at.committed() == {TP0: 12, TP1: 21}, "an ack on one partition never commits the other one"


def test_nothing_is_committed_while_nothing_is_settled(desk, consumer, raw):
    at = desk()
    consumer.stand[TP0] = Committed(5)
    consumer.assign(0)
    consumer.give(raw(5), raw(6))
    at.turn()
    at.clock.advance(1)
    at.turn()
    assert consumer.commits == []


# --- pausing


def test_a_partition_whose_lanes_stay_full_is_paused_and_resumed_at_half(desk, consumer, raw):
    at = desk(poll_records=10, max_buffered=20_000)
    consumer.assign(0, 1)
    for i in range(0, 20_000, 500):
        consumer.give(*[raw(i + j) for j in range(500)])
        at.turn()
        at.clock.advance(0.01)
    consumer.told.clear()
    at.clock.advance(PATIENCE)
    at.turn()
    at.clock.advance(PATIENCE)
    at.turn()
    assert consumer.paused == {TP0}
    consumer.give(*[raw(20_000 + j) for j in range(500)])
    consumer.give(raw(0, partition=1))
    at.turn(2)
    assert at.offsets()[-1] == 0, "the other partition flows, and what the paused one has is not lost"
    at.handle()
    at.clock.advance(0.1)
    at.turn(2)
    assert consumer.paused == set()
    assert at.offsets() == list(range(20_000, 20_500))


def test_a_partition_that_was_paused_is_not_when_it_comes_back(desk, consumer, raw):
    at = desk(poll_records=1, max_buffered=10)
    consumer.assign(0)
    consumer.give(*[raw(i) for i in range(50)])
    at.poller._pressure.hold = lambda _: None
    for _ in range(4):
        at.turn()
        at.clock.advance(PATIENCE)
    assert at.poller.holdings[TP0].paused
    at.poller.lost([TP0])
    consumer.assign(0)
    at.turn()
    assert not at.poller.holdings[TP0].paused


def test_one_record_that_never_succeeds_does_not_make_a_partition_keep_everything_behind_it(
    desk, consumer, raw, route_of
):
    """By key, the records behind a failing one are handled; they are not kept in memory for that."""
    at = desk(route_of(ordering="key"))
    consumer.assign(0)
    consumer.give(raw(0, b"x" * 100))
    at.turn()
    at.work.clear()
    for i in range(1, 40_000, 400):
        consumer.give(*[raw(i + j, b"x" * 100) for j in range(400)])
        at.turn()
        at.handle()
        at.clock.advance(0.2)
    assignment = at.poller.holdings[TP0].assignment
    assert sum(len(chunk.records) for chunk in assignment.chunks) < 10_000
    answer = consumer.commits[-1][TP0]
    assert answer.offset == 0
    assert commit_note.read(answer).done[0].start == 1
    assert commit_note.read(answer).done[-1].stop > 37_000
    assert len(commit_note.read(answer).done) == 1


# --- the end


def test_stopping_commits_what_is_done_and_nothing_of_what_is_polled_afterwards(desk, consumer, raw):
    at = desk(clock=SystemClock())
    consumer.assign(0)
    consumer.give(raw(0), raw(1))
    at.turn()
    at.handle(0)
    consumer.give(raw(2))
    at.poller.stop(at.clock.monotonic() + 5)
    assert at.poller.run()
    assert at.offsets() == [0, 1], "nothing new was handed out"
    assert consumer.commits == [{TP0: Committed(1)}]


def test_records_that_came_with_the_poll_during_which_it_was_stopped_are_not_begun(desk, consumer, raw):
    at = desk(clock=SystemClock())
    consumer.assign(0)
    at.turn()
    consumer.at_poll.append(lambda: at.poller.stop(at.clock.monotonic() + 5))
    consumer.give(raw(0))
    at.turn()
    assert at.work == []


def test_draining_goes_on_polling_and_waits_for_who_is_at_work(desk, consumer, raw):
    at = desk(clock=SystemClock())
    consumer.assign(0)
    consumer.give(raw(0), raw(1))
    at.turn()
    route, holding, chunk, _ = at.work[0]
    lanes = holding.lanes_of(route)
    lanes.running = 1
    at.poller.stop(at.clock.monotonic() + 30)
    answers = []
    drain = threading.Thread(target=lambda: answers.append(at.poller.run()))
    before = consumer.polls
    drain.start()
    eventually(lambda: consumer.polls > before + 5)
    assert answers == []
    chunk.done[0] = 1
    lanes.finished += 1
    lanes.running = 0
    drain.join(10)
    assert answers == [True]
    assert at.committed() == {TP0: 1}


def test_while_a_drain_waits_what_is_done_is_committed_and_the_mark_stands(desk, consumer, raw):
    at = desk(clock=SystemClock(), commit_interval=0.05)
    consumer.assign(0)
    consumer.give(raw(0), raw(1), raw(2))
    at.turn()
    route, holding, chunk, _ = at.work[0]
    holding.lanes_of(route).running = 1
    at.poller.stop(at.clock.monotonic() + 30)
    drain = threading.Thread(target=at.poller.run)
    drain.start()
    chunk.done[:2] = b"\1\1"
    eventually(lambda: Committed(2, "ks1:0.0") in [said[TP0] for said in consumer.commits])
    chunk.done[2] = 1
    holding.lanes_of(route).finished += 3
    holding.lanes_of(route).running = 0
    drain.join(10)
    assert consumer.commits[-1] == {TP0: Committed(3)}


def test_draining_answers_false_at_its_deadline_and_commits_what_is_done(desk, consumer, raw):
    at = desk(clock=SystemClock())
    consumer.assign(0)
    consumer.give(raw(0), raw(1))
    at.turn()
    route, holding, _, _ = at.work[0]
    at.handle(0)
    holding.lanes_of(route).running = 1
    at.poller.stop(at.clock.monotonic() + 0.1)
    assert at.poller.run() is False
    assert at.committed() == {TP0: 1}


def test_a_revoke_while_draining_waits_no_longer_than_the_drain(desk, consumer, raw):
    at = desk(clock=SystemClock(), revoke_timeout=60)
    consumer.assign(0)
    consumer.give(raw(0))
    at.turn()
    route, holding, _, _ = at.work[0]
    holding.lanes_of(route).running = 1
    consumer.revoke(0)
    before = at.clock.monotonic()
    at.poller.stop(before + 0.2)
    assert at.poller.run() is False
    assert at.clock.monotonic() - before < 5


def test_a_failed_last_commit_does_not_keep_the_poller(desk, consumer, raw, caplog):
    at = desk(clock=SystemClock())
    consumer.assign(0)
    consumer.give(raw(0))
    at.turn()
    at.handle()
    consumer.commit_errors.append(ClientError("no", code="UNKNOWN_MEMBER_ID"))
    at.poller.stop(at.clock.monotonic() + 5)
    assert at.poller.run()


def test_a_last_commit_that_a_rebalance_refuses_is_made_again_after_polling(desk, consumer, raw):
    at = desk(clock=SystemClock())
    consumer.assign(0, 1)
    consumer.give(raw(0), raw(0, partition=1))
    at.turn()
    at.handle()
    consumer.commit_errors.append(ClientError("moving", code="ILLEGAL_GENERATION"))
    consumer.commit_errors.append(ClientError("moving", code="REBALANCE_IN_PROGRESS", retriable=True))
    polls = consumer.polls
    at.poller.stop(at.clock.monotonic() + 5)
    assert at.poller.run()
    assert consumer.polls > polls
    assert consumer.commits == [{TP0: Committed(1), TP1: Committed(1)}]


def test_a_rebalance_that_never_ends_does_not_keep_the_poller(desk, consumer, raw, monkeypatch):
    monkeypatch.setattr("kafkaboot.consumer.poller.CATCH_UP", 0.1)
    at = desk(clock=SystemClock())
    consumer.assign(0)
    consumer.give(raw(0))
    at.turn()
    at.handle()
    consumer.commit_errors.extend(ClientError("moving", code="REBALANCE_IN_PROGRESS") for _ in range(100_000))
    at.poller.stop(at.clock.monotonic())
    assert at.poller.run()
    assert consumer.commits == []
