"""The bytes are what an Apache Kafka 4.1 wrote."""

import struct

from kafkaboot.testing.offsets_topic import Commit, Generation, parse

COMMIT_KEY = b"\x00\x01\x00\x05shop1\x00\x06orders\x00\x00\x00\x02"


def test_a_commit_of_kafka_4_is_read_with_its_metadata_and_time():
    value = b"\x00\x04" + struct.pack(">qi", 41, -1) + b"\x06hello" + struct.pack(">q", 1795533608727) + b"\x00"
    assert parse(COMMIT_KEY, value, 5) == Commit("shop1", "orders", 2, 41, "hello", 1795533608727)


def test_metadata_longer_than_127_bytes_is_read():
    value = b"\x00\x04" + struct.pack(">qi", 41, -1) + b"\xad\x02" + b"x" * 300 + struct.pack(">q", 7) + b"\x00"
    assert parse(COMMIT_KEY, value, 5) == Commit("shop1", "orders", 2, 41, "x" * 300, 7)


def test_a_commit_of_older_brokers_is_read():
    three = b"\x00\x03" + struct.pack(">qi", 41, -1) + b"\x00\x02ab" + struct.pack(">q", 7)
    one = b"\x00\x01" + struct.pack(">q", 41) + b"\xff\xff" + struct.pack(">qq", 7, 8)
    assert parse(COMMIT_KEY, three, 5) == Commit("shop1", "orders", 2, 41, "ab", 7)
    assert parse(COMMIT_KEY, one, 5) == Commit("shop1", "orders", 2, 41, "", 7)


def test_the_generation_of_a_classic_group_is_read():
    value = b"\x00\x03\x00\x08consumer" + struct.pack(">i", 12) + b"\x00\x05range\xff\xff"
    assert parse(b"\x00\x02\x00\x05shop1", value, 5) == Generation("shop1", 12, 5)


def test_the_epoch_of_a_group_of_the_new_protocol_is_read():
    assert parse(b"\x00\x03\x00\x05shop1", b"\x00\x00\x00\x00\x00\x09\x00", 5) == Generation("shop1", 9, 5)


def test_tombstones_and_other_kinds_say_nothing():
    assert parse(COMMIT_KEY, None, 5) is None
    assert parse(None, b"x", 5) is None
    assert parse(b"\x00\x05\x00\x05shop1\x00\x01m", b"\x00\x00", 5) is None
