"""F5: a handler that takes longer than `max.poll.interval.ms` is legal."""

import pytest

from kafkaboot.testing import eventually

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

SLOW = 5.0


def one_slow_record_among_others(run):
    """Answers the group's generation when all was quiet, before the slow record."""
    chaos = run.chaos
    workers = chaos.start(2)

    def both_at_work():
        for partition in range(4):
            run.load.send(f"k{partition}", work=0.001, partition=partition)
        ended = chaos.progress.look().ended
        return all(ended[worker.pid] for worker in workers)

    eventually(both_at_work, 30, "both processes at work")
    run.load.flush()
    eventually(lambda: not run.load.acked - chaos.progress.look().handled, 20, "all are handled")
    quiet = run.generation()
    run.load.send("slow", work=SLOW, partition=0)
    for number in range(400):
        run.load.send(f"k{number % 4}", work=0.001, partition=number % 4)
    return quiet


@pytest.mark.parametrize("handler", ["note", "note_in_a_thread"])
def test_a_handler_longer_than_the_poll_interval_causes_no_rebalance(chaos_run, handler):
    with chaos_run(partitions=4) as run:
        chaos = run.application(handler, session_timeout="1500ms", max_poll_interval="2s")
        quiet = one_slow_record_among_others(run)
        run.settle()
        assert run.generation() == quiet
        assert set(chaos.terminate_all()) == {0}
        report = run.judge()
        report.demand(records=405, commits=4)
        assert (report.repeated, report.interrupted) == (0, 0)


def test_control_a_loop_that_does_not_poll_meanwhile_is_thrown_out(chaos_run):
    with chaos_run(partitions=4) as run:
        run.bare("blocking", poll_ms=2000)
        quiet = one_slow_record_among_others(run)
        eventually(lambda: run.generation() > quiet, 20, "a rebalance")
