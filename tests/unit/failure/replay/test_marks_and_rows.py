"""Rows of the index are read as they were written, and select what they say."""

from __future__ import annotations

import json
import random

import pytest

from kafkaboot.failure.letter import read
from kafkaboot.failure.replay import Errand, Job, Place, Selection
from kafkaboot.failure.replay.commands import arguments, command, of_errand
from kafkaboot.failure.replay.fold import Block
from kafkaboot.failure.replay.marks import Mark, Marking, States


def there_and_back(row):
    return type(row).of_json(json.loads(json.dumps(row.as_json())))


def test_every_row_is_what_it_was(desk):
    block = Block(0, 0, 0)
    block.add(read(desk.letter(b"1")))
    block.add(read(desk.letter(b"2", cause="other", topic=None)))
    errand = Errand("redrive", Selection(exception="E", record=Place(1, 2), since=3, states=("new", "parked")), "to", 9)
    job = Job("name", errand, "ada", 5, {0: 1}, {0: 9}, 4, "stopped", {"retried": 2})
    mark = Mark(0, "retried", "job", "ada", 1, {"f": [1, 2, 3, 7], "g": [5]})
    for row in (block, job, mark, Job("n", Errand("park", Selection(states=())), "b", 1, {}, {}, 0)):
        assert there_and_back(row) == row


def test_runs_of_offsets_hold_any_set_of_them():
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    for _ in range(50):
        offsets = sorted(chance.sample(range(300), chance.randrange(1, 300)))
        mark = Mark(0, "retried", "j", "a", 1, {"f": offsets})
        assert there_and_back(mark) == mark, f"seed {seed}"


def test_the_later_mark_counts():
    marks = [
        Mark(0, "retried", "one", "ada", 1, {"f": [1, 2, 3]}),
        Mark(0, "parked", "two", "bob", 2, {"f": [2]}),
        Mark(1, "resolved", "three", "bob", 3, {"g": [0]}),
    ]
    states = States(marks, {0: 2})
    assert [states.of(0, at) for at in range(5)] == ["new", "new", "parked", "retried", "new"]
    assert states.of(1, 0) == "resolved"
    assert states.mark(0, 2).by == "bob"
    assert states.done_by("one") == {"retried": 1}
    assert states.counts(1000) == {(0, 0, "f"): {"parked": 1, "retried": 1}, (1, 0, "g"): {"resolved": 1}}


def test_marks_are_made_by_partition_and_state():
    marking = Marking("job", "ada")
    for place in ((0, 5, "f", "retried"), (0, 6, "g", "retried"), (1, 5, "f", "parked"), (0, 7, "f", "retried")):
        marking.add(*place)
    assert marking.marks(9) == [
        Mark(0, "retried", "job", "ada", 9, {"f": [5, 7], "g": [6]}),
        Mark(1, "parked", "job", "ada", 9, {"f": [5]}),
    ]


@pytest.mark.parametrize(
    ("selection", "taken"),
    [
        (Selection(), True),
        (Selection(fingerprint="ca"), True),
        (Selection(fingerprint="d"), False),
        (Selection(exception="CardRefused"), True),
        (Selection(exception="shop.CardRefused"), True),
        (Selection(exception="Refused"), False),
        (Selection(handler="bill"), True),
        (Selection(handler="ship"), False),
        (Selection(record=Place(0, 0)), True),
        (Selection(record=Place(0, 1)), False),
        (Selection(since=1_764_000_000_000), True),
        (Selection(since=1_764_000_000_001), False),
        (Selection(until=1_764_000_000_000), False),
        (Selection(until=1_764_000_000_001), True),
        (Selection(states=("parked",)), False),
        (Selection(states=()), True),
        (Selection(handler="bill", exception="ValueError"), False),
    ],
)
def test_a_selection_takes_what_fits_all_that_it_says(desk, selection, taken):
    assert selection.takes(read(desk.letter()), "new") is taken


def test_a_command_is_written_as_a_shell_reads_it():
    selection = Selection(exception="E", record=Place(0, 7), since=1_764_000_000_000, states=("new", "retried"))
    assert command("replay", "a topic", selection, ["--job", "x y"]) == (
        "kafkaboot dlq replay 'a topic' --exception E --record 0@7 --since 2025-11-24T16:00:00Z "
        "--state new --state retried --job 'x y'"
    )
    assert arguments(Selection(states=())) == ["--state", "any"]
    assert of_errand("t", Errand("redrive", Selection(), "o", 5)) == (
        "kafkaboot dlq replay t --all --max-rounds 5 --to o"
    )
    assert of_errand("t", Errand("park", Selection(handler="h"))) == "kafkaboot dlq park t --handler h"
