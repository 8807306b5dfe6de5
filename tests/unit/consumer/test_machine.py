"""The engine under everything that can happen to it, in every order that Hypothesis thinks of.

Each mutant breaks one rule of the engine; the machine must notice.
"""

import logging
import os
import re
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from kafkaboot.client import TP, Committed
from kafkaboot.consumer import done_map, loop_crew
from kafkaboot.consumer.committer import Committer
from kafkaboot.consumer.crew import Crew
from kafkaboot.consumer.offsets import Assignment
from kafkaboot.consumer.poller import Poller
from kafkaboot.consumer.replays import Replays
from kafkaboot.testing.simulation import Plan, World

KEYS = st.sampled_from([b"a", b"b", b"c", None])
PLANS = st.builds(Plan, st.sampled_from(["prompt", "prompt", "brief", "held"]), st.sampled_from([0, 0, 0, 0, 1, 3]))
PARTITIONS = st.integers(0, 1)
WHICH = st.integers(0, 20)
COMMIT_CODES = st.sampled_from(["_TIMED_OUT", "NOT_COORDINATOR", "TOPIC_AUTHORIZATION_FAILED"])


class Machine(RuleBasedStateMachine):
    orderings = ("partition", "key", "unordered")
    forwarding = (False, True)
    batches = (None, 4)

    world = None

    @initialize(data=st.data(), poll_records=st.integers(1, 4), concurrency=st.integers(1, 4))
    def begin(self, data, poll_records, concurrency):
        logging.disable(logging.CRITICAL)
        self.world = World(
            data.draw(st.sampled_from(self.orderings), "ordering"),
            forwarding=data.draw(st.sampled_from(self.forwarding), "forwarding"),
            batch=data.draw(st.sampled_from(self.batches), "batch"),
            assignment=data.draw(st.sampled_from(["cooperative-sticky", "cooperative-sticky", "range"]), "assignment"),
            concurrency=concurrency,
            poll_records=poll_records,
        )
        self.time = mock.patch.object(loop_crew, "monotonic", self.world.clock.monotonic)
        self.time.start()
        self.broken = False
        self.world.start()

    def process(self, which):
        return self.world.processes[which % len(self.world.processes)]

    def alive(self):
        return self.world is not None and self.world.processes

    # --- records

    @rule(partition=PARTITIONS, records=st.lists(st.tuples(KEYS, PLANS), min_size=1, max_size=8))
    def publish(self, partition, records):
        for key, plan in records:
            self.world.publish(partition, key, plan)

    @rule(partition=PARTITIONS, offsets=st.integers(1, 3), every=st.integers(2, 4))
    def make_holes(self, partition, offsets, every):
        unread = [p for p in self.world.ledger.standing if p.partition == partition and p.offset % every == 0]
        self.world.compact(partition, unread)
        self.world.leave_gap(partition, offsets)

    # --- what goes on

    @rule(times=st.integers(1, 4), seconds=st.sampled_from([0.01, 0.1, 0.3]))
    def all_go_on(self, times, seconds):
        for _ in range(times):
            for process in list(self.world.processes):
                process.turn()
            self.world.advance(seconds)

    @precondition(alive)
    @rule(which=WHICH, turns=st.integers(0, 3), steps=st.integers(0, 1))
    def one_goes_on(self, which, turns, steps):
        process = self.process(which)
        for _ in range(turns):
            process.turn()
        for _ in range(steps):
            process.step()

    @precondition(alive)
    @rule(which=WHICH, records=st.lists(WHICH, min_size=1, max_size=3), well=st.booleans())
    def let_go(self, which, records, well):
        process = self.process(which)
        for record in records:
            waiting = [future for future in process.held.values() if not future.done()]
            if waiting:
                waiting[record % len(waiting)].set_result(well)
        process.step()

    @rule(seconds=st.sampled_from([0.01, 0.05, 0.2, 0.6, 2.5]))
    def advance(self, seconds):
        self.world.advance(seconds)

    # --- what may happen

    @rule(which=WHICH, what=st.sampled_from(["start", "start", "stop", "crash", "crash"]))
    def processes_come_and_go(self, which, what):
        if what == "start" or not self.world.processes:
            if len(self.world.processes) < 3:
                self.world.start()
        elif what == "stop":
            self.process(which).stop()
        else:
            self.process(which).crash()

    @precondition(alive)
    @rule(which=WHICH, partition=PARTITIONS, what=st.sampled_from(["lose", "give up", "expire"]))
    def partitions_come_and_go(self, which, partition, what):
        consumer = self.process(which).consumer
        if what == "lose":
            consumer.lose([TP("orders", partition)])
        elif what == "give up":
            consumer.give_up([TP("orders", partition)])
        else:
            consumer.expire()

    @rule(code=COMMIT_CODES, times=st.integers(1, 4), applied=st.booleans())
    def the_cluster_fails(self, code, times, applied):
        self.world.kafka.faults.fail_commits(code, times, applied=applied)
        self.world.kafka.faults.fail_reads("NOT_COORDINATOR", times - 1)

    @precondition(lambda self: self.world is not None and self.world.ledger.forwarding)
    @rule(fail=st.integers(0, 2), full=st.integers(0, 2), hold=st.booleans())
    def outputs_fail(self, fail, full, hold):
        faults = self.world.kafka.faults
        faults.fail_deliveries("_MSG_TIMED_OUT", fail)
        faults.full, faults.hold_deliveries = full, hold
        if not hold:
            self.world.kafka.deliver()

    @precondition(lambda self: self.world is not None and self.world.ordering != "partition")
    @rule(partition=PARTITIONS)
    def a_map_is_damaged(self, partition):
        self.world.tamper(partition)

    # --- the end

    def teardown(self):
        if self.world is None:
            return
        try:
            if not self.world.ledger.breaches:
                self.world.finish()
        finally:
            self.world.close()
            self.time.stop()
            logging.disable(logging.NOTSET)


