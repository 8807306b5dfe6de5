"""What the embedded broker forgets: by age, by size, and what newer records of the same key have replaced."""

from __future__ import annotations

import struct
import time

import crc32c
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from kafkaboot.dev.embedded import EmbeddedKafka, retention
from kafkaboot.dev.embedded.configs import checked, resolved
from kafkaboot.dev.embedded.log import PartitionLog
from kafkaboot.dev.embedded.node import Node, NodeSettings
from kafkaboot.dev.embedded.records import records_of
from kafkaboot.dev.embedded.retention import Retention
from kafkaboot.testing import eventually

DAY = 86_400_000
NOW = 100 * DAY


def varint(number):
    number = (number << 1) ^ (number >> 63)
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def blob(data):
    return varint(-1) if data is None else varint(len(data)) + data


def batch(*records, at=NOW, codec=0, producer=(-1, -1, -1), transactional=False, pack=bytes):
    """A batch of (key, value) at a time."""
    body = b""
    for delta, (key, value) in enumerate(records):
        one = b"\0" + varint(0) + varint(delta) + blob(key) + blob(value) + varint(0)
        body += varint(len(one)) + one
    attributes = codec | (0x10 if transactional else 0)
    tail = struct.pack(">hiqqqhii", attributes, len(records) - 1, at, at, *producer, len(records)) + pack(body)
    return struct.pack(">qiibI", 0, 9 + len(tail), 0, 2, crc32c.crc32c(tail)) + tail


class Desk:
    """One partition and the settings of its topic. A clock that a test turns."""

    def __init__(self, **config):
        pairs = {key.replace("_", "."): value for key, value in config.items()}
        self.settings = resolved(checked(pairs.items()))
        self.log = PartitionLog("t", 0)
        self.retention = Retention(Node(NodeSettings()))

    def put(self, *batches):
        for one in batches:
            error, _ = self.log.append(one)
            assert error.name == "none"

    def forget(self, now=NOW):
        for _ in self.retention.steps([self.log], self.settings, now):
            pass

    def left(self):
        """Offset, key and value of what is there."""
        return [(one.offset, one.key, one.value) for kept in self.log.batches for one in records_of(kept.raw)]

    def offsets(self):
        return [offset for offset, _, _ in self.left()]


def compacting(**config):
    """Every batch begins a new segment, so that all but the last are outside the tail."""
    desk = Desk(cleanup_policy="compact", segment_ms="1", **config)
    desk.at = NOW - DAY
    return desk


def ticks(desk, *batches_of_records, **more):
    """Each batch two milliseconds after the one before."""
    for records in batches_of_records:
        desk.at += 2
        desk.put(batch(*records, at=desk.at, **more))


# --- age and size


def test_records_older_than_the_retention_go_and_the_others_stay():
    desk = Desk(retention_ms="1000")
    desk.put(batch((b"a", b"1"), at=NOW - 1001), batch((b"b", b"2"), at=NOW - 1000), batch((b"c", b"3"), at=NOW))
    desk.forget()
    assert desk.left() == [(1, b"b", b"2"), (2, b"c", b"3")]
    assert (desk.log.start, desk.log.end) == (1, 3)


def test_an_old_record_behind_a_young_one_waits_for_it():
    desk = Desk(retention_ms="1000")
    desk.put(batch((b"a", b"1"), at=NOW), batch((b"b", b"2"), at=1))
    desk.forget()
    assert desk.offsets() == [0, 1]
    desk.forget(NOW + 1001)
    assert desk.offsets() == []
    assert (desk.log.start, desk.log.end) == (2, 2)


def test_a_retention_without_end_keeps_all():
    desk = Desk(retention_ms="-1")
    desk.put(batch((b"a", b"1"), at=1))
    desk.forget()
    assert desk.offsets() == [0]


def test_what_is_more_than_the_size_goes_from_the_front_and_never_below_it():
    one = batch((b"a", bytes(100)))
    desk = Desk(retention_bytes=str(2 * len(one)), retention_ms="-1")
    desk.put(*[one] * 5)
    desk.forget()
    assert desk.offsets() == [3, 4]
    desk.put(batch((b"a", bytes(10))))
    desk.forget()
    assert desk.offsets() == [3, 4, 5], "two batches of the three would be smaller than the size"


def test_nothing_of_an_open_transaction_goes_by_age():
    desk = Desk(retention_ms="1000")
    desk.put(batch((b"a", b"1"), at=1), batch((b"b", b"2"), at=1, producer=(7, 0, 0), transactional=True))
    desk.forget()
    assert desk.offsets() == [1]
    desk.log.mark(7, 0, commit=True)
    desk.forget(int(time.time() * 1000) + 2000)
    assert desk.offsets() == []


