"""F6: members join and leave all the time; and what a restart repeats under key order."""

import os
import time

import pytest

from kafkaboot.testing import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

LONG = bool(os.environ.get("KB_CHAOS"))
SECONDS = 60 if LONG else 6
REBALANCES = SECONDS
"""That many at least; where processes start slowly, it takes longer until there were."""


@pytest.mark.parametrize("ordering", ["partition", "key"])
def test_members_that_join_and_leave_lose_nothing_and_repeat_nothing(chaos_run, ordering):
    with chaos_run(seed=3) as run:
        chaos = run.application("note", ordering, session_timeout="10s")
        chaos.until_handling(chaos.start(2), 0)
        run.load.start(600)
        chaos.until_handling(chaos.alive, 20)
        begin, changes = run.generation(), 0
        until = time.monotonic() + SECONDS
        at_most = until + 60
        while (now := time.monotonic()) < until or (now < at_most and run.generation() - begin < REBALANCES):
            pause = time.monotonic() + chaos.random.uniform(0, 0.5)
            if len(chaos.alive) < 3 or (len(chaos.alive) < 4 and chaos.random.random() < 0.5):
                chaos.start()
            else:
                chaos.terminate(chaos.pick())
            changes += 1
            eventually(lambda pause=pause: time.monotonic() >= pause, 1)
        run.settle(deadline=10 + SECONDS)
        chaos.terminate_all()
        assert run.generation() - begin >= REBALANCES
        report = run.judge(ordering=ordering)
        report.demand(records=SECONDS * 300, faults=REBALANCES // 2)
        assert report.repeated == 0
        begun = [worker for worker in chaos.workers if "ready in" in worker.output()]
        assert {worker.exit_code for worker in begun} == {0}
        assert len(begun) >= REBALANCES // 2
        assert max(report.recoveries) < 5, report  # a member that leaves unseen would cost its session of ten seconds


def test_control_a_member_that_leaves_without_a_word_costs_its_session(chaos_run):
    with chaos_run(seed=3) as run:
        chaos = run.bare("no-drain", session_ms=6000)
        chaos.until_handling(chaos.start(2), 0)
        run.load.start(300)
        chaos.until_handling(chaos.alive, 20)
        chaos.terminate(chaos.pick())
        run.settle()
        chaos.terminate_all()
        report = run.judge()
        assert max(report.recoveries) > 5, report


def behind_a_slow_key(run, handled=300):
    """A process is killed when all but the first record of the partition are handled, and another one goes on."""
    chaos = run.chaos
    run.load.send("slow", work=5)
    for number in range(handled):
        run.load.send(f"k{number % 20}", work=0.001)
    run.load.flush()
    chaos.start()
    eventually(lambda: len(chaos.progress.look().handled) == handled, 30, "all but the slow one are handled")


def test_a_restart_under_key_order_repeats_only_what_was_not_done(chaos_run):
    with chaos_run(partitions=1) as run:
        chaos = run.application("note", "key")
        behind_a_slow_key(run)
        run.until_committed(mark="kb1:")
        chaos.kill_now(chaos.workers[0])
        chaos.start()
        run.settle()
        run.until_committed()
        report = run.judge(ordering="key")
        report.demand(records=301, faults=1, in_flight=1, commits=2)
        assert (report.repeated, report.interrupted) == (0, 1)


def test_control_a_loop_that_commits_the_prefix_only_repeats_what_was_done(chaos_run):
    with chaos_run(partitions=1) as run:
        run.bare("prefix-only")
        behind_a_slow_key(run)
        until = time.monotonic() + 1.5
        eventually(lambda: time.monotonic() > until, 5)
        run.chaos.kill_now(run.chaos.workers[0])
        run.chaos.start()
        run.settle()
        report = run.judge(ordering="key", uncommitted=1.0)
        assert len(report.broken("I3")) >= 200
