"""`keep-order: key`: while a record of a key waits in the retry topic, the later ones of that key follow it.

Whatever is killed meanwhile: no record of a failing key begins before all earlier ones are handled to their end or are
given up; none is lost; and other keys are not held up.
"""

import os
import random
import threading
import time
from collections import defaultdict
from itertools import accumulate, pairwise
from typing import NamedTuple

import pytest
from confluent_kafka import Consumer, TopicPartition

from kafkaboot.testing import eventually, history
from kafkaboot.testing.executions import NEVER, executions_of, faults_of
from kafkaboot.testing.history import Tail

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

LONG = bool(os.environ.get("KB_CHAOS"))
RECORDS, KILLS, RATE = (50_000, 20, 700) if LONG else (1_000, 2, 300)
SEEDS = (1, 2, 3) if LONG else (1,)
KEYS = [f"k{number}" for number in range(20)]
FAILING = KEYS[:3]
SHARE = 9 / RATE
"""Of the records of a failing key. More, and it would never come back from the retry topic."""
ATTEMPTS, TOPICS = 2, ["400ms", "600ms"]
LAST = ATTEMPTS + len(TOPICS)
PLAIN = {
    "attempts": ATTEMPTS,
    "backoff": {"initial": "20ms"},
    "topics": TOPICS,
    "deaths": 1000,
}
ORDERED = {**PLAIN, "keep-order": "key"}
WINDOW = 3.0
"""Seconds before a kill of which nothing may be committed yet."""


class Load:
    """Writes records at a steady rate; while it is `failing`, those of some keys raise now and then, a few for ever."""

    def __init__(self, run, seed, least):
        self._load, self._random, self._least = run.load, random.Random(seed), least
        self._enough, self._thread = threading.Event(), threading.Thread(target=self._write, daemon=True)
        self.doomed, self.failing = set(), True
        self._thread.start()

    def stop(self, deadline=60):
        """All that is due is written when this returns."""
        self._enough.set()
        self._thread.join(deadline)
        assert not self._thread.is_alive()
        self._load.flush()

    def _write(self):
        begin, draw = time.monotonic(), self._random
        while self._load.sent < self._least or not self._enough.is_set():
            if self._load.sent > (time.monotonic() - begin) * RATE:
                time.sleep(0.005)
                continue
            key, fails = draw.choice(KEYS), 0
            if self.failing and key in FAILING and draw.random() < SHARE:
                fails = draw.choice([1, ATTEMPTS, ATTEMPTS + 1, -1])
            if fails < 0:
                self.doomed.add(str(self._load.sent))
            self._load.send(key, fails=fails)


class Watch:
    """What the histories say so far.

    Attributes:
        waiting: By id, how a record failed last that waits in the retry topic.
    """

    def __init__(self, run):
        self._run, self._tail = run, Tail(run.chaos.histories)
        self._stands = Consumer({"bootstrap.servers": run.bootstrap, "group.id": run.group})
        self._acked, self._done, self.waiting = set(), set(), {}

    def look(self):
        for event in self._tail.fresh():
            if event.event == history.ACKED:
                self._acked.add(event.id)
            elif is_done(event):
                self._done.add(event.id)
                self.waiting.pop(event.id, None)
            elif event.event == history.FAILED and int(event.detail) >= ATTEMPTS:
                self.waiting[event.id] = event

    def kill_one(self, known=False, deadline=30):
        """Kill a process that saw a record fail which waits now, and start another one.

        `known`: only where that has been committed, so that the next owner begins behind the record.
        """
        chaos, found = self._run.chaos, []

        def meets_one():
            self.look()
            saw = {one.process for one in self.waiting.values() if not known or self._is_committed(one)}
            found[:] = [worker for worker in chaos.alive if worker.pid in saw]
            return found

        eventually(meets_one, deadline, "a record that waits")
        chaos.kill_now(chaos.random.choice(found))
        chaos.start()

    def _is_committed(self, failed):
        if failed.topic != self._run.topic:
            return False
        stands = self._stands.committed([TopicPartition(failed.topic, failed.partition)], timeout=10)
        return stands[0].offset > failed.offset

    def until_done(self, deadline=60):
        """Every record that was written has been handled to its end or given up."""

        def nothing_left():
            self.look()
            return not self._acked - self._done

        eventually(nothing_left, deadline, lambda: f"all done, {sorted(self._acked - self._done)[:10]} are not")


def is_done(event):
    return event.event == history.ENDED or (event.event == history.FAILED and int(event.detail) >= LAST)


class Seen(NamedTuple):
    """What a run came to.

    Attributes:
        lost: Records that were neither handled to their end nor given up with a dead letter.
        overtakes: Calls that began before an earlier record of their key was handled to its end or given up, or while
            one was at work, or that left one out in a replay.
        repeats: How many calls repeated one that had been handled to its end.
        needless: Those of them that no kill explains.
        followed: Records whose first call was in the retry topic.
        returns: How often a key came back from there.
        kills: How many, and how many of them came while a record waited that had failed.
    """

    lost: list
    overtakes: list
    repeats: int
    needless: list
    followed: int
    returns: int
    kills: tuple[int, int]


