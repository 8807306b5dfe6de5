"""F7 and F8: the broker is restarted, killed, and away for a while."""

import os
import time

import pytest

from kafkaboot.dev.broker import NotInstalledError
from kafkaboot.dev.local import LocalKafka
from kafkaboot.testing import eventually, history

pytestmark = [pytest.mark.chaos, pytest.mark.real_kafka, pytest.mark.timeout(900)]

LONG = bool(os.environ.get("KB_CHAOS"))
AWAY = 60 if LONG else 6
MEGABYTE = 2**20


@pytest.fixture(scope="module")
def mortal():
    """A broker for these tests alone, which they may kill."""
    broker = LocalKafka()
    try:
        broker.start()
    except NotInstalledError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI must test against a real Kafka: {error}")
        pytest.skip(f"no real Kafka on this machine: {error}")
    with broker:
        yield broker


@pytest.fixture
def broker(mortal):
    mortal.start()
    return mortal


def under_load(run, rate=600):
    started = run.chaos.start(3)
    run.load.start(rate)
    run.chaos.until_handling(started, 50)
    run.until_shared(3)


def away(run, broker, *, clean, seconds=0.0):
    chaos = run.chaos
    chaos.history.write(history.BROKER_DOWN)
    if seconds:
        broker.kill()
        until = time.monotonic() + seconds
        eventually(lambda: time.monotonic() > until, seconds + 5)
        broker.start()
    else:
        broker.restart(clean=clean)
    chaos.history.write(history.BROKER_UP)
    chaos.until_handling(chaos.alive, 50, deadline=30)


@pytest.mark.parametrize("clean", [True, False], ids=["cleanly", "by_sigkill"])
def test_a_broker_that_is_restarted_costs_five_seconds_and_no_rebalance(chaos_run, broker, clean):
    with chaos_run(bootstrap=broker.bootstrap_servers) as run:
        chaos = run.application("note", session_timeout="30s")
        under_load(run)
        before = run.generation()
        away(run, broker, clean=clean)
        assert run.generation() == before
        run.settle()
        assert len(chaos.alive) == 3
        assert set(chaos.terminate_all()) == {0}
        report = run.judge()
        report.demand(records=1000, faults=1)
        assert 0 < report.recoveries[0] < 5, report


@pytest.mark.parametrize("handler", ["note", "note_in_a_thread"] if LONG else ["note"])
def test_all_brokers_gone_is_no_crash_and_no_growth(chaos_run, broker, handler):
    with chaos_run(bootstrap=broker.bootstrap_servers) as run:
        chaos = run.application(handler, session_timeout="2s")
        under_load(run)
        sizes = [(w.memory(), w.threads(), w.descriptors()) for w in chaos.alive]
        away(run, broker, clean=False, seconds=AWAY)
        run.settle()
        assert len(chaos.alive) == 3
        for worker, (memory, threads, descriptors) in zip(chaos.alive, sizes, strict=True):
            assert worker.memory() < memory + 40 * MEGABYTE
            assert worker.threads() <= threads + 4
            assert worker.descriptors() <= descriptors + 10
        assert set(chaos.terminate_all()) == {0}
        report = run.judge(fencing=2)
        report.demand(records=1000, faults=1)
        assert 0 < report.recoveries[0] < 5, report


def test_control_a_session_shorter_than_the_outage_is_a_rebalance(chaos_run, broker):
    with chaos_run(bootstrap=broker.bootstrap_servers) as run:
        run.bare("right", session_ms=1000)
        under_load(run, rate=300)
        before = run.generation()
        away(run, broker, clean=False, seconds=3)
        run.settle()
        eventually(lambda: run.generation() > before, 15, "a rebalance")
        run.chaos.terminate_all()


def test_control_a_loop_that_keeps_what_it_has_seen_is_seen_to_grow(chaos_run, broker):
    with chaos_run(bootstrap=broker.bootstrap_servers) as run:
        chaos = run.bare("hoarding")
        under_load(run)
        sizes = {worker: worker.memory() for worker in chaos.alive}
        eventually(lambda: any(worker.memory() > sizes[worker] + 40 * MEGABYTE for worker in chaos.alive), 30, "growth")
        run.settle()
        chaos.terminate_all()
