import threading

import pytest

from kafkaboot.client import TP, Committed
from kafkaboot.clock import ManualClock, SystemClock
from kafkaboot.consumer import ConsumerSettings
from kafkaboot.consumer.backpressure import HOLD, JUDGE, PATIENCE, BackPressure, Gate
from kafkaboot.consumer.holding import Holding
from kafkaboot.consumer.offsets import Assignment
from kafkaboot.testing import eventually


@pytest.fixture
def holdings_of(route_of):
    def make(*handed):
        holdings = {}
        for partition, count in enumerate(handed):
            holding = Holding(Assignment(TP("orders", partition), 1))
            holding.lanes_of(route_of()).handed = count
            holdings[holding.assignment.tp] = holding
        return holdings

    return make


def pressure_of(clock=None, **settings):
    return BackPressure(ConsumerSettings(**settings), clock or ManualClock(), Gate())


def finish(holding, count):
    next(iter(holding.lanes.values())).finished += count


def took(pressure, count, size=100):
    pressure.took([bytes(size)] * count)


def test_a_poll_is_held_for_a_bounded_time_while_too_much_is_buffered(holdings_of):
    clock = SystemClock()
    pressure = pressure_of(clock, max_buffered=100)
    took(pressure, 200)
    before = clock.monotonic()
    pressure.hold(holdings_of(200).values())
    assert HOLD * 0.9 <= clock.monotonic() - before < HOLD + 1


def test_below_the_mark_nothing_is_held(holdings_of):
    class Never:
        def wait(self, seconds):
            raise AssertionError("held")

    pressure = pressure_of(max_buffered=100)
    pressure._gate = Never()
    took(pressure, 100)
    pressure.hold(holdings_of(100).values())


def test_a_hold_ends_as_soon_as_half_is_worked_off(holdings_of):
    clock = SystemClock()
    pressure = pressure_of(clock, max_buffered=100)
    holdings = holdings_of(200)
    took(pressure, 200)

    def work():
        eventually(lambda: pressure._gate.waiting)
        finish(holdings["orders", 0], 150)
        pressure._gate.progressed()

    worker = threading.Thread(target=work)
    worker.start()
    pressure.hold(holdings.values())
    worker.join()
    assert pressure._at_most == 50


class Stepwise(Gate):
    """A gate whose waits are moments in which the workers do something."""

    def __init__(self, *moments):
        super().__init__()
        self.moments, self.waits = list(moments), []

    def wait(self, seconds):
        self.waits.append("wait")
        self.moments.pop(0)()
        self.waiting = False

    def breathe(self, seconds):
        self.waits.append("breathe")
        self.moments.pop(0)()


def test_what_is_worked_off_between_two_looks_is_not_waited_for(holdings_of):
    """Nobody wakes the poller any more once everything is handled."""
    pressure = pressure_of(max_buffered=100)
    holdings = holdings_of(200)
    only = holdings["orders", 0]
    pressure._gate = Stepwise(lambda: finish(only, 1), lambda: finish(only, 199))
    took(pressure, 200)
    pressure.hold(holdings.values())
    assert pressure._gate.waits == ["wait", "breathe"]
    assert not pressure._gate.waiting


def test_the_poller_is_not_woken_for_each_record(holdings_of):
    pressure = pressure_of(max_buffered=100)
    holdings = holdings_of(200)
    only = holdings["orders", 0]
    pressure._gate = Stepwise(lambda: finish(only, 1), lambda: finish(only, 98), lambda: finish(only, 51))
    took(pressure, 200)
    pressure.hold(holdings.values())
    assert pressure._gate.waits == ["wait", "breathe", "wait"], "it rests between two wakes"


def test_paused_partitions_do_not_hold_the_others(holdings_of):
    class Never:
        def wait(self, seconds):
            raise AssertionError("held")

    pressure = pressure_of(max_buffered=100)
    pressure._gate = Never()
    holdings = holdings_of(500, 10)
    holdings["orders", 0].paused = True
    took(pressure, 510)
    pressure.hold(holdings.values())


def test_only_a_partition_that_stays_full_is_paused_and_half_of_it_resumes(holdings_of):
    clock = ManualClock()
    pressure = pressure_of(clock, max_buffered=100, poll_records=10)
    holdings = holdings_of(60, 5)
    full = holdings["orders", 0]
    assert pressure.judge(holdings) == ([], [])
    clock.advance(PATIENCE / 2)
    assert pressure.judge(holdings) == ([], []), "not yet"
    clock.advance(PATIENCE)
    assert pressure.judge(holdings) == ([full], [])
    full.paused = True
    clock.advance(JUDGE * 2)
    finish(full, 30)
    assert pressure.judge(holdings) == ([], []), "30 of 50 is not half"
    finish(full, 5)
    clock.advance(JUDGE * 2)
    assert pressure.judge(holdings) == ([], [full])


def test_a_partition_that_gets_on_in_between_is_not_paused(holdings_of):
    clock = ManualClock()
    pressure = pressure_of(clock, max_buffered=100, poll_records=10)
    holdings = holdings_of(100)
    holding = holdings["orders", 0]
    for _ in range(10):
        assert pressure.judge(holdings) == ([], [])
        clock.advance(PATIENCE * 0.6)
        finish(holding, 90)
        assert pressure.judge(holdings) == ([], [])
        clock.advance(PATIENCE * 0.6)
        next(iter(holding.lanes.values())).handed += 90


def test_a_crowded_map_pauses_a_partition_that_buffers_little(holdings_of):
    clock = ManualClock()
    pressure = pressure_of(clock)
    holdings = holdings_of(1)
    holding = holdings["orders", 0]
    holding.assignment.in_order = False
    holding.assignment.committed = Committed(5, "x" * 3500)
    pressure.judge(holdings)
    clock.advance(PATIENCE + JUDGE)
    assert pressure.judge(holdings) == ([holding], [])
    holding.paused = True
    clock.advance(JUDGE * 2)
    assert pressure.judge(holdings) == ([], [])
    holding.assignment.committed = Committed(5, "x" * 100)
    clock.advance(JUDGE * 2)
    assert pressure.judge(holdings) == ([], [holding])


def test_large_records_are_bounded_by_their_bytes_in_every_poll_and_over_all_partitions(holdings_of):
    clock = ManualClock()
    pressure = pressure_of(clock, max_buffered_size=64 * 2**20)
    took(pressure, 10, size=2**20)
    assert pressure.high() == 64
    assert pressure.limit() == 64
    holdings = holdings_of(*[5] * 32)
    pressure.judge(holdings)
    clock.advance(PATIENCE + JUDGE)
    paused, _ = pressure.judge(holdings)
    assert len(paused) == 32, "5 MiB on each of 32 partitions are more than 64 MiB together"


def test_small_records_are_bounded_by_their_number():
    pressure = pressure_of(max_buffered=20_000, poll_records=500)
    took(pressure, 500, size=10)
    assert pressure.high() == 20_000
    assert pressure.limit() == 500
