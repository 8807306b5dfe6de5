"""What a list knows without reading the letters."""

from __future__ import annotations

import pytest

from kafkaboot.errors import ClientError
from kafkaboot.failure.replay import Errand, Selection, refresh
from kafkaboot.failure.replay.catalogue import letter_topics
from kafkaboot.failure.replay.fold import BLOCK
from kafkaboot.topics import MissingTopicError

LETTERS = "orders.shop.dlt"


def fill(desk, count, partition=0):
    for number in range(count):
        desk.letter(b"%d" % number, partition=partition, cause="even" if number % 2 == 0 else "odd")


def test_letters_are_grouped_by_cause_with_first_last_count_and_sample(desk):
    desk.letter(b"1", at=1_764_000_000_000)
    desk.letter(b"2", at=1_764_003_600_000, partition=1)
    desk.letter(b"3", cause="value", exception="builtins.ValueError")
    with desk.bench() as bench:
        card, value = bench.catalogue().groups()
    assert (card.fingerprint, card.cause.count, card.states, card.cause.handler) == ("card", 2, {"new": 2}, "bill")
    assert (card.cause.first, card.cause.last) == (1_764_000_000_000, 1_764_003_600_000)
    assert (card.cause.sample, card.cause.message) == ((1, 0), "no 2")
    assert list(card.cause.hours.values()) == [1, 1]
    assert card.cause.targets == {"orders": 2}
    assert value.cause.exception == "builtins.ValueError"
    assert card.oldest == 1_764_000_000_000


def test_what_the_index_covers_is_not_read_again(desk):
    fill(desk, 2 * BLOCK + 300)
    with desk.bench() as bench:
        assert bench.catalogue().read == 2 * BLOCK + 300
        refresh(desk.clients, LETTERS)
        assert bench.catalogue().read == 0
        fill(desk, 10)
        found = bench.catalogue()
    assert found.read == 10
    assert sum(one.cause.count for one in found.groups()) == 2 * BLOCK + 310


def test_the_index_says_the_same_as_the_letters(desk):
    fill(desk, BLOCK + 77)
    fill(desk, 300, partition=1)
    with desk.bench() as bench:
        read = bench.catalogue().groups()
        refresh(desk.clients, LETTERS)
        assert bench.catalogue().groups() == read


def test_a_late_writer_only_makes_the_tail_longer(desk):
    fill(desk, 100)
    early = refresh(desk.clients, LETTERS)
    old = [record for record in desk.sent(f"{LETTERS}.index") if record.key() == b"fold/0/0"][-1]
    fill(desk, 100)
    refresh(desk.clients, LETTERS)
    desk.kafka.append(f"{LETTERS}.index", old.value(), old.key(), None, 0)
    with desk.bench() as bench:
        found = bench.catalogue()
    assert found.read == 100
    assert sum(one.cause.count for one in found.groups()) == 2 * sum(one.cause.count for one in early.groups())


def test_what_retention_has_deleted_is_counted_no_more(desk):
    fill(desk, 2 * BLOCK)
    refresh(desk.clients, LETTERS)
    desk.kafka.topics[LETTERS][0].delete_before(BLOCK + 400)
    with desk.bench() as bench:
        found = bench.catalogue()
        assert sum(one.cause.count for one in found.groups()) == 600
        assert found.read == 600, "only the block that has lost letters is read"
        refresh(desk.clients, LETTERS)
        assert bench.catalogue().read == 0


def test_holes_behind_the_last_letter_are_covered_too(desk):
    fill(desk, 10)
    desk.kafka.topics[LETTERS][0].leave_gap(5)
    refresh(desk.clients, LETTERS)
    with desk.bench() as bench:
        assert bench.catalogue().folded == []


def test_rows_of_another_version_are_counted_and_left_out(desk):
    fill(desk, 10)
    refresh(desk.clients, LETTERS)
    for key, row in ((b"fold/0/0", b"{}"), (b"fold/x", b"{}"), (b"mark/j", b"not json"), (b"novel/1", b"{}")):
        desk.kafka.append(f"{LETTERS}.index", row, key, None, 0)
    with desk.bench() as bench:
        found = bench.catalogue()
    assert found.contents.strange == 4
    assert sum(one.cause.count for one in found.groups()) == 10


def test_a_topic_that_is_not_there_is_told_with_near_names(desk):
    with desk.bench("orders.shop.dlq") as bench, pytest.raises(MissingTopicError) as caught:
        bench.catalogue()
    assert caught.value.todo == f"did you mean {LETTERS}?"
    with desk.bench("zzz") as bench, pytest.raises(MissingTopicError) as caught:
        bench.catalogue()
    assert LETTERS in caught.value.todo


def test_topics_of_letters_are_known_by_their_index_or_their_name():
    known = dict.fromkeys(["orders", "orders-dlt", "old.DLT", "odd", "odd.index", "a.dlt.parked", "x.dlq"])
    assert letter_topics(known) == ["a.dlt.parked", "odd", "old.DLT", "orders-dlt", "x.dlq"]


def test_the_oldest_new_letters_are_those_of_the_first_block_that_has_some(desk):
    for number in range(BLOCK + 10):
        desk.letter(at=1_764_000_000_000 + number * 1000)
    desk.do(Errand("resolve", Selection(until=1_764_000_000_000 + BLOCK * 1000)))
    with desk.bench() as bench:
        (card,) = bench.catalogue().groups()
    assert card.states == {"new": 10, "resolved": BLOCK}
    assert card.oldest == 1_764_000_000_000 + BLOCK * 1000


def test_a_broker_that_gives_out_nothing_is_an_error_and_no_endless_wait(desk, monkeypatch):
    fill(desk, 3)
    monkeypatch.setattr("kafkaboot.failure.replay.reading.PATIENCE", 0.0)
    reader = desk.clients.reader()
    monkeypatch.setattr(type(reader), "poll", lambda *_: [])
    with desk.bench() as bench, pytest.raises(ClientError, match="no record came"):
        bench.catalogue()
