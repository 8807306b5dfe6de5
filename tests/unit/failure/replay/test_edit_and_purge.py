"""A mended record, and letters that are deleted."""

from __future__ import annotations

import pytest

from kafkaboot.client.memory.faults import refusal
from kafkaboot.errors import PublishError
from kafkaboot.failure.replay import DONE, Errand, Place, Selection, WorkbenchError, refresh

LETTERS = "orders.shop.dlt"


def purge(desk, selection):
    with desk.bench() as bench:
        found = bench.catalogue()
        counted = bench.purgeable(selection, found)
        bench.purge(found, counted)
        return counted


def test_a_mended_record_goes_back_and_says_who_mended_it(desk):
    desk.letter(b'{"total": "x"}', origin=1, redrives=1)
    with desk.bench() as bench:
        letter = bench.letter(Place(0, 0))
        assert bench.send_edited(letter, b'{"total": "1"}') == "orders[1]@0"
        assert bench.mark(Place(0, 0)).state == "edited"
        (action,) = bench.catalogue().contents.actions.values()
    (record,) = desk.sent()
    assert (record.value(), record.key()) == (b'{"total": "1"}', b"k")
    assert record.headers() == [
        ("own", b"1"),
        ("kb-redrives", b"2"),
        ("kb-redriven-from", f"{LETTERS}[0]@0".encode()),
        ("kb-edited-by", b"ada@desk"),
    ]
    assert action.details == {"letter": f"{LETTERS}[0]@0", "sent": "orders[1]@0"}
    assert desk.sent(LETTERS)[0].value() == b'{"total": "x"}'


def test_a_mended_record_without_a_way_back_is_not_sent(desk):
    desk.letter(topic=None)
    with desk.bench() as bench:
        letter = bench.letter(Place(0, 0))
        with pytest.raises(WorkbenchError, match="names no source topic"):
            bench.send_edited(letter, b"{}")
        assert bench.send_edited(letter, b"{}", to="orders").startswith("orders[")


def test_a_mended_record_that_is_refused_leaves_the_letter_new(desk):
    desk.letter()
    desk.kafka.faults.deliveries.append(refusal("TOPIC_AUTHORIZATION_FAILED", "not allowed"))
    with desk.bench() as bench:
        with pytest.raises(PublishError, match="not allowed"):
            bench.send_edited(bench.letter(Place(0, 0)), b"{}")
        assert bench.mark(Place(0, 0)) is None


@pytest.mark.parametrize(
    ("place", "said"), [(Place(0, 9), "offsets 0 to 0"), (Place(1, 0), "is empty"), (Place(7, 0), "partitions 0 to 1")]
)
def test_a_letter_that_is_not_there_is_told_with_what_is(desk, place, said):
    desk.letter()
    with desk.bench() as bench, pytest.raises(WorkbenchError) as caught:
        bench.letter(place)
    assert said in caught.value.todo


def test_only_the_beginning_before_the_first_letter_that_stays_is_deleted(desk):
    for number in range(6):
        desk.letter(b"%d" % number, cause="odd" if number in {3, 5} else "even")
    desk.letter(b"x", partition=1, cause="even")
    desk.do(Errand("resolve", Selection(fingerprint="even")))
    with desk.bench() as bench:
        counted = bench.purgeable(Selection(states=DONE), bench.catalogue())
    assert (counted.letters, counted.before, counted.kept, counted.blockers) == (4, {0: 3, 1: 1}, 1, {0: 3})
    purge(desk, Selection(states=DONE))
    assert [record.value() for record in desk.sent(LETTERS)] == [b"3", b"4", b"5"]
    assert desk.states() == {"odd": {"new": 2}, "even": {"resolved": 1}}


def test_what_the_index_said_of_deleted_letters_is_taken_back(desk):
    for number in range(1500):
        desk.letter(b"%d" % number)
    desk.do(Errand("resolve", Selection()))
    refresh(desk.clients, LETTERS)
    assert purge(desk, Selection(states=DONE)).letters == 1500
    with desk.bench() as bench:
        found = bench.catalogue()
    assert (found.contents.blocks, found.contents.marks) == ({}, {})
    assert found.groups() == []
    assert [one.what for one in found.contents.actions.values()] == ["resolve began", "resolve finished", "purge"]


def test_nothing_is_deleted_while_it_is_only_counted(desk):
    desk.letter()
    with desk.bench() as bench:
        assert bench.purgeable(Selection(states=()), bench.catalogue()).states == {"new": 1}
    assert len(desk.sent(LETTERS)) == 1