def test_a_topic_that_only_compacts_keeps_what_is_old():
    desk = Desk(cleanup_policy="compact", retention_ms="1000")
    desk.put(batch((b"a", b"1"), at=1))
    desk.forget()
    assert desk.offsets() == [0]


# --- compaction


def test_the_newest_record_of_each_key_stays_with_its_offset_outside_the_tail():
    desk = compacting()
    ticks(
        desk, [(b"a", b"1"), (b"b", b"1")], [(b"a", b"2")], [(b"c", b"1"), (b"b", b"2"), (b"c", b"2")], [(b"a", b"3")]
    )
    size = desk.log.size
    desk.forget()
    assert desk.left() == [(2, b"a", b"2"), (4, b"b", b"2"), (5, b"c", b"2"), (6, b"a", b"3")]
    assert (desk.log.start, desk.log.end) == (0, 7)
    assert desk.log.size == sum(len(one.raw) for one in desk.log.batches) < size


def test_nothing_is_compacted_while_it_is_in_the_tail():
    desk = Desk(cleanup_policy="compact")
    desk.put(*[batch((b"a", b"1"))] * 10)
    desk.forget()
    assert len(desk.left()) == 10


def test_a_reader_goes_over_the_gaps():
    desk = compacting()
    ticks(desk, [(b"a", b"1")], [(b"a", b"2")], [(b"b", b"1")], [(b"z", b"z")])
    desk.forget()
    found = desk.log.read(0, 10**6, committed=True, at_least_one=True)
    assert [one.offset for raw in found for one in records_of(raw)] == [1, 2, 3]
    assert desk.log.offset_at(0)[0] == 1


def test_compaction_goes_on_with_what_came_since():
    desk = compacting()
    ticks(desk, [(b"a", b"1")], [(b"b", b"1")], [(b"z", b"z")])
    desk.forget()
    ticks(desk, [(b"a", b"2")], [(b"b", b"2")], [(b"z", b"y")])
    desk.forget()
    assert desk.left() == [(2, b"z", b"z"), (3, b"a", b"2"), (4, b"b", b"2"), (5, b"z", b"y")]


def test_little_that_is_new_is_left_until_there_is_more_or_it_has_waited_too_long():
    desk = compacting(max_compaction_lag_ms=str(10 * DAY))
    ticks(desk, *[[(str(number).encode(), bytes(50))] for number in range(10)], [(b"z", b"z")])
    desk.forget()
    ticks(desk, [(b"1", bytes(50))], [(b"z", b"z")])
    desk.forget()
    assert desk.offsets() == list(range(13))
    desk.forget(NOW + 20 * DAY)
    assert desk.offsets() == [0, *range(2, 13)]


def test_records_younger_than_the_lag_are_safe():
    desk = compacting(min_compaction_lag_ms=str(2 * DAY))
    ticks(desk, [(b"a", b"1")], [(b"a", b"2")], [(b"z", b"z")])
    desk.forget()
    assert desk.offsets() == [0, 1, 2]
    desk.forget(NOW + 2 * DAY)
    assert desk.offsets() == [1, 2]


def test_a_tombstone_stays_for_a_while_and_goes_then():
    desk = compacting(delete_retention_ms="5000")
    ticks(desk, [(b"a", b"1")], [(b"b", b"1")], [(b"a", None)], [(b"z", b"z")])
    desk.forget()
    assert desk.left() == [(1, b"b", b"1"), (2, b"a", None), (3, b"z", b"z")]
    desk.forget(NOW + 4999)
    assert desk.offsets() == [1, 2, 3]
    desk.forget(NOW + 5000)
    assert desk.offsets() == [1, 3]


def test_nothing_behind_the_last_stable_offset_is_touched():
    desk = compacting()
    ticks(desk, [(b"a", b"1")], [(b"a", b"2")])
    ticks(desk, [(b"a", b"3")], producer=(7, 0, 0), transactional=True)
    ticks(desk, [(b"a", b"4")], [(b"z", b"z")])
    desk.forget()
    assert desk.offsets() == [1, 2, 3, 4]


