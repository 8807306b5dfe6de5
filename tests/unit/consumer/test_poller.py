import logging
import threading

import pytest

from kafkaboot.client import TP, Committed
from kafkaboot.clock import ManualClock, SystemClock
from kafkaboot.consumer import ConsumerSettings, done_map
from kafkaboot.consumer.backpressure import PATIENCE, Gate
from kafkaboot.consumer.committer import Committer
from kafkaboot.consumer.dispatch import Dispatch
from kafkaboot.consumer.poller import Poller
from kafkaboot.errors import ClientError
from kafkaboot.testing import eventually

TP0, TP1 = TP("orders", 0), TP("orders", 1)


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
def desk(consumer, route_of):
    def make(*routes, **options):
        return Desk(consumer, routes or [route_of()], **options)

    return make


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
    assert done_map.decode(consumer.commits[-1][TP0]) == [range(1, 2), range(3, 4)]


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


# --- rebalances


def test_a_new_partition_starts_where_the_group_stands_with_what_is_known_done(desk, consumer, raw, route_of):
    at = desk(route_of(ordering="key"))
    consumer.stand[TP0] = Committed(5, done_map.encode(5, [(5, False), (6, True), (7, False)]))
    assert at.poller.assigned([TP0, TP1]) == {TP0: 5}
    consumer.give(*[raw(i) for i in (5, 6, 7)])
    at.turn()
    assert at.offsets() == [5, 7]


def test_metadata_of_somebody_else_means_nothing_known(desk, consumer, raw, route_of):
    at = desk(route_of(ordering="key"))
    consumer.stand[TP0] = Committed(5, "written by another client")
    consumer.assign(0)
    consumer.give(*[raw(i) for i in (5, 6, 7)])
    at.turn()
    assert at.offsets() == [5, 6, 7]


def test_where_the_group_stands_is_asked_again_when_the_failure_may_pass(desk, consumer, monkeypatch):
    at = desk(clock=SystemClock())
    consumer.stand[TP0] = Committed(5)
    errors = [ClientError("loading", code="COORDINATOR_LOAD_IN_PROGRESS", retriable=True)] * 2
    answer = consumer.committed
    monkeypatch.setattr(consumer, "committed", lambda *a: (_ for _ in ()).throw(errors.pop()) if errors else answer(*a))
    assert at.poller.assigned([TP0]) == {TP0: 5}


def test_a_revoked_partition_is_waited_for_committed_once_and_forgotten(desk, consumer, raw):
    at = desk(clock=SystemClock())
    consumer.assign(0, 1)
    consumer.give(*[raw(i) for i in range(4)], raw(9, partition=1))
    at.turn()
    route, holding, chunk, _ = at.work[0]
    lanes = holding.lanes_of(route)
    lanes.running = 1  # somebody is at record 1
    seen = []

    def finish():
        eventually(lambda: not holding.assignment.live)
        seen.append(dict(at.poller.holdings))
        chunk.done[:2] = b"\1\1"
        lanes.finished += 2
        lanes.running = 0
        at.poller.gate.progressed()

    worker = threading.Thread(target=finish)
    worker.start()
    at.poller.revoked([TP0])
    worker.join()
    assert TP0 in seen[0], "it was waited for"
    assert consumer.told == [("commit", {TP0: Committed(2)}, True)]
    assert set(at.poller.holdings) == {TP1}
    assert at.rebalances[-1] == ("revoked", [("orders", 0)])


def test_records_that_wait_in_lanes_do_not_hold_up_a_revoke(desk, consumer, raw):
    at = desk(clock=SystemClock(), revoke_timeout=30)
    consumer.assign(0)
    consumer.give(*[raw(i) for i in range(100)])
    at.turn()
    before = at.clock.monotonic()
    at.poller.revoked([TP0])
    assert at.clock.monotonic() - before < 5
    assert at.committed() == {TP0: 0}


def test_a_revoke_ends_at_its_deadline_and_what_finishes_later_changes_nothing(desk, consumer, raw):
    at = desk(clock=SystemClock(), revoke_timeout=0.1)
    consumer.assign(0)
    consumer.give(*[raw(i) for i in range(3)])
    at.turn()
    route, holding, chunk, _ = at.work[0]
    holding.lanes_of(route).running = 1
    at.poller.revoked([TP0])
    assert at.committed() == {TP0: 0}
    consumer.assign(0)
    at.turn()
    chunk.done[:] = b"\1\1\1"  # the old handler comes back after all
    consumer.give(raw(0))
    at.turn()
    at.poller.revoked([TP0])
    assert [commit[TP0].offset for commit in consumer.commits] == [0, 0]


def test_a_retry_that_succeeds_after_the_partition_went_does_not_count_below_zero(desk, consumer, raw, route_of):
    route = route_of()
    at = desk(route, clock=SystemClock(), revoke_timeout=0.05)
    consumer.assign(0)
    consumer.give(raw(0))
    at.turn()
    _, holding, chunk, todo = at.work[0]
    lanes = holding.lanes_of(route)
    (lane,) = lanes.add(chunk, todo)
    lanes.failed(lane)
    lanes.running = 1  # its retry is at work when the deadline passes
    at.poller.revoked([TP0])
    assert route.counters.failed == 0
    lanes.proceed(lane)
    assert route.counters.failed == 0


