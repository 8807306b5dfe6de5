"""Each check is shown the fault that it is there for, and a clean run that it must leave alone."""

from dataclasses import replace

import pytest

from kafkaboot.testing import history
from kafkaboot.testing.checker import Input, check
from kafkaboot.testing.executions import Place
from kafkaboot.testing.history import Event
from kafkaboot.testing.letters_seen import Carried, LetterSeen
from kafkaboot.testing.offsets_topic import Commit

MS = 1_000_000
EPOCH = 1_700_000_000_000  # milliseconds


class Run:
    """A history written by hand; times are milliseconds since its beginning."""

    def __init__(self, *keys, partition=0):
        self.events, self.commits, self.letters, seqs = [], [], [], {}
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

    def dies(self, *offsets):
        for offset in offsets:
            self.inputs[offset] = replace(self.inputs[offset], dies=True, carried=carried(offset))
        return self

    def given_up(self, process, offset, ms, letter=None, *, event=history.GIVEN_UP):
        """A handler's last attempt failed; its letter is written `letter`, where that is told."""
        wall = round((EPOCH + ms) * MS)
        self.events.append(Event(event, process, round(ms * MS), wall, "t", self.partition, offset))
        return self if letter is None else self.letter(offset, letter)

    def letter(self, offset, ms, of=None):
        place = Place("t", self.partition, offset)
        self.letters.append(LetterSeen(place, carried(offset if of is None else of), EPOCH + ms))
        return self

    def judged(self, **options):
        return check(self.events, self.inputs, self.commits, letters=self.letters, **options)


def carried(offset):
    return Carried(b"k", b"value %d" % offset, (("own", b"header"),))


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


def poisoned(*, letter=20):
    """Three records of which the second one must die; its handler has failed."""
    run = Run(*"aaa").dies(1).handled(7, 0, 0, 5).handled(7, 1, 6, 9, outcome=history.FAILED)
    return run.given_up(7, 1, 10, letter).handled(7, 2, 11, 15)


def test_a_run_whose_poison_is_in_the_dead_letters_is_clean():
    report = poisoned().committed(3, 25).judged()
    report.demand(records=3, letters=1)
    assert (report.handled, report.letters, report.letters_repeated) == (2, 1, 0)
    assert "dead letters 1  repeated 0" in str(report)


def test_poison_that_is_not_in_the_dead_letters_is_found():
    assert "must die, and is not in the dead letters" in poisoned(letter=None).judged().broken("I1")[0].what


def test_poison_that_was_handled_to_its_end_is_found():
    run = Run("a").dies(0).handled(7, 0, 0, 5).given_up(7, 0, 6, 10)
    assert [found.what for found in run.judged().violations] == ["t[0]@0 (id id0) must die, and was handled to its end"]


def test_a_dead_letter_of_a_record_that_need_not_die_is_found():
    assert "of t[0]@2, where id id2, which need not die" in poisoned().letter(2, 30).judged().broken("I1")[0].what


def test_a_dead_letter_of_a_record_that_never_was_is_found():
    assert "of t[0]@9, where nothing stands" in poisoned().letter(9, 30).judged().broken("I1")[0].what


@pytest.mark.parametrize("part", ["key", "value", "headers"])
def test_a_dead_letter_with_other_bytes_than_its_record_is_found(part):
    run = poisoned()
    other = carried(1)._replace(**{part: (("own", b"other"),) if part == "headers" else b"other"})
    run.letters = [replace(run.letters[0], carried=other)]
    assert "the dead letter of t[0]@1 carries" in run.judged().broken("I1")[0].what


def test_a_dead_letter_that_names_the_place_of_another_one_is_found():
    run = Run(*"aa").dies(0, 1).given_up(7, 0, 0).given_up(7, 1, 1).letter(0, 5, of=1).letter(1, 6, of=0)
    assert len(run.judged().broken("I1")) == 2


def test_a_dead_letter_written_again_after_its_writer_was_killed_is_legal_and_counted():
    run = poisoned().killed(7, 30).given_up(8, 1, 1000, 1010).committed(3, 1020)
    report = run.judged()
    assert not report.violations
    assert (report.letters, report.letters_repeated, report.letters_in_flight) == (2, 1, 1)


