"""F14 and F20: a dependency that is down, a record that ends the process, and attempts that survive a restart."""

import os
import signal
import time
from collections import Counter
from dataclasses import replace

import pytest

from kafkaboot.testing import eventually, history
from kafkaboot.testing.executions import Place
from kafkaboot.testing.letters_seen import Carried, LetterSeen

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

LONG = bool(os.environ.get("KB_CHAOS"))
SEEDS = (1, 2, 3) if LONG else (1,)
BOTH = ["partition", "key"]
RATE = 300
OUTAGE = 20.0 if LONG else 3.0
OPEN_MAX = 1.0
DEATHS = 3
"""The default of a policy."""
RECORDS, DEADLY = 400, (0, 100)


def letters_of(run):
    """What stands in the dead letters: by partition and offset of the record, the exception."""
    found = Counter()
    for letter in run.read(f"{run.topic}.{run.group}.dlt"):
        said = dict(letter.headers())
        found[int(said["kb-original-partition"]), int(said["kb-original-offset"]), said["kb-exception"].decode()] += 1
    return found


# --- F14


def outage(run, processes, **handler):
    """Processes under load whose dependency is down for a while; answers when it healed, monotonic seconds."""
    chaos = run.package(
        "poisoned",
        handlers={"pay": {"concurrency": 8, **handler}, "take": {"enabled": False}},
        circuits={"psp": {"open-for": "500ms", "open-max": f"{OPEN_MAX:g}s"}},
        # As many attempts as failures open the circuit: both are the defaults.
        retry={"default": {"backoff": {"initial": "5ms", "max": "50ms"}}},
    )
    down = run.directory / "down"
    started = chaos.start(processes)
    run.load.start(RATE)
    chaos.until_handling(started, 20)
    down.touch()
    begin, sent = time.monotonic(), run.load.sent
    eventually(
        lambda: time.monotonic() - begin > OUTAGE and run.load.sent - sent > RATE * OUTAGE / 2, OUTAGE + 20, "an outage"
    )
    down.unlink()
    return time.monotonic()


def events_of(run, event):
    return [each for each in history.read(run.chaos.histories) if each.event == event]


@pytest.mark.parametrize("ordering", BOTH if LONG else ["partition"])
def test_while_a_dependency_is_down_records_wait_and_none_is_given_up(chaos_run, ordering):
    with chaos_run() as run:
        healed = outage(run, 3, ordering=ordering, circuit="psp")
        progress = run.chaos.progress
        waited = run.load.acked - progress.look().handled
        assert len(waited) > RATE * OUTAGE / 2
        eventually(lambda: waited & progress.look().handled, OPEN_MAX + 5, "a record that waited is handled")
        first = time.monotonic() - healed
        eventually(lambda: not waited - progress.look().handled, 60, lambda: f"all of {len(waited)} are handled")
        print(
            f"{len(waited)} records waited; the first was handled {first:.1f} s after it had healed, "
            f"all {time.monotonic() - healed:.1f} s after"
        )
        run.settle()
        assert set(run.chaos.terminate_all()) == {0}
        run.judge(ordering=ordering).demand(records=RATE)
        assert not letters_of(run)
        assert len(events_of(run, "circuit open")) >= 3
        # Trials, and what was at work when it went down: no flood of calls to what is down.
        assert len(events_of(run, history.FAILED)) < len(waited)


def test_control_without_a_circuit_they_are_dead_lettered(chaos_run):
    with chaos_run() as run:
        outage(run, 1)
        run.load.stop()
        eventually(lambda: len(letters_of(run)) > RATE // 10, 20, "dead letters")
        assert not events_of(run, "circuit open")


# --- F20


def supervise(run, done, deadline, most):
    """Start a process each time that one has ended, until `done()`; answers how many ended by a signal."""
    chaos, deaths = run.chaos, 0
    chaos.start()
    until = time.monotonic() + deadline
    while not done():
        assert time.monotonic() < until, (
            f"not within {deadline:g} s, after {deaths} deaths\n{chaos.workers[-1].output()}"
        )
        if not chaos.alive:
            worker = chaos.workers[-1]
            assert worker.exit_code == -signal.SIGKILL, worker.output()
            chaos.history.write(history.KILLED, about=worker.pid)
            chaos.history.write(history.DIED, about=worker.pid)
            deaths += 1
            if deaths == most:
                return deaths
            chaos.start()
        time.sleep(0.02)
    return deaths


def deadly(run, ordering, deaths=DEATHS):
    """A few hundred records, one of which ends the process that handles it."""
    chaos = run.package(
        "poisoned",
        handlers={"take": {"ordering": ordering, "concurrency": 8}, "pay": {"enabled": False}},
        retry={"default": {"deaths": deaths}},
    )
    for number in range(RECORDS):
        partition, offset = number % 2, number // 2
        run.load.send(f"k{number % 20}", deadly=(partition, offset) == DEADLY, partition=partition)
    run.load.flush()
    return chaos


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("ordering", BOTH if LONG else ["key"])
def test_a_record_that_ends_its_process_each_time_is_put_aside_and_the_rest_flows(chaos_run, ordering, seed):
    with chaos_run(partitions=2, seed=seed) as run:
        chaos = deadly(run, ordering)
        rest = {place for place in run.load.acked if place[1:] != DEADLY}
        deaths = supervise(run, lambda: not rest - chaos.progress.look().handled, 60, 10)
        assert deaths == DEATHS
        eventually(lambda: letters_of(run), 10, "the dead letter")
        assert set(chaos.terminate_all()) == {0}
        assert letters_of(run) == {(*DEADLY, "kafkaboot.errors.ProcessDiedError"): 1}
        inputs = [replace(each, dies=each.place[1:] == DEADLY) for each in run.inputs()]
        letter = LetterSeen(Place(run.topic, *DEADLY), Carried(None, None, ()), 0)
        report = run.judge(inputs=inputs, letters=[letter], ordering=ordering)
        report.demand(records=RECORDS, faults=DEATHS, in_flight=DEATHS, letters=1)


def test_control_where_deaths_are_not_counted_it_ends_the_process_for_ever(chaos_run):
    with chaos_run(partitions=2) as run:
        deadly(run, "partition", deaths=1000)
        assert supervise(run, lambda: False, 60, DEATHS + 1) == DEATHS + 1
        assert not letters_of(run)


# --- attempts


def test_attempts_are_counted_on_after_a_kill(chaos_run):
    with chaos_run(partitions=1) as run:
        chaos = run.package(
            "poisoned",
            consumer={"commit-interval": "100ms"},
            handlers={"take": {}, "pay": {"enabled": False}},
            retry={"default": {"attempts": 4, "backoff": {"initial": "2s", "multiplier": 1, "jitter": False}}},
        )
        run.load.send("good")
        run.load.send("bad", fails=-1)
        run.load.flush()
        chaos.start()
        for failures in (1, 2):
            eventually(lambda count=failures: len(events_of(run, history.FAILED)) >= count, 20, "an attempt that fails")
            run.until_committed(mark="kf1:", event=history.FAILED)
            chaos.kill_now(chaos.alive[0])
            chaos.start()
        eventually(lambda: letters_of(run), 30, "the dead letter")
        tried = [int(each.detail) for each in events_of(run, history.STARTED) if each.id == "1"]
        print("attempts", tried)
        assert set(tried) == {1, 2, 3, 4}
        assert tried == sorted(tried), "a process counted anew"
        assert len(tried) <= 4 + 2, "at each kill one attempt at most was not committed"
        assert set(chaos.terminate_all()) == {0}