def test_a_lost_partition_is_forgotten_at_once_without_a_commit(desk, consumer, raw):
    at = desk(revoke_timeout=3600)
    consumer.assign(0)
    consumer.give(raw(0), raw(1))
    at.turn()
    route, holding, _, _ = at.work[0]
    holding.lanes_of(route).running = 1
    at.handle(0)
    at.poller.lost([TP0])
    assert consumer.commits == []
    assert at.poller.holdings == {}
    assert not holding.assignment.live
    at.clock.advance(5)
    at.turn()
    assert consumer.commits == []
    assert at.rebalances[-1][0] == "lost"


def test_a_partition_that_comes_back_begins_under_a_new_epoch(desk, consumer, raw):
    at = desk()
    consumer.assign(0)
    at.turn()
    first = at.poller.holdings[TP0].assignment
    at.poller.revoked([TP0])
    consumer.assign(0)
    at.turn()
    second = at.poller.holdings[TP0].assignment
    assert second is not first
    assert second.epoch > first.epoch
    assert second.live


def test_a_rebalance_listener_that_raises_changes_nothing(desk, consumer):
    at = desk()
    at.on_rebalance = lambda *_: 1 / 0
    consumer.assign(0)
    at.turn()
    assert set(at.poller.holdings) == {TP0}


# --- undelivered outputs


def undeliver(at, offset, error="gone"):
    for _, holding, chunk, todo in at.work:
        for i in todo:
            if chunk.records[i].offset() == offset:
                holding.assignment.refused.append(1)
                at.poller.undelivered(holding.assignment, error)


def test_outputs_that_were_not_delivered_are_made_again_from_the_first_unsettled_record_in_order(desk, consumer, raw):
    at = desk()
    consumer.assign(0, 1)
    consumer.give(*[raw(i) for i in range(5)], raw(0, partition=1))
    at.turn()
    at.handle(0, 1, 3)
    at.handle(2, settle=False)
    undeliver(at, 2)
    at.work.clear()
    at.turn()
    assert consumer.paused == {TP0}
    assert at.poller.holdings[TP1].assignment.live, "other partitions flow"
    assert at.work == []
    at.clock.advance(0.3)
    at.turn()
    assert at.offsets() == [2, 3, 4]
    assert consumer.paused == set()
    consumer.give(raw(5), raw(6))
    at.turn()
    assert at.offsets() == [2, 3, 4, 5, 6]
    at.handle()
    at.clock.advance(1)
    at.turn()
    assert at.committed()[TP0] == 7


def test_a_replay_waits_until_nobody_is_at_the_partition_any_more(desk, consumer, raw):
    at = desk()
    consumer.assign(0)
    consumer.give(raw(0), raw(1))
    at.turn()
    route, holding, _, _ = at.work[0]
    at.handle(0, settle=False)
    undeliver(at, 0)
    holding.lanes_of(route).running = 1
    at.work.clear()
    at.turn()
    at.clock.advance(60)
    at.turn()
    assert at.work == []
    holding.lanes_of(route).running = 0
    at.turn()
    assert at.offsets() == [0, 1]


def replay_delay(at, consumer):
    """Seconds from a refusal of the first unsettled record until it is handled again."""
    at.handle(at.offsets()[0], settle=False)
    undeliver(at, at.offsets()[0])
    at.work.clear()
    at.turn()
    start = at.clock.monotonic()
    at.clock.now = next(iter(at.poller.holdings.values())).replay_at
    at.turn()
    return round(at.clock.monotonic() - start, 3)


def test_the_delay_of_replays_grows_while_nothing_gets_on_and_is_short_again_after_progress(desk, consumer, raw):
    at = desk()
    consumer.assign(0)
    consumer.give(raw(0), raw(1))
    at.turn()
    delays = [replay_delay(at, consumer) for _ in range(9)]
    assert delays == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0]
    at.handle(0)
    del at.work[:]
    at.poller.holdings[TP0].lanes.clear()
    consumer.give(raw(2))
    at.turn()
    assert replay_delay_of(at, 1) == 0.2


def replay_delay_of(at, offset):
    holding = at.poller.holdings[TP0]
    holding.assignment.refused.append(100)
    at.poller.undelivered(holding.assignment, "gone")
    start = at.clock.monotonic()
    at.turn()
    return round(holding.replay_at - start, 3)


def test_outputs_that_are_refused_for_ever_do_not_overflow_the_delay(desk, consumer, raw):
    at = desk()
    consumer.assign(0)
    consumer.give(raw(0))
    at.turn()
    at.poller.holdings[TP0].replays, at.poller.holdings[TP0].replay_from = 5000, 0
    assert replay_delay(at, consumer) == 30.0


def test_a_revoke_does_not_wait_for_outputs_that_were_refused(desk, consumer, raw):
    at = desk(clock=SystemClock(), revoke_timeout=30)
    consumer.assign(0)
    consumer.give(raw(0), raw(1))
    at.turn()
    at.handle(0, settle=False)
    undeliver(at, 0)
    before = at.clock.monotonic()
    at.poller.revoked([TP0])
    assert at.clock.monotonic() - before < 5
    assert at.committed() == {TP0: 0}


# --- pausing


def test_a_partition_whose_lanes_stay_full_is_paused_and_resumed_at_half(desk, consumer, raw):
    at = desk(poll_records=10)
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
    assert done_map.decode(answer)[0].start == 1
    assert done_map.decode(answer)[-1].stop > 37_000
    assert len(done_map.decode(answer)) == 1


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