def test_a_dead_letter_whose_arrival_its_writer_knew_of_was_not_in_flight():
    run = poisoned().given_up(7, 1, 25, event=history.DEAD_LETTERED).killed(7, 30)
    assert run.judged().letters_in_flight == 0


def test_a_dead_letter_written_again_without_a_kill_is_found():
    run = poisoned().given_up(7, 1, 1000, 1010)
    assert "written again without a kill" in run.judged().broken("I3")[0].what
    asked = poisoned().fault(history.TERMINATED, 7, 25).fault(history.DIED, 7, 30).given_up(8, 1, 1000, 1010)
    assert broken(asked.judged()) == {"I3"}


def test_a_dead_letter_written_again_is_not_explained_by_the_death_of_another_process():
    assert broken(poisoned().killed(9, 30).given_up(8, 1, 1000, 1010).judged()) == {"I3"}


def test_a_dead_letter_written_again_before_the_kill_is_not_explained_by_it():
    assert broken(poisoned().letter(1, 25).killed(7, 30).judged()) == {"I3"}


def test_a_dead_letter_written_again_though_it_stood_there_long_before_the_kill_is_found():
    run = poisoned().killed(7, 5000).given_up(8, 1, 6000, 6010)
    assert not run.judged(uncommitted=10).violations
    assert broken(run.judged(uncommitted=1)) == {"I3"}


def test_a_dead_letter_written_again_behind_its_commit_is_found():
    run = poisoned().committed(2, 25).killed(7, 30).given_up(8, 1, 1000, 1010)
    assert "written again after its commit" in run.judged().broken("I3")[0].what


def test_a_commit_beyond_a_record_whose_letter_is_not_there_yet_is_found():
    run = poisoned(letter=100).committed(1, 16).committed(3, 50)
    assert "offset 3 was committed while t[0]@1 was not settled" in run.judged().broken("I5")[0].what
    assert not poisoned(letter=40).committed(1, 16).committed(3, 50).judged().violations


def test_a_replay_may_leave_out_what_was_handled_while_a_letter_was_on_its_way():
    run = poisoned(letter=None).killed(7, 30)
    run.inputs.append(Input(Place("t", 0, 3), "id3", "a", 3))
    run.handled(8, 1, 1000, 1001, outcome=history.FAILED).given_up(8, 1, 1002, 1010).handled(8, 3, 1020, 1030)
    assert not run.judged().violations


def test_a_replay_may_not_leave_out_what_nobody_had_handled_nor_jump_from_a_record_that_lives():
    run = Run(*"aaaa").dies(1).each_handled(7, [0], 0).handled(7, 1, 20, 25, outcome=history.FAILED)
    run.given_up(7, 1, 26, 30).handled(7, 3, 40, 45).handled(7, 2, 50, 55)
    assert broken(run.judged()) == {"I4"}
    run = Run(*"aaaa").dies(1).handled(7, 0, 0, 5).handled(7, 1, 6, 9, outcome=history.FAILED).given_up(7, 1, 10, 12)
    run.each_handled(7, [2], 20).killed(7, 40).each_handled(8, [0, 3], 1000)
    assert broken(run.judged()) == {"I4"}


def test_poison_whose_bytes_reach_no_handler_is_no_gap():
    run = Run(*"aaa").dies(1).each_handled(7, [0, 2], 0).given_up(7, 1, 5, 8)
    assert not run.judged().violations


def test_a_clean_run_with_too_little_in_it_is_no_evidence():
    report = poisoned().committed(3, 25).judged()
    report.demand(records=2)
    floors = [{"records": 4}, {"faults": 1}, {"in_flight": 1}, {"commits": 2}, {"letters": 2}, {"letters_in_flight": 1}]
    for floor in floors:
        with pytest.raises(AssertionError, match="no evidence"):
            report.demand(**{"records": 2} | floor)


def test_the_report_prints_what_a_reader_asks_for():
    run = Run(*"aab").each_handled(7, [0, 1], 0).killed(7, 30).handled(8, 2, 1500, 1530)
    text = str(run.judged(seed=42))
    for part in ("records 3", "seed 42", "1 killed", "lost 0", "duplicated 0", "out of order 0", "recovery p50 1.50 s"):
        assert part in text
