"""A large partition is compacted a slice at a time: clients are answered in between, and may change it."""

from __future__ import annotations

import time

import pytest

from kafkaboot.dev.embedded import retention
from kafkaboot.dev.embedded.node import Node, NodeSettings
from kafkaboot.dev.embedded.records import records_of
from kafkaboot.dev.embedded.retention import Retention
from tests.unit.dev.test_embedded_retention import batch

COMPACTING = {"cleanup.policy": "compact", "segment.bytes": "14", "min.cleanable.dirty.ratio": "0"}


class Desk:
    def __init__(self, batches, records=1):
        self.node = Node(NodeSettings())
        self.log = self.node.topics.create("t", 1, COMPACTING).partitions[0]
        self.retention, self.now = Retention(self.node), 0.0
        for n in range(batches):
            self.put(*((b"k%d" % at, b"%d" % n) for at in range(records)))

    def put(self, *records):
        assert self.log.append(batch(*records, at=int(time.time() * 1000)))[0].name == "none"

    def turn(self):
        """A tenth of a second; answers how long nobody was answered."""
        self.now += 0.1
        begin = time.perf_counter()
        self.retention.chore(self.now)
        return time.perf_counter() - begin

    def values(self):
        return [record.value for kept in self.log.batches for record in records_of(kept.raw)]


def test_a_large_partition_is_compacted_in_many_turns_none_of_which_is_long():
    desk, turns = Desk(batches=300, records=300), []
    while len(desk.log.batches) > 2:
        turns.append(desk.turn())
        assert len(turns) < 2_000
    assert len(turns) > 3
    assert sorted(turns)[len(turns) // 2] < 10 * retention.SLICE


@pytest.fixture
def one_batch_a_turn(monkeypatch):
    monkeypatch.setattr(retention, "SLICE", 0.0)


@pytest.mark.usefixtures("one_batch_a_turn")
def test_what_is_written_between_two_turns_is_there_afterwards():
    desk = Desk(batches=4)
    desk.turn()
    desk.put((b"k0", b"late"))
    for _ in range(40):
        desk.turn()
    assert desk.values() == [b"3", b"late"]  # the last batch is the tail, which is left alone


@pytest.mark.usefixtures("one_batch_a_turn")
def test_when_the_beginning_is_deleted_between_two_turns_nothing_comes_back():
    desk = Desk(batches=4)
    desk.turn()
    desk.log.delete_before(2)
    for _ in range(40):
        desk.turn()
        assert b"0" not in desk.values()
    assert desk.values() == [b"2", b"3"]


@pytest.mark.usefixtures("one_batch_a_turn")
def test_a_topic_that_is_deleted_between_two_turns_is_left_alone():
    desk = Desk(batches=4)
    desk.turn()
    desk.node.topics.delete("t")
    for _ in range(40):
        desk.turn()
    assert desk.values() == [b"0", b"1", b"2", b"3"]
