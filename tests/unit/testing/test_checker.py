"""Each check is shown the fault that it is there for, and a clean run that it must leave alone."""

import pytest

from kafkaboot.testing import history
from kafkaboot.testing.checker import Input, check
from kafkaboot.testing.executions import Place
from kafkaboot.testing.history import Event
from kafkaboot.testing.offsets_topic import Commit

MS = 1_000_000
EPOCH = 1_700_000_000_000  # milliseconds


class Run:
    """A history written by hand; times are milliseconds since its beginning."""

    def __init__(self, *keys, partition=0):
        self.events, self.commits, seqs = [], [], {}
        self.inputs = []
        for offset, key in enumerate(keys):
            seqs[key] = seqs.get(key, -1) + 1
            self.inputs.append(Input(Place("t", partition, offset), f"id{offset}", key, seqs[key]))
            self.events.append(
                Event(history.ACKED, 1, 0, EPOCH * MS, "t", partition, offset, f"id{offset}", key, seqs[key])
            )
        self.partition = partition

    def handled(self, process, offset, start, end=None, *, outcome=history.ENDED, given=None):
        at = [(history.STARTED, start)] + ([(outcome, end)] if end is not None else [])
        for event, ms in at:
            wall = (EPOCH + ms) * MS
            name = given or f"id{offset}"
            self.events.append(Event(event, process, round(ms * MS), round(wall), "t", self.partition, offset, name))
        return self

    def each_handled(self, process, offsets, start, every=10):
        for step, offset in enumerate(offsets):
            self.handled(process, offset, start + step * every, start + step * every + every - 1)
        return self

    def fault(self, kind, about, ms):
        self.events.append(Event(kind, 1, round(ms * MS), round((EPOCH + ms) * MS), about=about))
        return self

    def killed(self, process, ms):
        return self.fault(history.KILLED, process, ms).fault(history.DIED, process, ms + 1)

    def committed(self, offset, ms):
        self.commits.append(Commit("g", "t", self.partition, offset, "", EPOCH + ms))
        return self

    def judged(self, **options):
        return check(self.events, self.inputs, self.commits, **options)


def broken(report):
    return {violation.invariant for violation in report.violations}


def test_a_run_without_faults_and_errors_is_clean():
    report = Run(*"abab").each_handled(7, range(4), 0).committed(2, 25).committed(4, 40).judged()
    report.demand(records=4, commits=2)
    assert (report.records, report.handled, report.repeated) == (4, 4, 0)


def test_a_record_that_nobody_handled_is_lost():
    report = Run(*"aba").each_handled(7, [0, 1], 0).judged()
    assert [found.what for found in report.broken("I1")] == ["t[0]@2 (id id2) was never handled to its end"]


def test_a_record_whose_handler_was_killed_and_not_called_again_is_lost():
    report = Run("a").handled(7, 0, 0).killed(7, 5).judged()
    assert broken(report) == {"I1"}


def test_an_acknowledged_record_that_is_not_in_the_topic_is_lost():
    run = Run(*"ab").each_handled(7, [0], 0)
    run.inputs.pop()
    assert "is not in the topic" in run.judged().broken("I1")[0].what


def test_a_handler_that_was_given_another_records_payload_is_found():
    report = Run(*"ab").handled(7, 0, 0, 1, given="id1").handled(7, 1, 2, 3).judged()
    assert "handled as id id1, where id0 stands" in report.broken("I1")[0].what


def test_a_repeat_after_a_kill_of_what_was_not_committed_is_legal_and_counted():
    run = Run(*"aaaa").each_handled(7, [0, 1, 2], 0).committed(1, 20).killed(7, 30).each_handled(8, [1, 2, 3], 1000)
    report = run.judged()
    assert not report.violations
    assert (report.repeated, report.faults) == (2, {"killed": 1})


def test_a_repeat_without_a_fault_is_found():
    report = Run(*"aa").each_handled(7, [0, 1], 0).each_handled(7, [1], 50).judged()
    assert "without a fault" in report.broken("I3")[0].what


def test_a_repeat_is_not_explained_by_the_death_of_another_process():
    report = Run(*"aa").each_handled(7, [0, 1], 0).killed(9, 30).each_handled(8, [1], 50).judged()
    assert broken(report) == {"I3"}


def test_a_repeat_is_not_explained_by_a_process_that_was_asked_to_stop():
    run = Run(*"aa").each_handled(7, [0, 1], 0).fault(history.TERMINATED, 7, 25).fault(history.DIED, 7, 30)
    assert broken(run.each_handled(8, [1], 50).judged()) == {"I3"}


def test_a_repeat_after_a_kill_of_what_was_committed_is_found():
    run = Run(*"aa").each_handled(7, [0, 1], 0).committed(2, 25).killed(7, 30).each_handled(8, [1], 1000)
    assert "ms after its commit" in run.judged().broken("I3")[0].what


def test_a_repeat_of_what_was_handled_long_before_the_kill_is_found():
    run = Run(*"aa").each_handled(7, [0, 1], 0).killed(7, 5000).each_handled(8, [0, 1], 6000)
    assert not run.judged(uncommitted=10).violations
    assert broken(run.judged(uncommitted=1)) == {"I3"}


def test_a_repeat_after_an_outage_of_the_broker_is_legal():
    run = Run(*"aa").each_handled(7, [0], 0).fault(history.BROKER_DOWN, 0, 20).each_handled(7, [1], 5000)
    run.fault(history.BROKER_UP, 0, 9000).each_handled(8, [0, 1], 9500)
    assert not run.judged().violations
    assert run.judged().recoveries == []


