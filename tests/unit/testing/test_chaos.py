"""The harness against small programs that write histories."""

import signal
import sys
import textwrap
from pathlib import Path

import pytest

from kafkaboot.testing import eventually, history
from kafkaboot.testing.chaos import Chaos

BUSY = """
    import os, signal, sys, time
    from kafkaboot.testing.history import History
    history, number = History(os.environ["CHAOS_HISTORY"]), 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    while True:
        history.write("started", "t", 0, number)
        time.sleep(0.01)
        history.write("ended", "t", 0, number)
        number += 1
"""
IDLE = "import time\nprint('idle', flush=True)\ntime.sleep(600)"
DEAD = "print('I never began')"


def chaos_of(tmp_path, program, seed=0):
    return Chaos(tmp_path, [sys.executable, "-c", textwrap.dedent(program)], seed=seed)


def test_a_kill_waits_until_its_victim_has_made_progress_and_is_at_work(tmp_path):
    with chaos_of(tmp_path, BUSY) as chaos:
        (worker,) = chaos.start()
        chaos.kill(worker, after=5)
        events = history.read(chaos.histories)
    (killed,) = [event for event in events if event.event == history.KILLED]
    assert (killed.about, worker.exit_code) == (worker.pid, -signal.SIGKILL)
    before = [event for event in events if event.at < killed.at and event.process == worker.pid]
    assert sum(event.event == history.ENDED for event in before) >= 5
    assert [event.event for event in events][-1] == history.DIED


def test_a_process_that_stands_still_is_not_killed_and_the_test_fails(tmp_path):
    chaos = chaos_of(tmp_path, IDLE)

    def kill():
        with chaos:
            (worker,) = chaos.start()
            eventually(lambda: "idle" in worker.output())
            chaos.kill(worker, deadline=0.5)

    with pytest.raises(AssertionError, match="handled 0 of 1") as caught:
        kill()
    assert "idle" in "".join(caught.value.__notes__)  # what it printed stands below the failure
    assert chaos.workers[0].exit_code == -signal.SIGKILL  # and nothing is left running


def test_a_process_that_ends_by_itself_is_told_at_once(tmp_path):
    with pytest.raises(RuntimeError, match="ended with exit code 0"), chaos_of(tmp_path, DEAD) as chaos:
        chaos.until_handling(chaos.start(), 1, deadline=30)


def test_stopping_answers_the_exit_codes_and_is_written_down(tmp_path):
    with chaos_of(tmp_path, BUSY) as chaos:
        chaos.until_handling(chaos.start(2), 1)
        assert chaos.terminate(chaos.workers[0]) == 7
        assert chaos.terminate_all() == [7]
        assert chaos.alive == []
        names = [event.event for event in history.read(chaos.histories) if event.about]
    assert names == [history.TERMINATED, history.DIED] * 2


def test_a_paused_process_stands_still_until_it_is_resumed_and_is_never_picked(tmp_path):
    with chaos_of(tmp_path, BUSY) as chaos:
        one, other = chaos.start(2)
        chaos.until_handling([one, other], 1)
        chaos.pause(one)
        assert {chaos.pick() for _ in range(20)} == {other}
        eventually(lambda: "T" in Path(f"/proc/{one.pid}/stat").read_text().split()[2])
        still = chaos.progress.look().ended[one.pid]
        chaos.until_handling([other], 5)
        assert chaos.progress.ended[one.pid] == still
        chaos.resume(one)
        chaos.until_handling([one], 2)


def test_the_same_seed_picks_the_same_victims(tmp_path):
    def picks(seed):
        directory = tmp_path / f"{seed}-{len(list(tmp_path.iterdir()))}"
        directory.mkdir()
        with chaos_of(directory, IDLE, seed) as chaos:
            chaos.start(3)
            return [chaos.workers.index(chaos.pick()) for _ in range(12)]

    assert picks(5) == picks(5)


def test_what_a_process_holds_can_be_read(tmp_path):
    with chaos_of(tmp_path, BUSY) as chaos:
        (worker,) = chaos.start()
        chaos.until_handling([worker], 1)
        assert worker.memory() > 2**20
        assert worker.threads() >= 1
        assert worker.descriptors() >= 3