def test_an_aborted_record_replaces_nothing_and_goes():
    desk = compacting(delete_retention_ms="5000")
    ticks(desk, [(b"a", b"1")])
    ticks(desk, [(b"a", b"lie")], producer=(7, 0, 0), transactional=True)
    desk.log.mark(7, 0, commit=False)
    ticks(desk, [(b"a", b"2")], producer=(7, 0, 1), transactional=True)
    desk.log.mark(7, 0, commit=True)
    desk.at = int(time.time() * 1000)
    ticks(desk, [(b"z", b"z")], [(b"z", b"y")])
    desk.forget(desk.at)
    values = [value for _, key, value in desk.left() if key in {b"a", b"z"}]
    assert values == [b"2", b"z", b"y"]
    # Readers find the end of each transaction for as long as they may need it, and their list of aborted ones with it.
    assert [one.first for one in desk.log.aborted] == [1]
    desk.forget(desk.at + 5000)
    assert desk.log.aborted == []
    assert [value for _, _, value in desk.left()] == [b"2", b"z", b"y"]


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
def test_packed_batches_are_compacted_too(codec):
    import gzip

    import cramjam

    number = ["none", "gzip", "snappy", "lz4", "zstd"].index(codec)
    pack = {
        "gzip": gzip.compress,
        "snappy": cramjam.snappy.compress_raw,
        "lz4": cramjam.lz4.compress,
        "zstd": cramjam.zstd.compress,
    }[codec]
    desk = compacting()
    packed = {"codec": number, "pack": lambda body: bytes(pack(body))}
    ticks(desk, [(b"a", b"1"), (b"b", b"1")], [(b"a", b"2")], [(b"z", b"z")], **packed)
    desk.forget()
    assert desk.left() == [(1, b"b", b"1"), (2, b"a", b"2"), (3, b"z", b"z")]


def test_a_batch_that_cannot_be_read_leaves_its_partition_as_it_is_and_one_line_says_so(caplog):
    desk = compacting()
    ticks(desk, [(b"a", b"1")], [(b"a", b"2")])
    ticks(desk, [(b"b", b"1")], codec=4, pack=lambda _: b"garbage")
    ticks(desk, [(b"z", b"z")])
    before = desk.log.batches[:]
    desk.forget()
    desk.forget()
    assert desk.log.batches == before
    assert [line for line in caplog.messages if line.startswith("t [0] is not compacted")] == caplog.messages[:1]
    assert len(caplog.messages) == 1


# --- as a chore


def test_what_was_set_is_looked_at_often_and_defaults_seldom():
    node = Node(NodeSettings())
    chore = Retention(node).chore
    often, seldom = (
        node.topics.create("often", 1, {"retention.ms": "1000"}).partitions[0],
        node.topics.create("seldom", 1).partitions[0],
    )
    chore(1000.0)
    for partition in (often, seldom):
        partition.append(batch((b"a", b"1"), at=1))
    chore(1000.1)
    assert (often.start, seldom.start) == (0, 0)
    chore(1000.0 + retention.OFTEN)
    assert (often.start, seldom.start) == (1, 0)
    chore(1000.0 + retention.SELDOM)
    assert (often.start, seldom.start) == (1, 1)


def test_the_node_does_it_by_itself():
    with EmbeddedKafka() as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        admin.create_topics([NewTopic("short", 1, 1, config={"retention.ms": "1"})])["short"].result(10)
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
        producer.produce("short", b"v")
        assert producer.flush(10) == 0
        eventually(lambda: _read(broker, "short", 1) == [], 15)


def test_a_changelog_in_a_real_client_holds_the_newest_of_each_key(tmp_path):
    with EmbeddedKafka(data_dir=tmp_path) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        config = {"cleanup.policy": "compact", "segment.ms": "1", "min.cleanable.dirty.ratio": "0"}
        admin.create_topics([NewTopic("changes", 1, 1, config=config)])["changes"].result(10)
        producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "compression.type": "lz4", "linger.ms": 0})
        now = int(time.time() * 1000)
        for number in range(50):
            producer.produce("changes", str(number).encode(), str(number % 3).encode(), timestamp=now + 10 * number)
            assert producer.flush(10) == 0
        eventually(lambda: len(_read(broker, "changes", 50)) == 4, 15, lambda: _read(broker, "changes", 50))
        kept = _read(broker, "changes", 50)
    assert {key: value for _, key, value in kept} == {b"0": b"48", b"1": b"49", b"2": b"47"}
    with EmbeddedKafka(data_dir=tmp_path) as broker:
        assert _read(broker, "changes", 50) == kept, "it is kept so on disk"


def _read(broker, topic, end):
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "r", "enable.partition.eof": True})
    found = []
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        while True:
            message = consumer.poll(10)
            assert message is not None
            if message.error():
                assert message.offset() == end
                return found
            found.append((message.offset(), message.key(), message.value()))
    finally:
        consumer.close()
