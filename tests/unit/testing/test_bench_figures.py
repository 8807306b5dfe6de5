"""The arithmetic of measurements, what they write, and how they watch a handler. No broker."""

from __future__ import annotations

import asyncio
import itertools
import random
import time

import cramjam
import pytest

from kafkaboot.consumer import ConsumerSettings
from kafkaboot.producer import ProducerSettings
from kafkaboot.testing.bench import Plan, Spread
from kafkaboot.testing.bench.figures import SHORT, Round, compared
from kafkaboot.testing.bench.rounds import in_turn
from kafkaboot.testing.bench.stopwatch import EVERY, Stopwatch
from kafkaboot.testing.noise import Noise
from kafkaboot.testing.throughput import WINDOW, WINDOW_BYTES, window_of


def test_percentiles_are_those_of_the_times_in_any_order():
    times = [n / 1000 for n in range(1, 1001)]
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    random.Random(seed).shuffle(times)
    found = Spread.of(times)
    assert (found.p50, found.p95, found.p99, found.max) == pytest.approx((501, 951, 991, 1000))
    one = Spread.of([0.004])
    assert {one.p50, one.p95, one.p99, one.max} == {4.0}
    assert Spread.of([]) is None


def test_a_ratio_is_the_median_of_the_pairs_and_not_that_of_the_medians():
    # The machine gets slower from round to round: each pair says twice as fast, except for one.
    ours = [Round(800, 1.0, 800.0), Round(400, 1.0, 400.0), Round(900, 1.0, 900.0)]
    bare = [Round(400, 1.0, 400.0), Round(200, 1.0, 400.0), Round(100, 1.0, 400.0)]
    found = compared("produce", 1000, ours, bare)
    assert found.vs_bare == pytest.approx(2.0)
    assert found.kafkaboot.records_per_second / found.bare.records_per_second == pytest.approx(4.0)  # the control
    assert found.kafkaboot.records == 2100
    assert found.kafkaboot.megabytes_per_second == pytest.approx(0.8)
    assert found.kafkaboot.cpu_us_per_record == pytest.approx(1.0)
    assert found.notes == []


def test_a_round_that_is_too_short_to_go_by_is_told():
    long = [Round(10, SHORT * 2, 1.0)]
    assert "too short" in compared("consume", 1, [Round(10, SHORT / 2, 1.0)], long).notes[0]
    assert compared("consume", 1, long, long).notes == []


def test_transactions_are_counted_beside_their_records():
    rounds = [Round(100, 2.0, 50.0, transactions=10, times=[0.2] * 10)]
    found = compared("transactions", 10, rounds, rounds, batch=10)
    assert (found.kafkaboot.transactions_per_second, found.kafkaboot.records_per_second) == (5.0, 50.0)
    assert (found.batch, found.vs_bare) == (10, 1.0)


def test_rounds_take_turns_in_who_is_first():
    order = []

    def of(side):
        return lambda: order.append(side) or Round(1, 1.0, 1.0)

    ours, bare = in_turn(3, of("ours"), of("bare"))
    assert (len(ours), len(bare)) == (3, 3)
    assert order == ["bare", "ours", "ours", "bare", "bare", "ours"]


def test_a_plan_is_bounded_in_bytes_unless_somebody_says_how_many_records():
    plan = Plan(ProducerSettings(), ConsumerSettings())
    for size in (1, 100, 1024, 102_400, 60_000_000):
        written = plan.records_of_round(size) * size
        assert plan.records_of_round(size) <= 100_000
        assert written <= 65 * 2**20 or plan.records_of_round(size) <= 34
    assert Plan(ProducerSettings(), ConsumerSettings(), records=7, rounds=3).records_of_round(102_400) == 3
    assert plan.seconds_of_round == pytest.approx(2.0)
    assert plan.publishing()["message.timeout.ms"] == 30_000
    patient = Plan(ProducerSettings(delivery_timeout=90), ConsumerSettings())
    assert patient.publishing()["message.timeout.ms"] == 90_000


def test_no_more_bytes_are_on_their_way_than_a_client_holds():
    assert window_of(100) == WINDOW
    assert window_of(100 * 1024) * 100 * 1024 <= WINDOW_BYTES
    assert window_of(WINDOW_BYTES * 2) == 1


def compressed(batch):
    return len(cramjam.zstd.compress(batch)) / len(batch)


@pytest.mark.parametrize("size", [1, 16, 100, 1024, 10_240, 102_400])
def test_values_do_not_repeat_within_a_batch(size):
    noise = Noise(size)
    values = [noise(n) for n in range(max(2, 2**20 // size))]
    assert {len(value) for value in values} == {size}
    batch = b"".join(values)
    assert 0.5 < compressed(batch) < 0.65  # hexadecimal digits, and nothing else to find
    repeated = b"".join([values[0]] * len(values))
    assert compressed(repeated) < 0.1  # the control
    if size >= 16:
        assert len(set(values)) == len(values)
    assert Noise(size)(5) == noise(5)
    assert Noise(size, 1)(5) != noise(5) or size == 1


def test_no_bytes_at_all_are_a_value_too():
    assert Noise(0)(3) == b""


def burn(seconds):
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


async def test_what_others_do_while_a_handler_waits_is_in_its_time_and_not_in_its_cpu():
    watch = Stopwatch()
    begun, go = asyncio.Event(), asyncio.Event()

    async def handler(value):
        burn(0.002)
        begun.set()
        await go.wait()
        burn(0.002)
        return value + 1

    task = asyncio.create_task(watch.around(handler)(41))
    await begun.wait()
    burn(0.05)
    go.set()
    assert await task == 42
    assert watch.times[0] > 0.05  # the control: it was there all the time
    assert 0.004 <= watch.used[0] < 0.03
    assert watch.cpu_us_per_call == pytest.approx(watch.used[0] * 1e6)


async def test_what_a_watched_coroutine_raises_or_is_cancelled_by_goes_through_it():
    watch, seen = Stopwatch(), []

    async def fails():
        await asyncio.sleep(0)
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        await watch.around(fails)()

    async def waits():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    other = Stopwatch()  # its first call is the one that is stepped
    task = asyncio.create_task(other.around(waits)())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]
    assert (len(watch.used), len(other.used)) == (1, 1)


def test_a_def_handler_is_watched_and_only_some_calls_read_the_processors_clock():
    watch = Stopwatch()
    calls = itertools.count()
    watched = watch.around(lambda: next(calls))
    assert [watched() for _ in range(3 * EVERY)] == list(range(3 * EVERY))
    assert (len(watch.times), len(watch.used)) == (3 * EVERY, 3)

    class Shop:
        def __init__(self):
            self.rate = 3

        def bill(self, amount):
            return amount * self.rate

    assert Stopwatch().around(Shop.bill).__get__(Shop())(5) == 15
