"""Which keys wait: what is read of them at an assignment, in which turn their records go, and when they are free."""

from __future__ import annotations

import time
from collections import deque
from contextlib import contextmanager

import pytest

from kafkaboot.client import TP, Committed
from kafkaboot.client.memory import MemoryClients, MemoryKafka, refusal
from kafkaboot.consumer import Again, Detour, Failed, Settled, commit_note
from kafkaboot.failure import KeyOrder, RetryTopics, key_order
from kafkaboot.testing import eventually

SOURCE, RETRY = TP("orders", 0), TP("orders.shop.retry.1s", 0)
RETRIES = "shop.retry"
FOLLOWS = "goes behind an earlier record of its key"


class Writer:
    """Stands for `DeadLetters`: keeps what is handed to it until the test lets it arrive."""

    def __init__(self, kafka):
        self.kafka, self.jobs = kafka, deque()

    def send(self, failed, handler, group, topic, partition, settled, wanted, *, due, delivered):
        self.jobs.append((failed.record, TP(topic, partition), due, settled, wanted, delivered))

    def values(self):
        return [job[0].value() for job in self.jobs]

    def arrives(self):
        """The first is written, unless nobody wants it any more."""
        record, tp, _, settled, wanted, delivered = self.jobs.popleft()
        if not wanted():
            return False
        delivered(written(self.kafka, record.value(), record.key(), record.offset(), tp))
        settled()
        return True


def written(kafka, value, key, offset, tp=RETRY, handler=b"bill"):
    headers = [("kb-handler", handler), ("kb-original-offset", b"%d" % offset if isinstance(offset, int) else offset)]
    return kafka.append(tp.topic, value, key, headers, tp.partition)


class Desk:
    """A `KeyOrder` on a Kafka in memory, and what its crew would do with it."""

    def __init__(self, clients=MemoryClients, **options):
        self.kafka = MemoryKafka()
        for tp in (SOURCE, RETRY):
            self.kafka.create(tp.topic, 2)
        self.writer = Writer(self.kafka)
        self.order = KeyOrder(
            "bill", "shop", {SOURCE.topic: RETRY.topic}, RETRIES, clients(self.kafka), **options
        )  # fmt: skip
        self.topics = RetryTopics("bill", "shop", ["orders"], [1.0, 2.0], self.writer, self.order)
        self._check = self.order.check(self)
        self.settled = []

    def publish(self, value, key=b"x", partition=0):
        return self.kafka.append(SOURCE.topic, value, key, None, partition)

    def assigned(self, *partitions):
        self.order.on_rebalance("shop", "assigned", [(SOURCE.topic, p) for p in partitions or (0,)])

    def revoked(self, *partitions):
        self.order.on_rebalance("shop", "revoked", [(SOURCE.topic, p) for p in partitions or (0,)])

    def known(self, record):
        eventually(lambda: not isinstance(self.asked(record), Again), 5, "the partition is known")

    def follows(self):
        """In place of `RetryTopics`, whose verdict would put the record into the queue each time that it is asked."""
        return Detour("", lambda _: FOLLOWS)

    def asked(self, record):
        """What becomes of it: `None`, where the handler is called."""
        try:
            self._check(record)
        except Detour as detour:
            return detour.verdict(failed(record, detour))
        return None

    def sends(self, record, first=lambda: True, live=lambda: True):
        """The record fails, and goes to the retry topic."""
        way = self.topics.away(failed(record, RuntimeError(), first))
        way.send(lambda: self.settled.append(record.value()), live)

    def sends_behind(self, record):
        """The record follows."""
        assert self.asked(record) == FOLLOWS
        detour = self.topics.follows()
        detour.verdict(failed(record, detour)).send(lambda: self.settled.append(record.value()), lambda: True)

    def commits(self, offset, metadata=""):
        self.kafka.write_commit(self.kafka.group(RETRIES), "somebody", {RETRY: Committed(offset, metadata)})


def failed(record, error, first=lambda: True):
    return Failed(record, error, 1, time.time(), first)


@contextmanager
def desk(**options):
    made = Desk(**options)
    try:
        yield made
    finally:
        made.revoked(0, 1)
        eventually(lambda: made.order._thread is None, 5, "its thread has ended")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(key_order, "LOOK", 0.01)


# --- what is read at an assignment


class Unreadable(MemoryClients):
    """`group_offsets` fails for as long as it is told to; and readers keep what they have read while `silent`."""

    refused, silent, keeps = False, False, False

    def admin(self):
        made = super().admin()
        asked = made.group_offsets

        def group_offsets(*about):
            if type(self).refused:
                raise refusal("COORDINATOR_NOT_AVAILABLE") if type(self).refused is True else type(self).refused
            return asked(*about)

        made.group_offsets = group_offsets
        return made

    def reader(self):
        made = super().reader()
        poll = made.poll

        def polled(limit, timeout):
            found = poll(limit, timeout)
            type(self).keeps = type(self).silent
            while type(self).silent:
                time.sleep(0.002)
            return found

        made.poll = polled
        return made


