import threading
from collections import deque

import pytest

from kafkaboot.client import RESET, TP, Committed
from kafkaboot.clock import SystemClock
from kafkaboot.consumer import done_map
from kafkaboot.consumer.standing import Standing
from kafkaboot.errors import ClientError
from kafkaboot.testing import eventually

TP0, TP1 = TP("orders", 0), TP("orders", 1)


def test_a_new_partition_starts_where_the_group_stands_with_what_is_known_done(desk, consumer, raw, route_of):
    at = desk(route_of(ordering="key"))
    consumer.stand[TP0] = Committed(5, done_map.encode(5, [(5, False), (6, True), (7, False)]))
    assert at.poller.assigned([TP0, TP1]) == {TP0: 5, TP1: RESET}
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


@pytest.fixture
def unanswered(consumer, monkeypatch):
    """Failures with which the next questions for where the group stands end; filled by a test."""
    errors, answer = deque(), consumer.committed
    monkeypatch.setattr(
        consumer, "committed", lambda *a: (_ for _ in ()).throw(errors.popleft()) if errors else answer(*a)
    )
    return errors


LOADING = ClientError("loading", code="COORDINATOR_LOAD_IN_PROGRESS", retriable=True)


def test_a_partition_waits_for_where_the_group_stands_while_others_go_on(desk, consumer, raw, route_of, unanswered):
    at = desk(route_of(ordering="key"))
    consumer.stand[TP0] = Committed(5, done_map.encode(5, [(5, False), (6, True), (7, False)]))
    consumer.assign(1)
    at.turn()
    unanswered.extend([LOADING] * 3)
    consumer.assign(0)
    consumer.give(raw(21, partition=1))
    at.turn()
    assert consumer.listener.holdings[TP0].awaited
    assert at.offsets() == [21]
    consumer.give(raw(5))
    at.turn()
    assert at.offsets() == [21], "what a client gives out nevertheless is nobody's yet"
    while unanswered:
        at.clock.advance(1.0)
        at.turn()
    assert not [one for one in consumer.told if one[0] == "start"]
    at.clock.advance(5.0)
    at.turn()
    assert consumer.told[-1] == ("start", TP0, 5)
    consumer.give(*[raw(i) for i in (5, 6, 7)])
    at.turn()
    assert at.offsets() == [21, 5, 7], "the map is known"


def test_one_that_the_client_cannot_start_yet_is_started_later(desk, consumer, unanswered, monkeypatch):
    at = desk()
    start, refused = consumer.start, deque([ClientError("too early", code="_STATE")])
    monkeypatch.setattr(
        consumer, "start", lambda *a: (_ for _ in ()).throw(refused.popleft()) if refused else start(*a)
    )
    unanswered.append(LOADING)
    assert at.poller.assigned([TP0]) == {TP0: None}
    at.turn()
    assert at.poller.holdings[TP0].awaited
    at.clock.advance(1.1)
    at.turn()
    assert consumer.told == [("start", TP0, RESET)]
    assert not at.poller.holdings[TP0].awaited


def test_where_something_else_says_where_to_start_that_holds_for_one_that_waits_too(desk, consumer, unanswered):
    class Positions:
        def begin(self, assignments):
            return {one.tp: 9 for one in assignments}

    at = desk()
    consumer.stand |= {TP0: Committed(5), TP1: Committed(6)}
    standing = Standing(at.poller, Positions())
    assert standing.assigned([TP1]) == {TP1: 9}
    unanswered.append(LOADING)
    assert standing.assigned([TP0]) == {TP0: None}
    at.turn()
    assert consumer.told[-1] == ("start", TP0, 9)


def test_what_is_refused_for_good_is_not_asked_again(desk, unanswered):
    at = desk()
    unanswered.append(ClientError("no permission", code="GROUP_AUTHORIZATION_FAILED"))
    with pytest.raises(ClientError, match="no permission"):
        at.poller.assigned([TP0])


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


def test_while_a_revoke_waits_what_the_other_partitions_have_done_is_committed(desk, consumer, raw):
    at = desk(clock=SystemClock(), commit_interval=0.05, revoke_timeout=20)
    consumer.assign(0, 1)
    consumer.give(*[raw(i) for i in range(4)], *[raw(i, partition=1) for i in range(4)])
    at.turn()
    (slow, busy), (_, other) = [(h.lanes_of(route), h) for route, h, _, _ in at.work]
    slow.running = 1
    done = {holding.assignment.tp: chunk.done for _, holding, chunk, _ in at.work}
    stays = other.assignment.tp

    def finish():
        eventually(lambda: not busy.assignment.live)
        done[stays][:3] = b"\1\1\1"
        eventually(lambda: consumer.marks[-1].get(stays) == Committed(3, "ks1:0.0"))
        assert busy.assignment.mark is not None, "it has not left yet"
        slow.running = 0

    worker = threading.Thread(target=finish)
    worker.start()
    at.poller.revoked([busy.assignment.tp])
    worker.join()
    assert busy.assignment.mark is None
    assert slow.running == 0, "it was waited for"


def test_a_revoke_commits_the_partitions_that_stay_as_well(desk, consumer, raw):
    at = desk(clock=SystemClock())
    consumer.assign(0, 1)
    consumer.give(raw(0), raw(5, partition=1))
    at.turn()
    at.handle()
    at.poller.revoked([TP0])
    assert consumer.commits == [{TP0: Committed(1), TP1: Committed(6, "ks1:0.0")}]


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