def test_a_record_that_raised_and_was_tried_again_is_no_repeat():
    report = Run("a").handled(7, 0, 0, 5, outcome=history.FAILED).handled(7, 0, 10, 15).judged()
    assert not report.violations
    assert (report.repeated, report.raised, report.interrupted) == (0, 1, 0)


def test_an_overtaken_record_is_found():
    report = Run(*"aaa").each_handled(7, [0, 2, 1], 0).judged(ordering="key")
    assert "overtook 1 earlier records of key a" in report.broken("I4")[0].what


def test_other_keys_may_overtake_under_key_order_and_not_under_partition_order():
    run = Run(*"ab").each_handled(7, [1, 0], 0)
    assert not run.judged(ordering="key").violations
    assert broken(run.judged(ordering="partition")) == {"I4"}


def test_no_order_is_asked_of_unordered():
    assert not Run(*"aaa").each_handled(7, [2, 0, 1], 0).judged(ordering="unordered").violations


def test_two_records_of_a_key_at_once_are_found():
    report = Run(*"aa").handled(7, 0, 0, 20).handled(7, 1, 10, 30).judged(ordering="key")
    assert "began before" in report.broken("I4")[0].what


def test_a_replay_with_a_hole_is_found():
    run = Run(*"aaaa").each_handled(7, [0, 1, 2], 0).killed(7, 30)
    whole = run.each_handled(8, [1, 2, 3], 1000)
    assert not whole.judged().violations
    holed = Run(*"aaaa").each_handled(7, [0, 1, 2], 0).killed(7, 30).each_handled(8, [1, 3], 1000)
    assert broken(holed.judged()) == {"I4"}


def test_a_number_that_the_producer_never_got_delivered_is_no_gap():
    run = Run(*"aaa").each_handled(7, [0, 2], 0)
    del run.inputs[1]
    del run.events[1]
    assert not run.judged().violations


def test_a_commit_before_its_record_was_handled_is_found_though_nothing_was_lost():
    run = Run(*"ab").each_handled(7, [0, 1], 0).committed(2, 15)
    assert "offset 2 was committed while t[0]@1 was not settled" in run.judged().broken("I5")[0].what


def test_a_commit_beyond_a_record_that_another_key_has_passed_is_found():
    run = Run(*"abb").handled(7, 0, 0, 100).handled(7, 1, 1, 5).handled(7, 2, 6, 10).committed(3, 50)
    assert "while t[0]@0 was not settled" in run.judged(ordering="key").broken("I5")[0].what


def test_a_commit_of_what_was_handled_is_not_early_to_the_millisecond():
    assert not Run("a").handled(7, 0, 0, 5).committed(1, 5).judged().violations


def test_two_processes_at_work_on_one_partition_are_found():
    run = Run(*"ab").handled(7, 0, 0, 50).handled(8, 1, 20, 30)
    assert "was at work on the same partition" in run.judged().broken("I6")[0].what
    assert not run.judged(fencing=0, ordering="unordered").broken("I4")


def test_a_process_that_does_not_know_yet_may_go_on_for_the_fencing_window():
    run = Run(*"ab").handled(7, 0, 0, 50).handled(8, 1, 20, 30)
    assert not run.judged(fencing=0.03).broken("I6")
    assert run.judged(fencing=0.02).broken("I6")


def test_a_killed_process_is_not_at_work_any_more():
    run = Run(*"aa").handled(7, 0, 0).killed(7, 10).each_handled(8, [0, 1], 1000)
    report = run.judged()
    assert not report.violations
    assert (report.in_flight, report.interrupted) == (1, 1)


def test_recovery_is_counted_from_the_kill_until_another_handles_the_partition():
    run = Run(*"aab").each_handled(7, [0, 1], 0).committed(2, 25).killed(7, 30).handled(8, 2, 1500, 1530)
    assert run.judged().recoveries == [1.5]


def test_recovery_begins_anew_when_the_successor_is_killed_before_it_has_handled_anything():
    run = Run(*"aab").each_handled(7, [0, 1], 0).committed(2, 25).killed(7, 30).killed(8, 1030)
    assert max(run.handled(9, 2, 2500, 2530).judged().recoveries) == 1.5


def test_recovery_is_counted_from_the_brokers_return_until_something_new_is_handled():
    run = Run(*"aa").each_handled(7, [0], 0).fault(history.BROKER_DOWN, 0, 20).fault(history.BROKER_UP, 0, 3000)
    assert run.each_handled(7, [0], 3100).handled(7, 1, 3200, 3500).judged().recoveries == [0.5]


def test_a_clean_run_with_too_little_in_it_is_no_evidence():
    report = Run(*"aa").each_handled(7, [0, 1], 0).committed(2, 20).judged()
    report.demand(records=2)
    for floor in ({"records": 3}, {"faults": 1}, {"in_flight": 1}, {"commits": 2}):
        with pytest.raises(AssertionError, match="no evidence"):
            report.demand(**{"records": 2} | floor)


def test_the_report_prints_what_a_reader_asks_for():
    run = Run(*"aab").each_handled(7, [0, 1], 0).killed(7, 30).handled(8, 2, 1500, 1530)
    text = str(run.judged(seed=42))
    for part in ("records 3", "seed 42", "1 killed", "lost 0", "duplicated 0", "out of order 0", "recovery p50 1.50 s"):
        assert part in text
