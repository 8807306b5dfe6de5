import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kafkaboot.client import TP, Committed
from kafkaboot.consumer import commit_note, done_map
from kafkaboot.consumer.offsets import Assignment


@pytest.fixture
def assignment_of():
    return lambda **options: Assignment(TP("orders", 0), 1, **options)


def settle(chunk, *indices):
    for i in indices:
        chunk.done[i] = 1


def test_the_position_is_the_first_record_that_is_not_settled(raw, assignment_of):
    assignment = assignment_of()
    chunk, todo = assignment.take([raw(i) for i in range(5)])
    assert list(todo) == [0, 1, 2, 3, 4]
    assert assignment.advance() == 0
    settle(chunk, 0, 1, 3, 4)
    assert assignment.advance() == 2, "what is settled beyond the gap does not move it"
    settle(chunk, 2)
    assert assignment.advance() == 5


def test_nothing_is_committed_before_anything_was_delivered(assignment_of):
    assignment = assignment_of(committed=Committed(7))
    assert assignment.advance() is None
    assert assignment.to_commit() is None


def test_offsets_are_never_computed_from_one_another(raw, assignment_of):
    """Markers and compaction leave holes: the next record after 3 is 9."""
    assignment = assignment_of()
    first, _ = assignment.take([raw(3), raw(9), raw(20)])
    settle(first, 0)
    assert assignment.advance() == 9, "and not 4"
    settle(first, 1, 2)
    assert assignment.advance() == 21
    second, _ = assignment.take([raw(40)])
    assert assignment.advance() == 40, "and not 21, once the next delivered record is known"
    settle(second, 0)
    assert assignment.to_commit() == Committed(41)


def test_what_is_given_out_a_second_time_under_one_epoch_is_left_out(raw, assignment_of):
    assignment = assignment_of()
    first, _ = assignment.take([raw(i, b"%d" % i) for i in range(4)])
    again, todo = assignment.take([raw(i, b"%d" % i) for i in range(2, 6)])
    assert [again.records[i].offset() for i in todo] == [4, 5]
    nothing, todo = assignment.take([raw(5, b"5")])
    assert not todo
    assert nothing not in assignment.chunks
    settle(first, 0, 1, 2, 3)
    settle(again, 0)
    assert assignment.advance() == 5


@pytest.mark.parametrize("records", [[0, 1, 2], [3, 4]], ids=["that_end_before", "that_are_others"])
def test_control_offsets_that_begin_anew_are_new_records(records, raw, assignment_of):
    assignment = assignment_of()
    assignment.take([raw(i, b"old") for i in range(4)])
    chunk, todo = assignment.take([raw(i, b"new") for i in records])
    assert [chunk.records[i].offset() for i in todo] == records


def test_a_later_chunk_does_not_move_the_position_past_an_earlier_one(raw, assignment_of):
    assignment = assignment_of()
    first, _ = assignment.take([raw(0), raw(1)])
    second, _ = assignment.take([raw(2), raw(3)])
    settle(second, 0, 1)
    assert assignment.advance() == 0
    settle(first, 0, 1)
    assert assignment.advance() == 4


def test_what_the_broker_knows_is_not_committed_again(raw, assignment_of):
    assignment = assignment_of(committed=Committed(1))
    chunk, _ = assignment.take([raw(0), raw(1)])
    settle(chunk, 0)
    assert assignment.to_commit() is None
    settle(chunk, 1)
    assert assignment.to_commit() == Committed(2)


def test_settled_chunks_are_let_go_when_the_next_one_comes(raw, assignment_of):
    assignment = assignment_of()
    for i in range(100):
        chunk, _ = assignment.take([raw(i)])
        settle(chunk, 0)
    assert len(assignment.chunks) <= 1


def test_records_done_beyond_the_position_travel_with_the_commit_and_are_not_handled_again(raw, assignment_of):
    before = assignment_of(in_order=False)
    chunk, _ = before.take([raw(i) for i in (10, 11, 13, 14, 15)])
    settle(chunk, 1, 3)
    said = before.to_commit()
    assert said.offset == 10

    after = assignment_of(in_order=False, committed=said, note=commit_note.read(said))
    again, todo = after.take([raw(i) for i in (10, 11, 13, 14, 15)])
    assert [again.records[i].offset() for i in todo] == [10, 13, 15]
    settle(again, 0)
    assert after.advance() == 13
    settle(again, 2, 4)
    assert after.advance() == 16


def test_in_order_nothing_is_written_beside_the_offset(raw, assignment_of):
    assignment = assignment_of(in_order=True)
    chunk, _ = assignment.take([raw(i) for i in range(3)])
    settle(chunk, 1)
    assert assignment.to_commit() == Committed(0, "")


def test_what_is_known_to_be_done_is_still_known_when_only_a_part_of_it_has_come_again(raw, assignment_of):
    said = Committed(0, done_map.encode(0, [(0, False), *((i, True) for i in range(1, 8)), (8, False), (9, True)]))
    assignment = assignment_of(in_order=False, committed=said, note=commit_note.read(said))
    chunk, todo = assignment.take([raw(i) for i in range(4)])
    assert list(todo) == [0]
    answer = assignment.to_commit()
    assert commit_note.read(answer or said).done == [range(1, 8), range(9, 10)]
    settle(chunk, 0)
    answer = assignment.to_commit()
    assert answer.offset == 4
    assert commit_note.read(answer).done == [range(4, 8), range(9, 10)]
    rest, todo = assignment.take([raw(i) for i in range(4, 12)])
    assert [rest.records[i].offset() for i in todo] == [8, 10, 11]