@pytest.mark.parametrize(
    ("trouble", "how", "told"),
    [
        ("refused", True, "records of new partitions wait"),
        ("refused", RuntimeError("a bug"), "which keys wait in retry topics could not be looked up"),
        ("silent", True, ""),
    ],
    ids=["refused", "broken", "silent"],
)
def test_until_what_waits_can_be_read_the_records_of_a_new_partition_wait(trouble, how, told, monkeypatch, caplog):
    monkeypatch.setattr(Unreadable, trouble, how)
    with desk(clients=Unreadable) as shop:
        one, other = shop.publish(b"x1"), shop.publish(b"y1", b"y")
        written(shop.kafka, b"x0", b"x", 0)
        assert isinstance(shop.asked(one), Again), "before it is assigned, too"
        shop.assigned()
        eventually(lambda: told in caplog.text, 5, "a warning")
        for record in (one, other):
            verdict = shop.asked(record)
            assert isinstance(verdict, Again)
            assert not verdict.counts
            assert verdict.delay <= key_order.LOADING_MOST
        monkeypatch.setattr(Unreadable, trouble, False)
        shop.known(other)
        assert shop.asked(other) is None


def test_what_was_read_for_an_assignment_that_is_over_is_not_believed_in_the_next_one(monkeypatch):
    monkeypatch.setattr(Unreadable, "silent", True)
    monkeypatch.setattr(Unreadable, "keeps", False)
    with desk(clients=Unreadable) as shop:
        shop.publish(b"x1")
        one = shop.publish(b"x2")
        written(shop.kafka, b"y0", b"y", 0)
        shop.assigned()
        eventually(lambda: Unreadable.keeps, 5, "it has read")
        shop.revoked()
        written(shop.kafka, b"x1", b"x", 0)  # by who had the partition meanwhile
        shop.assigned()
        monkeypatch.setattr(Unreadable, "silent", False)
        shop.known(one)
        assert shop.asked(one) == FOLLOWS


def test_what_another_group_is_assigned_is_not_meant():
    with desk() as shop:
        one = shop.publish(b"x1")
        shop.order.on_rebalance("mail", "assigned", [tuple(SOURCE)])
        assert shop.order._thread is None
        shop.assigned()
        shop.known(one)
        shop.order.on_rebalance("mail", "revoked", [tuple(SOURCE)])
        assert shop.asked(one) is None


def test_a_key_with_a_record_in_the_retry_topic_waits_and_others_do_not():
    with desk() as shop:
        old, one, other = shop.publish(b"x1"), shop.publish(b"x2"), shop.publish(b"y1", b"y")
        written(shop.kafka, b"x1", b"x", old.offset())
        shop.assigned()
        shop.known(other)
        assert shop.asked(other) is None
        assert shop.asked(old) == Settled("retried_later"), "it stands there already"
        shop.sends_behind(one)
        assert shop.writer.values() == [b"x2"]
        assert shop.writer.jobs[0][2] == 0.0, "due at once: as soon as it is its turn"


def test_the_records_of_another_partition_and_of_another_handler_do_not_count():
    with desk() as shop:
        here, there = shop.publish(b"x1"), shop.publish(b"x1", partition=1)
        written(shop.kafka, b"x0", b"x", 0, handler=b"refund")
        written(shop.kafka, b"x0", b"x", 0, tp=TP(RETRY.topic, 1))
        shop.assigned(0, 1)
        shop.known(here)
        assert shop.asked(here) is None
        assert shop.asked(there) == Settled("retried_later")


@pytest.mark.parametrize("said", [10**12, 2, b"9" * 40, b"-1", b"one", b""])
def test_a_place_that_the_source_does_not_have_settles_nothing(said):
    """Forged, garbage, or from before the source was made anew."""
    with desk() as shop:
        records = [shop.publish(b"x1"), shop.publish(b"x2")]
        written(shop.kafka, b"x0", b"x", said)
        shop.assigned()
        shop.known(records[0])
        for record in records:
            assert shop.asked(record) == FOLLOWS, "it is handled there"


def done_beyond(*offsets):
    return commit_note.write(0, [(offset, offset in offsets) for offset in range(max(offsets) + 1)], (), None)


@pytest.mark.parametrize("repeats", [False, True])
def test_what_is_settled_beyond_the_offset_counts_unless_it_may_be_handled_again(repeats):
    with desk(repeats=repeats) as shop:
        other, one = shop.publish(b"y1", b"y"), shop.publish(b"x1")
        written(shop.kafka, b"y0", b"y", 0)
        written(shop.kafka, b"x0", b"x", 0)
        shop.commits(0, done_beyond(1))
        shop.assigned()
        shop.known(one)
        assert shop.asked(other) == Settled("retried_later")
        assert (shop.asked(one) is None) is not repeats


# --- one after the other


