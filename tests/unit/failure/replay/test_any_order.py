"""Whatever happens in whatever order, the index says what the letters say."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from kafkaboot.failure.letter import read
from kafkaboot.failure.replay import Errand, Selection, catalogue
from kafkaboot.failure.replay.keeper import Keeper

LETTERS = "orders.shop.dlt"
CAUSES = ("a", "b", "c")


class Model:
    """What a list must say, from the letters themselves."""

    def __init__(self, desk):
        self.desk = desk
        self.states = {}

    def expected(self):
        found = {}
        for record in self.desk.sent(LETTERS):
            letter = read(record)
            state = self.states.get((letter.partition, letter.offset), "new")
            found.setdefault(letter.fingerprint, Counter())[state] += 1
        return found

    def resolve(self, cause):
        for record in self.desk.sent(LETTERS):
            letter = read(record)
            place = (letter.partition, letter.offset)
            if letter.fingerprint == cause and place not in self.states:
                self.states[place] = "resolved"


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    for module in ("fold", "catalogue"):
        monkeypatch.setattr(f"kafkaboot.failure.replay.{module}.BLOCK", 7)


@pytest.mark.parametrize("run", range(12))
def test_the_list_is_what_the_letters_and_the_marks_say(desk, run):
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    model = Model(desk)
    keepers = [Keeper(desk.clients) for _ in range(3)]
    stale = []
    for step in range(60):
        what = chance.choice(["write"] * 5 + ["index"] * 3 + ["resolve", "retention", "stale", "hole"])
        if what == "write":
            for _ in range(chance.randrange(1, 9)):
                desk.letter(partition=chance.randrange(2), cause=chance.choice(CAUSES))
        elif what == "index":
            chance.choice(keepers).refresh(LETTERS)
        elif what == "resolve" and desk.sent(LETTERS):
            cause = chance.choice(CAUSES)
            with desk.bench() as bench:
                wanted = bench.plan(Errand("resolve", Selection(fingerprint=cause))).going
            if wanted:
                desk.do(Errand("resolve", Selection(fingerprint=cause)))
            model.resolve(cause)
        elif what == "retention":
            log = desk.kafka.topics[LETTERS][chance.randrange(2)]
            log.delete_before(chance.randrange(log.start, log.end + 1))
        elif what == "hole":
            desk.kafka.topics[LETTERS][chance.randrange(2)].leave_gap(chance.randrange(1, 4))
        elif f"{LETTERS}.index" in desk.kafka.topics:  # a writer that slept: what it wrote comes late
            rows = [record for record in desk.sent(f"{LETTERS}.index") if record.key().startswith(b"fold/")]
            stale += chance.sample(rows, min(len(rows), 2))
            if stale:
                late = stale.pop(0)
                desk.kafka.append(f"{LETTERS}.index", late.value(), late.key(), None, 0)
        with desk.bench() as bench:
            found = {one.fingerprint: Counter(one.states) for one in bench.catalogue().groups()}
        assert found == model.expected(), f"seed {seed}, step {step}: {what}"


def test_a_fold_does_not_depend_on_how_often_it_was_continued(desk):
    for number in range(50):
        desk.letter(b"%d" % number, partition=number % 2, cause=CAUSES[number % 3])
    at_once = Keeper(desk.clients).refresh(LETTERS).blocks
    piecemeal = catalogue.look(desk.clients.reader(), desk.clients.admin(), LETTERS, catalogue.Contents())
    ends = dict(piecemeal.ends)
    for end in range(1, 26):
        piecemeal.ends = {partition: min(end, last) for partition, last in ends.items()}
        piecemeal.contents.blocks.update(piecemeal.blocks)
        catalogue.fold(piecemeal, desk.clients.reader())
    assert piecemeal.blocks == at_once