def test_a_log_that_begins_anew_below_the_committed_offset_is_handled_whole(raw, assignment_of):
    said = Committed(100, done_map.encode(100, [(100, False), (101, True)]))
    assignment = assignment_of(in_order=False, committed=said, note=commit_note.read(said))
    assignment.take([raw(0), raw(1)])
    _, todo = assignment.take([raw(100), raw(101)])
    assert list(todo) == [0, 1], "the offset was reset: the map tells of records that are gone"


def test_a_partition_whose_map_is_about_to_outgrow_the_commit_is_crowded(raw, assignment_of):
    assignment = assignment_of(in_order=False)
    chunk, _ = assignment.take([raw(i) for i in range(6000)])
    settle(chunk, *range(1, 1600, 2))
    assignment.committed = assignment.to_commit()
    assert not assignment.crowded(10_000)
    settle(chunk, *range(1601, 6000, 2))
    assignment.committed = assignment.to_commit()
    assert len(assignment.committed.metadata) <= done_map.LIMIT
    assert assignment.crowded(10_000)
    settle(chunk, *range(0, 6000, 2))
    assignment.committed = assignment.to_commit()
    assert assignment.committed == Committed(6000, "")
    assert not assignment.crowded(10_000)


def test_whether_all_earlier_records_of_a_key_are_settled(raw, assignment_of):
    assignment = assignment_of(in_order=False)
    chunk, _ = assignment.take([raw(0, key=b"x"), raw(1, key=b"y"), raw(5, key=b"x"), raw(6, key=b"x")])
    later, _ = assignment.take([raw(9, key=b"x"), raw(10)])
    every = [*chunk.records, *later.records]
    assert [assignment.settled_before(record) for record in every] == [True, True, False, False, False, True]
    settle(chunk, 0, 3)
    assert [assignment.settled_before(record) for record in every] == [True, True, True, False, False, True]
    settle(chunk, 2)
    assert assignment.settled_before(every[4]), "another key's do not count"
    assignment.take([raw(20)])
    settle(chunk, 1)
    assignment.advance()
    assert assignment.settled_before(every[4]), "nor do those that were let go"


def test_what_remains_is_everything_from_the_first_unsettled_record_on(raw, assignment_of):
    assignment = assignment_of()
    first, _ = assignment.take([raw(i) for i in range(3)])
    assignment.take([raw(i) for i in range(3, 5)])
    settle(first, 0, 2)
    assert [[r.offset() for r in records] for records in assignment.remaining()] == [[1, 2], [3, 4]]
    assert assignment.unsettled() == 3


@given(st.sets(st.integers(0, 60)), st.integers(1, 61), st.lists(st.booleans(), min_size=61, max_size=61))
def test_a_second_restart_knows_as_much_as_the_first(done_before, again, settles):
    """Whatever part of the partition has come again, and whatever of it was settled: nothing done is forgotten."""
    record = type("R", (), {"__init__": lambda self, at: setattr(self, "at", at), "offset": lambda self: self.at})
    done_before.discard(0)
    said = Committed(0, done_map.encode(0, [(i, i in done_before) for i in range(61)]))
    assignment = Assignment(TP("orders", 0), 1, committed=said, note=commit_note.read(said), in_order=False)
    chunk, todo = assignment.take([record(i) for i in range(again)])
    assert set(todo) == set(range(again)) - done_before
    now_done = set(done_before)
    for i in todo:
        if settles[i]:
            chunk.done[i] = 1
            now_done.add(i)
    answer = assignment.to_commit() or said
    known = {offset for run in commit_note.read(answer).done for offset in run} | set(range(answer.offset))
    assert known == now_done | set(range(answer.offset))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # `raw` is a class
@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=12), min_size=1, max_size=5), st.integers(1, 3))
def test_the_map_of_what_is_done_beyond_is_the_one_that_a_look_at_every_record_would_write(raw, pattern, stride):
    assignment = Assignment(TP("t", 0), 1, in_order=False, transactional=True)
    offsets = iter(range(7, 1000, stride))
    for run in pattern:
        chunk, _ = assignment.take([raw(next(offsets)) for _ in run])
        settle(chunk, *[i for i, done in enumerate(run) if done])
    position = assignment.advance()
    every = [
        (chunk.records[i].offset(), bool(chunk.done[i]))
        for chunk in assignment.chunks
        for i in range(chunk.head, len(chunk.done))
    ]
    said = assignment.to_commit()
    assert said == Committed(position, done_map.encode(position, every))


def test_a_record_that_is_settled_while_the_map_is_written_is_in_it_or_not_and_takes_no_other_along(raw, assignment_of):
    assignment = assignment_of(in_order=False)
    chunk, _ = assignment.take([raw(i) for i in range(4)])
    settle(chunk, 1)
    walk = assignment._beyond()
    assert next(walk) == (0, False)
    settle(chunk, 0, 2)
    assert list(walk) == [(1, True), (2, True), (3, False)]