def judge(run, doomed):
    """Reads the histories, the topic and its dead letters."""
    inputs = {each.id: each for each in run.inputs()}
    events = history.read(run.chaos.histories)
    faults = faults_of(events)
    kills = [fault for fault in faults if fault.kind == history.KILLED]
    executions = executions_of(events, faults)
    done = dict.fromkeys(inputs, NEVER)
    for event in reversed(events):
        if is_done(event):
            done[event.id] = event.at
    ended = {event.id for event in events if event.event == history.ENDED}
    letters = {
        (said["kb-original-partition"], said["kb-original-offset"])
        for said in (dict(letter.headers()) for letter in run.read(f"{run.topic}.{run.group}.dlt"))
    }
    places = {
        key: (str(each.place.partition).encode(), str(each.place.offset).encode()) for key, each in inputs.items()
    }
    lost = [key for key in inputs if (places[key] in letters) != (key in doomed) or (key in ended) == (key in doomed)]
    lost += [event.id for event in events if event.event == history.ACKED and event.id not in inputs]

    ranks, order = {}, defaultdict(list)
    for each in sorted(inputs.values(), key=lambda each: each.place):
        ranks[each.id] = len(order[each.key])
        order[each.key].append(each.id)
    before = {}  # when the last of those before a record was done
    for ids in order.values():
        before |= zip(ids, accumulate([0] + [done[each] for each in ids], max), strict=False)

    of_key = defaultdict(list)
    for execution in executions:
        of_key[inputs[execution.id].key].append(execution)
    overtakes, returns = [], 0
    for own in of_key.values():
        overtakes += [f"{one} began before an earlier one was done" for one in own if one.start < before[one.id]]
        for last, one in pairwise(own):
            if one.start < last.until:
                overtakes.append(f"{one} began while {last} was at work")
            if ranks[one.id] > ranks[last.id] + 1 and last.id not in doomed:
                overtakes.append(f"{one} came after {last}: some between them were left out")
            returns += last.place.topic != run.topic == one.place.topic

    first, repeats, needless = {}, 0, []
    for one in executions:
        earlier = first.setdefault(one.id, one)
        if done[one.id] > one.start:
            continue
        repeats += 1
        if not any(kill.begin - WINDOW * 1e9 < done[one.id] and kill.begin < one.start for kill in kills):
            needless.append(f"{one} had been done {(one.start - done[one.id]) / 1e9:.1f} s before; first {earlier}")
    waits = {one.id: (one.until, done[one.id]) for one in reversed(executions) if one.raised}.values()
    met = sum(any(failed < kill.begin < settled for failed, settled in waits) for kill in kills)
    followed = sum(one.place.topic != run.topic for one in first.values())
    seen = Seen(lost, overtakes, repeats, needless, followed, returns, (len(kills), met))
    print(
        f"seed {run.seed}: {len(inputs)} records, {len(letters)} dead letters, lost {len(lost)}, "
        f"overtakes {len(overtakes)}, repeated {repeats} (without a reason {len(needless)}), followed {followed}, "
        f"came back {returns} times, kills {len(kills)}, {met} of them while a record waited"
    )
    return seen


def kill_and_drain(run, seed=1, workers=3, kills=KILLS, known=False, least=RECORDS, policy=ORDERED, **environment):
    """Processes under load, one killed again and again; then all is settled. Answers the verdict.

    `known`: see `Watch.kill_one`; records fail between the start and the last kill only, so that it does not last.
    """
    chaos = run.package(
        "keyed",
        environment,
        consumer={"session-timeout": "1s"},
        handlers={"take": {"concurrency": 8}},
        retry={"default": policy},
    )
    started = chaos.start(workers)
    load = Load(run, seed, least)
    load.failing = not known
    chaos.until_handling(started, 20)
    load.failing = True
    watch = Watch(run)
    for _ in range(kills):
        watch.kill_one(known)
        load.failing = not known
        chaos.until_handling(chaos.alive, 20)
    load.stop(least / RATE + 60)
    watch.until_done()
    assert set(chaos.terminate_all()) == {0}
    return judge(run, load.doomed)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_key_that_fails_is_handled_in_order_though_processes_are_killed(chaos_run, seed):
    with chaos_run(seed=seed) as run:
        seen = kill_and_drain(run, seed)
        assert not seen.lost
        assert not seen.overtakes
        assert not seen.needless
        assert seen.followed > RECORDS // 40
        assert seen.returns > 2 or not LONG
        assert seen.kills[0] == KILLS
        assert seen.kills[1] >= KILLS * 3 // 4  # the record may be done between the look and the kill


def test_control_with_plain_retry_topics_a_failing_record_is_overtaken(chaos_run):
    with chaos_run() as run:
        seen = kill_and_drain(run, workers=1, kills=0, least=1000, policy=PLAIN)
        assert not seen.lost
        assert len(seen.overtakes) > 5
        assert not seen.followed


def test_control_without_a_look_at_what_waits_a_key_overtakes_after_a_kill(chaos_run):
    with chaos_run() as run:
        slow = {**ORDERED, "topics": ["6s", "6100ms"]}  # beyond the time in which somebody takes over
        seen = kill_and_drain(run, workers=2, kills=1, known=True, least=500, policy=slow, KEYED="memory")
        assert not seen.lost
        assert seen.overtakes
