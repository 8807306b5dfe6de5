from __future__ import annotations

from kafkaboot.cli import crew
from kafkaboot.cli.crew import Worker


def test_the_pause_before_a_restart_grows_and_has_an_end():
    worker = Worker(0, [], piped=False)
    worker._began = crew.time.monotonic()
    pauses = [worker.restart_later() for _ in range(10)]
    assert pauses[:4] == [0.5, 1, 2, 4]
    assert pauses[-1] == crew.LONGEST_PAUSE


def test_a_worker_that_ran_long_enough_is_restarted_as_if_for_the_first_time():
    worker = Worker(0, [], piped=False)
    worker._began = crew.time.monotonic()
    worker.restart_later()
    worker.restart_later()
    worker._began -= crew.STEADY + 1
    assert worker.restart_later() == crew.FIRST_PAUSE