COMMON = {
    "database": None,
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "stateful_step_count": 40,
    "print_blob": True,
}


def run(machine, **more):
    run_state_machine_as_test(machine, settings=settings(**COMMON | more))


@pytest.mark.timeout(900)  # a failure is made small before it is shown
def test_machine():
    """300 runs from a fixed seed, so that a change is judged by what it changed; `make chaos` draws new ones."""
    new_ones = bool(os.environ.get("KB_CHAOS"))
    run(Machine, max_examples=5000 if new_ones else 300, derandomize=not new_ones)


class InOrder(Machine):
    orderings = ("partition",)


class ByKey(Machine):
    orderings, forwarding, batches = ("key",), (False,), (None,)


class Forwarding(Machine):
    forwarding, batches = (True,), (None,)


# --- the mutants: each breaks one rule, and the same machine must go red


def furthest_settled(assignment, _attempts=()):
    """ENGINE 5 broken: the position is behind the last settled record, whatever stands before it."""
    position = assignment.advance()
    for chunk in assignment.chunks:
        if (last := chunk.done.rfind(1)) >= 0:
            position = chunk.records[last].offset() + 1
    answer = None if position is None else Committed(position)
    return None if answer == assignment.committed else answer


def next_is_last_plus_one(assignment):
    """ENGINE 6 broken: the prefix ends where an offset is not the one before and one."""
    while assignment.chunks:
        chunk = assignment.chunks[0]
        for i in range(chunk.head, len(chunk.done)):
            offset = chunk.records[i].offset()
            if not chunk.done[i] or (assignment.position is not None and offset != assignment.position):
                return assignment.position
            assignment.position, chunk.head = offset + 1, i + 1
        assignment.chunks.popleft()
    return assignment.position


def tracker_by_partition():
    """ENGINE 7 broken: what was taken under an earlier assignment of the partition counts for the next one."""
    made = Replays.assignment

    def kept(replays, tp, committed, note):
        trackers = replays.__dict__.setdefault("trackers", {})
        if tp not in trackers:
            trackers[tp] = made(replays, tp, committed, note)
        trackers[tp].live = True
        return trackers[tp]

    return kept


def map_in_spite_of_refusals(assignment, _attempts=()):
    """What was done behind a refused output is called done."""
    position = assignment.advance()
    if position is None:
        return None
    answer = Committed(position, done_map.encode(position, assignment._beyond()))
    return None if answer == assignment.committed else answer


def settled_when_handed_over(crew, chunk, i, error, _record):
    """A returned value counts as delivered whatever its report says."""
    chunk.done[i] = 1


MUTANTS = {
    "5: the furthest settled record is committed": (Machine, Assignment, "to_commit", furthest_settled),
    "6: contiguity is offset arithmetic": (InOrder, Assignment, "advance", next_is_last_plus_one),
    "7: an old assignment's completions count": (Machine, Replays, "assignment", tracker_by_partition()),
    "9: a stop does not commit": (Machine, Committer, "last", lambda *_, **__: None),
    "10: a revoked partition is not waited for": (Machine, Poller, "_wait_quiet", lambda *_, **__: True),
    "an output that is not delivered settles its record": (Forwarding, Crew, "_acked", settled_when_handed_over),
}


@pytest.mark.parametrize("broken", MUTANTS)
def test_the_machine_notices_a_broken_rule(broken):
    machine, owner, name, mutant = MUTANTS[broken]
    with mock.patch.object(owner, name, mutant), pytest.raises((AssertionError, BaseExceptionGroup)) as caught:
        run(machine, max_examples=1500, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False)
    assert re.search(r"I1|I3|I4|I5|I6|never committed", str(caught.value)), caught.value


# --- what the machine has found


def hand_over_behind_a_refused_output():
    world = World("key", forwarding=True, partitions=1, concurrency=1, poll_records=10)
    process = world.start()
    world.kafka.faults.fail_deliveries("_MSG_TIMED_OUT")
    for _ in range(2):
        world.publish(key=b"a")
    try:
        while not world.ledger.count:
            process.turn()
            process.step()
        world.publish(key=b"a")
        process.consumer.give_up([TP("orders", 0)])
        world.finish()
    finally:
        world.close()
    calls = [execution for executions in world.ledger.executions.values() for execution in executions]
    return [execution.place.offset for execution in sorted(calls, key=lambda execution: execution.call)]


def test_the_next_owner_begins_again_at_the_record_whose_output_was_refused_and_skips_nothing_of_its_key():
    assert hand_over_behind_a_refused_output() == [0, 1, 0, 1, 2]


def test_a_map_in_spite_of_the_refusal_would_let_it_overtake():
    with (
        mock.patch.object(Assignment, "to_commit", map_in_spite_of_refusals),
        pytest.raises(AssertionError, match="I4"),
    ):
        hand_over_behind_a_refused_output()
