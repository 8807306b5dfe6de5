from kafkaboot.client import TP
from kafkaboot.clock import SystemClock

TP0, TP1 = TP("orders", 0), TP("orders", 1)


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
