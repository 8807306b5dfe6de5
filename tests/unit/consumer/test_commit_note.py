import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafkaboot.client import Committed
from kafkaboot.consumer import commit_note
from kafkaboot.consumer.commit_note import Attempts, Mark

ATTEMPTS = st.dictionaries(
    st.integers(0, 2**40), st.builds(Attempts, st.integers(1, 10_000), st.integers(0, 2**33).map(float)), max_size=60
)


MARKS = st.builds(Mark, st.integers(0, 99), st.sampled_from([0, 1, 64]), st.none() | st.integers(0, 2**60))


@given(st.integers(0, 2**60), ATTEMPTS, st.none() | MARKS)
def test_what_was_written_is_read_back(position, distances, mark):
    attempts = {position + distance: failed for distance, failed in distances.items()}
    beyond = [(position, False), (position + 3, True), (position + 4, False)]
    text = commit_note.write(position, beyond, attempts.items(), mark)
    note = commit_note.read(Committed(position, text))
    assert note.done == [range(position + 3, position + 4)]
    assert note.attempts == dict(sorted(attempts.items())[: commit_note.ATTEMPTS])
    assert note.mark == mark
    assert len(text) < 4096


@given(st.integers(0, 2**60), ATTEMPTS.filter(bool), st.data())
def test_attempts_that_were_changed_on_the_way_are_not_believed(position, distances, data):
    attempts = {position + distance: failed for distance, failed in distances.items()}
    text = commit_note.write(position, None, attempts.items(), None)
    at = data.draw(st.integers(4, len(text) - 1))
    other = data.draw(st.sampled_from("ABCDwxyz0189+/").filter(lambda char: char != text[at]))
    known = commit_note.read(Committed(position, text[:at] + other + text[at + 1 :])).attempts
    assert known in ({}, dict(sorted(attempts.items())[: commit_note.ATTEMPTS]))  # the last digit has idle bits


def test_attempts_of_another_offset_are_not_believed():
    text = commit_note.write(7, None, [(7, Attempts(3, 5.0))], None)
    assert commit_note.read(Committed(7, text)).attempts == {7: Attempts(3, 5.0)}
    assert commit_note.read(Committed(8, text)).attempts == {}


@pytest.mark.parametrize(
    "text",
    ["ks1:", "ks1:3", "ks1:.1", "ks1:a.1", "ks1:1.²", "ks1:1.1.", "ks1:1.1.1.1", "ks2:1.1", "kf1:****", "kf1:AAAAAAAB"],
)
def test_a_part_that_does_not_check_out_says_nothing_and_leaves_the_others_alone(text):
    note = commit_note.read(Committed(5, f"{text} ks1:2.64.9\0"))
    assert (note.done, note.attempts, note.mark) == ([], {}, Mark(2, 64, 9))
    assert commit_note.read(Committed(5, text)).mark is None


def test_without_a_commit_or_an_offset_nothing_is_known():
    text = commit_note.write(5, [(5, False), (6, True)], [(5, Attempts(1, 1.0))], Mark())
    for committed in (None, Committed(None, text), Committed(5, ""), Committed(5, "somebody else's note")):
        assert commit_note.read(committed) == ([], {}, None)


def test_attempts_at_what_was_settled_meanwhile_are_left_out():
    """The failing records are looked up before the position, and workers go on in between."""
    text = commit_note.write(7, None, {5: Attempts(1, 5.0), 6: Attempts(2, 5.0), 9: Attempts(3, 5.0)}.items(), None)
    assert commit_note.read(Committed(7, text)).attempts == {9: Attempts(3, 5.0)}
