"""After an owner's death: its successor finds the record that killed it, and hands out everything else."""

import pytest

from kafkaboot.client import TP, Committed
from kafkaboot.consumer import commit_note
from kafkaboot.consumer.careful import BEGINS, FOR, ROW, SINGLY
from kafkaboot.consumer.commit_note import Mark
from kafkaboot.errors import ClientError

TP0, TP1 = TP("orders", 0), TP("orders", 1)


@pytest.fixture
def owner(desk, consumer, raw):
    """An owner that begins where the last one left off, and dies at a record of which it was told."""

    class Owner:
        def __init__(self, records, dies_at=None, partitions=1):
            consumer.marks.clear()
            consumer.commits.clear()
            consumer.chunks.clear()
            self.at = desk()
            consumer.assign(*range(partitions))
            for partition in range(partitions):
                stands = consumer.stand.get(TP("orders", partition))
                start = stands.offset if stands else 0
                consumer.give(*[raw(i, partition=partition) for i in range(start, records)])
            self.dies_at, self.said, self.dead = dies_at, [], False
            self.seen = {partition: [] for partition in range(partitions)}

        @property
        def handled(self):
            return self.seen[0]

        def suspects(self, tp=TP0):
            return self.at.poller.holdings[tp].assignment.suspects

        def turn(self):
            """A round of the poller; then everything that was handed out is handled, unless the process dies of it."""
            self.at.turn()
            for said in [*consumer.commits, *consumer.marks]:
                consumer.stand |= said
                self.said.append(said)
            consumer.commits.clear()
            consumer.marks.clear()
            for _, holding, chunk, todo in self.at.work:
                for i in todo:
                    offset, tp = chunk.records[i].offset(), holding.assignment.tp
                    if (*tp[1:], offset) == (0, self.dies_at) and offset not in self.suspects():
                        self.dead = True
                        return
                    self.seen[tp.partition].append(offset)
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
    assert [mark[TP0].metadata for mark in one.said] == [f"ks1:1.{ROW}", "ks1:1.64.63", "ks1:1.64.127"]
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
        assert consumer.stand[TP0] == Committed(count - 1, f"ks1:2.1.{count - 1}")
    one.live(SINGLY + 2)
    assert len(one.handled) == 1000


def test_where_the_row_is_known_in_which_the_last_owner_died_only_that_goes_one_by_one(owner, consumer):
    consumer.stand[TP0] = Committed(10, f"ks1:1.{ROW}.25")
    one = owner(1000)
    for count in range(1, 17):
        one.turn()
        assert one.handled == list(range(10, 10 + count))
    one.turn()
    assert one.handled == list(range(10, 1000))


def test_a_death_right_behind_the_place_blames_no_record_that_is_done(owner, consumer):
    consumer.stand[TP0] = Committed(10, f"ks1:1.{ROW}.12")
    one = owner(1000)
    for _ in range(4):
        one.turn()
    assert one.handled[-1] == 999
    assert consumer.stand[TP0] == Committed(13, "ks1:0.0"), "written before everything else was handed out"


def test_a_death_while_nothing_is_there_blames_no_record_that_is_done(owner, consumer):
    consumer.stand[TP0] = Committed(10, f"ks1:1.{ROW}.40")
    one = owner(12)
    for _ in range(3):
        one.turn()
    assert one.handled == [10, 11]
    assert consumer.stand[TP0] == Committed(12, f"ks1:2.{ROW}.40")


def test_what_another_partition_was_at_when_its_process_died_is_no_suspect(owner, consumer):
    deaths, everything = 0, set()
    while (one := owner(300, dies_at=150, partitions=3).live(600)).dead:
        deaths += 1
    assert deaths == 3
    assert [one.suspects(TP("orders", partition)) for partition in range(3)] == [{150: 3}, {}, {}]
    for partition in range(3):
        everything |= {(partition, offset) for offset in one.seen[partition]}
        assert one.seen[partition][-1] == 299, "the rest flows"


def test_of_all_partitions_one_has_a_record_at_work_and_the_mark_of_the_others_names_none(owner, consumer):
    consumer.stand |= {TP0: Committed(0, f"ks1:1.{ROW}.5"), TP1: Committed(0, f"ks1:1.{ROW}.7")}
    one = owner(100, partitions=2)
    one.at.turn(5)
    ((_, holding, _, todo),) = one.at.work
    assert len(todo) == 1
    mine, other, end = (TP0, TP1, 5) if holding.assignment.tp == TP0 else (TP1, TP0, 7)
    assert {mine: Committed(0, "ks1:2.1.0")} in consumer.marks
    one.at.handle()
    one.at.turn()
    assert [holding.assignment.tp for _, holding, _, _ in one.at.work] == [other], "they take turns"
    assert consumer.marks[-1] == {mine: Committed(1, f"ks1:2.{ROW}.{end}"), other: Committed(0, "ks1:2.1.0")}


def test_a_record_that_does_not_begin_holds_up_no_other_partition_for_long(owner, consumer):
    consumer.stand |= dict.fromkeys((TP0, TP1), Committed(0, f"ks1:1.{ROW}.50"))
    one = owner(100, partitions=2)
    one.at.turn(5)
    assert len(one.at.offsets()) == 1
    one.at.clock.advance(BEGINS)
    one.at.turn()
    assert len({holding.assignment.tp for _, holding, _, _ in one.at.work}) == 2


def test_a_record_is_not_handed_out_singly_to_wait_behind_one_that_is_tried_again(owner, consumer):
    consumer.stand |= dict.fromkeys((TP0, TP1), Committed(0, f"ks1:1.{ROW}.50"))
    one = owner(100, partitions=2)
    one.at.turn(5)
    ((route, holding, _, _),) = one.at.work
    lanes, failing = holding.lanes_of(route), holding.assignment.tp
    lanes.failing.add(lanes._lane)
    one.at.work.clear()
    for _ in range(10):
        one.at.turn()
        assert [holding.assignment.tp for _, holding, _, _ in one.at.work] != [failing]
        one.at.handle()


@pytest.mark.parametrize("row", [0, ROW])
def test_what_was_not_marked_because_of_a_rebalance_is_not_handed_out_yet(owner, consumer, row):
    consumer.stand[TP0] = Committed(0, f"ks1:{1 if row else 0}.{row}")
    one = owner(300)
    one.at.turn()
    one.at.handle()
    keep, handed = consumer.commit, len(one.at.offsets())

    def refuse(offsets, done):
        raise ClientError("no", code="ILLEGAL_GENERATION")

    consumer.commit = refuse
    one.at.turn(5)
    assert len(one.at.offsets()) == handed
    consumer.commit = keep
    one.live(300)
    assert one.handled == list(range(one.handled[0], 300))


def test_a_suspect_is_still_one_when_its_partition_is_handled_again(owner, consumer):
    consumer.stand[TP0] = Committed(7, "ks1:2.1.7")
    one = owner(100)
    one.turn()
    assert one.suspects() == {7: 3}
    one.at.poller.undelivered(one.at.poller.holdings[TP0].assignment, "refused")
    one.at.turn()
    one.at.clock.advance(1)
    one.at.turn()
    fresh = one.at.poller.holdings[TP0].assignment
    assert (fresh.suspects, 7 in fresh.attempts) == ({7: 3}, True)


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
