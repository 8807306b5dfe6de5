import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafkaboot.consumer import done_map


def known_of(position, text):
    return {offset for run in done_map.decode(position, text) for offset in run}


@st.composite
def delivered(draw, most=300):
    """`(offset, settled)` from a position on; offsets have holes; the first record is not settled."""
    position = draw(st.integers(0, 2**62))
    steps = draw(st.lists(st.tuples(st.integers(1, 2000), st.booleans()), min_size=0, max_size=most))
    records, offset = [(position, False)], position
    for step, settled in steps:
        offset += step
        records.append((offset, settled))
    return position, records


@given(delivered())
def test_what_was_written_is_read_back(example):
    position, records = example
    text = done_map.encode(position, records)
    known = done_map.decode(position, text)
    told = {offset for offset, _ in records if any(offset in run for run in known)}
    assert told == {offset for offset, settled in records if settled}
    assert known == sorted(known, key=lambda run: run.start)


@given(delivered(), st.integers(1, 5))
def test_offsets_that_were_never_delivered_are_not_claimed_before_or_behind(example, by):
    position, records = example
    known = done_map.decode(position, done_map.encode(position, records))
    assert not any(position - by in run or records[-1][0] + by in run for run in known)


@given(delivered(), st.data())
def test_a_changed_text_means_that_nothing_is_known(example, data):
    position, records = example
    text = done_map.encode(position, records)
    if text:
        at = data.draw(st.integers(0, len(text) - 1))
        other = data.draw(st.characters(codec="ascii").filter(lambda char: char != text[at]))
        changed = text[:at] + other + text[at + 1 :]
        assert done_map.decode(position, changed) in ([], done_map.decode(position, text))


@given(delivered(), st.data())
def test_a_cut_text_means_that_nothing_is_known(example, data):
    position, records = example
    text = done_map.encode(position, records)
    if text:
        cut = text[: data.draw(st.integers(0, len(text) - 1))]
        assert done_map.decode(position, cut) == []


@given(delivered(), st.integers(-1000, 1000).filter(bool))
def test_a_map_beside_another_offset_means_that_nothing_is_known(example, by):
    position, records = example
    text = done_map.encode(position, records)
    assert done_map.decode(max(0, position + by), text) == [] or position + by < 0


@given(st.text())
def test_a_foreign_text_means_that_nothing_is_known(text):
    assert done_map.decode(5, text) == []
    assert done_map.decode(5, f"kb1:{text}") == []


def test_a_good_map_is_believed():
    """The negative control of the tests above: it is not that nothing is ever known."""
    text = done_map.encode(5, [(5, False), (6, True), (7, True), (9, False), (10, True)])
    assert done_map.decode(5, text) == [range(6, 9), range(10, 11)], "8 was never delivered"


@given(st.integers(1, 40000), st.sampled_from([1, 2, 3, 200, 20_000]))
def test_a_map_never_outgrows_the_broker_s_limit_and_what_it_says_is_true(count, stride):
    records = [(1000 + i * stride, bool(i % 2)) for i in range(min(count, 8000))]
    text = done_map.encode(1000, records)
    assert len(text.encode()) <= done_map.LIMIT < 4096
    known = known_of(1000, text) if stride < 200 else set()
    assert not known & {offset for offset, settled in records if not settled}


def test_nothing_done_beyond_writes_nothing():
    assert done_map.encode(5, []) == ""
    assert done_map.encode(5, [(5, False), (6, False)]) == ""


@pytest.mark.parametrize("runs", [b"\x01\x80", b"\x80\x80", b"\x01\x01\xff"])
def test_runs_that_end_in_the_middle_of_a_number_claim_nothing_of_it(runs):
    text = "kb1:" + base64.b64encode(done_map._sum(5, runs) + runs).decode()
    assert done_map.decode(5, text) in ([], [range(6, 7)])


def test_a_map_of_a_hundred_million_records_is_read_without_their_memory():
    text = done_map.encode(5, [(5, False), (6, True), (100_000_006, True)])
    assert done_map.decode(5, text) == [range(6, 100_000_007)]
