"""F2: three processes under load, one killed again and again."""

import os

import pytest

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

LONG = bool(os.environ.get("KB_CHAOS"))
KILLS = 30 if LONG else 3
SEEDS = (1, 2, 3) if LONG else (1,)
SESSION = 2.0


def kill_again_and_again(run, kills, rate=800):
    """Each kill meets a process that has made progress since the last one, and is at work."""
    chaos = run.chaos
    started = chaos.start(3)
    run.load.start(rate)
    chaos.until_handling(started, 20)
    for _ in range(kills):
        chaos.kill(chaos.pick(), after=50)
        chaos.start()
        chaos.until_handling(chaos.alive, 20)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("handler", "ordering"), [("note", "partition"), ("note", "key"), ("note_in_a_thread", "partition")]
)
def test_nothing_is_lost_or_out_of_order_when_processes_are_killed(chaos_run, handler, ordering, seed):
    with chaos_run(seed=seed) as run:
        chaos = run.application(handler, ordering)
        kill_again_and_again(run, KILLS)
        run.settle()
        assert set(chaos.terminate_all()) == {0}
        report = run.judge(ordering=ordering)
        report.demand(records=KILLS * 500, faults=KILLS, in_flight=KILLS * 3 // 4, commits=KILLS * 6)
        assert len(report.recoveries) >= KILLS
        assert max(report.recoveries) < SESSION + 3, report


def test_control_a_right_loop_without_kafkaboot_passes(chaos_run):
    with chaos_run() as run:
        run.bare("right")
        kill_again_and_again(run, 2, rate=300)
        run.settle()
        assert set(run.chaos.terminate_all()) == {0}
        run.judge().demand(records=500, faults=2, in_flight=1)


def test_control_a_loop_that_commits_first_loses_records(chaos_run):
    with chaos_run() as run:
        run.bare("commit-first")
        kill_again_and_again(run, 1, rate=400)
        run.stand_still()
        report = run.judge()
        assert report.broken("I1")
        assert report.broken("I5")


def test_control_a_loop_that_commits_the_newest_loses_records(chaos_run):
    with chaos_run() as run:
        run.bare("newest-done")
        kill_again_and_again(run, 1, rate=400)
        run.stand_still()
        assert run.judge(ordering="key").broken("I5")


def test_control_a_loop_that_forgets_about_keys_is_out_of_order(chaos_run):
    with chaos_run() as run:
        run.bare("unordered")
        kill_again_and_again(run, 1, rate=400)
        run.settle()
        assert run.judge(ordering="key").broken("I4")
