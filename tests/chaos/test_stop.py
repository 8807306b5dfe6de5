"""F1: SIGTERM, a second one, and a deadline that passes."""

import os
import signal
import time

import pytest

from kafkaboot.testing import eventually, history

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

LONG = bool(os.environ.get("KB_CHAOS"))
STOPS = 20 if LONG else 2


def stop_one_after_another(run, stops, rate=800):
    chaos = run.chaos
    started = chaos.start(3)
    run.load.start(rate)
    chaos.until_handling(started, 20)
    codes = []
    for _ in range(stops):
        victim = chaos.pick()
        chaos.until_handling([victim], 50)
        codes.append(chaos.terminate(victim))
        chaos.start()
        chaos.until_handling(chaos.alive, 20)
    return codes


@pytest.mark.parametrize(
    ("handler", "ordering"), [("note", "partition"), ("note", "key"), ("note_in_a_thread", "partition")]
)
def test_processes_that_are_asked_to_stop_leave_nothing_twice(chaos_run, handler, ordering):
    with chaos_run() as run:
        chaos = run.application(handler, ordering, session_timeout="10s")
        codes = stop_one_after_another(run, STOPS)
        run.settle()
        assert set(codes + chaos.terminate_all()) == {0}
        report = run.judge(ordering=ordering)
        report.demand(records=STOPS * 200, faults=STOPS + 3)
        assert (report.repeated, report.interrupted) == (0, 0)
        assert len(report.recoveries) >= STOPS
        assert max(report.recoveries) < 3, report


def test_control_a_loop_that_leaves_without_a_commit_repeats(chaos_run):
    with chaos_run() as run:
        run.bare("no-drain")
        stop_one_after_another(run, 1, rate=400)
        run.settle()
        assert run.judge().broken("I3")


@pytest.mark.parametrize("handler", ["note", "note_in_a_thread"])
def test_a_second_signal_ends_a_process_that_is_draining(chaos_run, handler):
    with chaos_run(partitions=1) as run:
        chaos = run.application(handler, drain_timeout="60s")
        run.load.send("slow", work=8)
        run.load.flush()
        (worker,) = chaos.start()
        eventually(lambda: chaos.progress.look().running[worker.pid], 30, "the handler at work")
        chaos.history.write(history.KILLED, about=worker.pid)
        worker.signal(signal.SIGTERM)
        eventually(lambda: "finishing the records" in worker.output(), 5, lambda: f"draining\n{worker.output()}")
        assert worker.exit_code is None
        begin = time.monotonic()
        worker.signal(signal.SIGTERM)
        assert worker.wait(10) not in (0, None)
        assert time.monotonic() - begin < 3
        chaos.history.write(history.DIED, about=worker.pid)
        chaos.start()
        run.settle()
        run.judge().demand(records=1, faults=1, in_flight=1)


@pytest.mark.parametrize("handler", ["note", "note_in_a_thread"])
def test_a_deadline_that_passes_is_exit_code_5_and_loses_nothing(chaos_run, handler):
    with chaos_run(partitions=1) as run:
        chaos = run.application(handler, drain_timeout="1s")
        run.load.send("slow", work=6)
        run.load.send("slow")
        run.load.flush()
        (worker,) = chaos.start()
        eventually(lambda: chaos.progress.look().running[worker.pid], 30, "the handler at work")
        begin = time.monotonic()
        assert chaos.terminate(worker) == 5
        assert time.monotonic() - begin < 4
        chaos.start()
        run.settle()
        report = run.judge()
        report.demand(records=2, faults=1)
        assert (report.repeated, report.interrupted) == (0, 1)
