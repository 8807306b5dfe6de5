"""The engine under everything that can happen to it, in every order that Hypothesis thinks of.

Each mutant breaks one rule of the engine; the machine must notice.
"""

import logging
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from kafkaboot.client import TP
from kafkaboot.consumer import loop_crew
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


def test_machine():
    run_state_machine_as_test(Machine, settings=settings(max_examples=150, **COMMON))