def test_a_record_is_written_once_the_one_before_it_has_arrived():
    with desk() as shop:
        records = [shop.publish(b"x%d" % at) for at in range(3)]
        shop.assigned()
        shop.known(records[0])
        for record in records:
            shop.sends(record)
        assert shop.writer.values() == [b"x0"]
        for at in range(3):
            assert shop.writer.values() == [b"x%d" % at]
            assert shop.writer.arrives()
        assert not shop.writer.jobs
        assert shop.settled == [b"x0", b"x1", b"x2"]
        assert [record.value() for record in shop.kafka.records(RETRY.topic)] == [b"x0", b"x1", b"x2"]


def test_the_first_is_not_written_before_what_it_comes_behind_is_settled():
    with desk() as shop:
        one, other, before = shop.publish(b"x1"), shop.publish(b"y1", b"y"), []
        shop.assigned()
        shop.known(one)
        shop.sends(one, first=lambda: bool(before))
        shop.sends(other)
        assert shop.writer.values() == [b"y1"], "another key's is"
        before.append("its letter has arrived")
        eventually(lambda: shop.writer.values() == [b"y1", b"x1"], 5, "it is written")


def test_what_waits_for_its_turn_is_left_to_the_next_owner_when_its_partition_goes():
    with desk() as shop:
        records, live = [shop.publish(b"x%d" % at) for at in range(3)], [True]
        asked = []

        def wanted():
            asked.append(live[0])
            return live[0]

        shop.assigned()
        shop.known(records[0])
        for record in records:
            shop.sends(record, live=wanted)
        live.clear()
        live.append(False)
        shop.revoked()
        assert not shop.writer.arrives(), "the first"
        assert not shop.writer.jobs, "nor those behind it"
        assert not shop.settled
        assert asked.count(False) == 3, "each was told once: more would be counted twice"
        shop.assigned()
        shop.known(records[0])
        assert shop.asked(records[0]) is None, "nothing arrived: the next owner begins with it"


def test_the_partition_s_next_owner_goes_on_behind_what_had_arrived():
    with desk() as shop:
        records = [shop.publish(b"x%d" % at) for at in range(3)]
        shop.assigned()
        shop.known(records[0])
        for record in records:
            shop.sends(record)
        assert shop.writer.arrives()
        shop.revoked()
        shop.writer.jobs.clear()
        shop.assigned()
        eventually(lambda: shop.asked(records[0]) == Settled("retried_later"), 5, "what had arrived is known")
        shop.sends_behind(records[1])
        assert shop.writer.values() == [b"x1"]


# --- free again


def test_a_key_is_free_once_all_its_records_there_are_settled():
    with desk() as shop:
        records = [shop.publish(b"x%d" % at) for at in range(4)]
        shop.assigned()
        shop.known(records[0])
        for record in records[:2]:
            shop.sends(record)
            shop.writer.arrives()
        assert shop.order.waiting() == 1
        shop.commits(1)
        eventually(
            lambda: isinstance(shop.asked(records[2]), Again), 5, "the next ones wait for the last in their lane"
        )
        shop.commits(2)
        eventually(lambda: shop.asked(records[2]) is None, 5, "it is free")
        assert shop.order.waiting() == 0


def test_where_the_last_ones_take_too_long_the_next_ones_follow_and_it_is_tried_again_later(monkeypatch):
    monkeypatch.setattr(key_order, "HOLD", 0.05)
    with desk() as shop:
        records = [shop.publish(b"x%d" % at) for at in range(4)]
        shop.assigned()
        shop.known(records[0])
        for record in records[:3]:
            shop.sends(record)
            shop.writer.arrives()
        key = shop.order._held[SOURCE][b"x"]
        key.pause = 60
        shop.commits(1)
        eventually(lambda: isinstance(shop.asked(records[3]), Again), 5, "they wait in their lane")
        eventually(lambda: not isinstance(shop.asked(records[3]), Again), 5, "and go on")
        assert shop.asked(records[3]) == FOLLOWS
        monkeypatch.setattr(key_order, "HOLD", 60)
        shop.commits(2)
        eventually(lambda: len(key.places) == 1, 5, "they get on")
        assert shop.asked(records[3]) == FOLLOWS, "it is too soon to wait for them again"
        key.hold_from = 0
        shop.sends_behind(records[3])
        shop.writer.arrives()
        shop.commits(3)
        eventually(lambda: isinstance(shop.asked(records[3]), Again), 5, "they wait once more")


def test_a_key_is_not_free_while_a_record_of_it_is_on_its_way():
    with desk() as shop:
        records = [shop.publish(b"x%d" % at) for at in range(2)]
        other = shop.publish(b"y1", b"y")
        shop.assigned()
        shop.known(records[0])
        shop.sends(records[0])
        shop.writer.arrives()
        shop.sends_behind(records[1])
        shop.sends(other)
        shop.writer.jobs.rotate(1)
        shop.writer.arrives()  # the other key's
        shop.commits(2)
        eventually(lambda: shop.order.waiting() == 1, 5, "the other key is free")
        assert shop.asked(records[1]) is not None
