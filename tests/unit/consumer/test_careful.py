"""After an owner's death: its successor finds the record that killed it, and hands out everything else."""

import pytest

from kafkaboot.client import TP, Committed
from kafkaboot.consumer import commit_note
from kafkaboot.consumer.careful import FOR, ROW, SINGLY
from kafkaboot.consumer.commit_note import Mark

TP0 = TP("orders", 0)


@pytest.fixture
def owner(desk, consumer, raw):
    """An owner that begins where the last one left off, and dies at a record of which it was told."""

    class Owner:
        def __init__(self, records, dies_at=None):
            consumer.marks.clear()
            consumer.commits.clear()
            consumer.chunks.clear()
            self.at = desk()
            consumer.assign(0)
            stands = consumer.stand.get(TP0)
            start = stands.offset if stands else 0
            consumer.give(*[raw(i) for i in range(start, records)])
            self.dies_at, self.handled, self.dead = dies_at, [], False

        def suspects(self):
            return self.at.poller.holdings[TP0].assignment.suspects

        def turn(self):
            """A round of the poller; then everything that was handed out is handled, unless the process dies of it."""
            self.at.turn()
            for said in [*consumer.marks, *consumer.commits]:
                consumer.stand[TP0] = said[TP0]
            for _, _, chunk, todo in self.at.work:
                for i in todo:
                    offset = chunk.records[i].offset()
                    if offset == self.dies_at and offset not in self.suspects():
                        self.dead = True
                        return
                    self.handled.append(offset)
            self.at.handle()

        def live(self, turns=200):
            for _ in range(turns):
                self.turn()
                if self.dead:
                    return self
                self.at.clock.advance(0.01)
            return self

    return Owner


def test_the_first_commit_says_that_somebody_is_at_work_before_any_record_is_handed_out(owner, consumer):
    one = owner(100)
    handed = []
    one.at.poller._hand_out = lambda work: handed.append((list(consumer.marks), work))
    one.at.turn()
    assert handed
    assert handed[0][0] == [{TP0: Committed(0, "ks1:0.0")}]


def test_an_owner_that_leaves_in_order_leaves_no_mark_and_its_successor_goes_at_full_speed(owner, consumer):
    one = owner(100).live(3)
    one.at.poller.revoked([TP0])
    assert consumer.commits[-1] == {TP0: Committed(100, "")}
    consumer.stand[TP0] = Committed(0, "")
    assert len(owner(1000).live(1).handled) == 1000


def test_a_record_that_kills_each_owner_is_not_handed_out_as_usual_by_the_fourth(owner, consumer):
    deaths = 0
    for _ in range(10):
        one = owner(1000, dies_at=333).live()
        if not one.dead:
            break
        deaths += 1
    assert deaths == 3
    assert 333 in one.handled, "it went to its handler's crew as a suspect"
    assert one.suspects() == {333: 3}
    assert one.handled == list(range(333, one.handled[-1] + 1)), "everything behind it flows"
    assert commit_note.read(consumer.stand[TP0]).mark is not None


def test_without_the_mark_a_record_that_kills_would_do_so_for_ever(owner, consumer):
    """The negative control: offsets alone do not tell that somebody died."""
    for _ in range(10):
        assert owner(1000, dies_at=333).live().dead
        consumer.stand[TP0] = consumer.stand[TP0]._replace(metadata="")


def test_one_death_makes_nobody_a_suspect_and_its_successor_goes_in_rows_until_the_place_lies_behind(owner, consumer):
    consumer.stand[TP0] = Committed(0, "ks1:0.0")
    one = owner(1000)
    one.turn()
    one.turn()
    assert one.handled == list(range(2 * ROW))
    assert {mark[TP0].metadata for mark in consumer.marks} == {f"ks1:1.{ROW}"}
    one.at.clock.advance(FOR)
    one.turn()
    assert len(one.handled) == 1000
    assert one.suspects() == {}
    assert one.at.poller.holdings[TP0].assignment.mark == Mark()


def test_after_two_deaths_records_go_one_by_one_behind_a_commit_each_and_then_as_usual(owner, consumer):
    consumer.stand[TP0] = Committed(0, f"ks1:1.{ROW}")
    one = owner(1000)
    for count in range(1, 4):
        one.turn()
        assert len(one.handled) == count
        assert consumer.stand[TP0] == Committed(count - 1, "ks1:2.1")
    one.live(SINGLY + 2)
    assert len(one.handled) == 1000


def test_a_row_waits_for_handlers_at_work_but_not_for_records_that_wait_for_their_retry(owner, consumer):
    consumer.stand[TP0] = Committed(0, f"ks1:0.{ROW}")
    one = owner(1000)
    one.at.turn()
    route, holding, chunk, _ = one.at.work[0]
    lanes = holding.lanes_of(route)
    one.at.turn(3)
    assert len(one.at.offsets()) == ROW, "nothing more while nobody has begun"
    lanes.running, lanes.finished = 1, ROW - 1
    one.at.turn(3)
    assert len(one.at.offsets()) == ROW, "nothing more while somebody is at work"
    lanes.running = 0
    lanes.failing.add(lanes._lane)
    chunk.done[: ROW - 1] = b"\1" * (ROW - 1)
    one.at.turn()
    assert len(one.at.offsets()) == 2 * ROW
