from __future__ import annotations

import pytest

from kafkaboot.client.memory.topic_settings import DEFAULTS
from kafkaboot.topics.losses import cost, same


@pytest.mark.parametrize(
    ("setting", "less", "more"),
    [
        ("retention.ms", "1000", "2000"),
        ("retention.ms", "9223372036854775806", "-1"),
        ("retention.bytes", "1000", "-1"),
        ("delete.retention.ms", "0", "1"),
        ("min.compaction.lag.ms", "0", "1"),
        ("max.message.bytes", "9", "10"),
        ("message.timestamp.before.max.ms", "1", "2"),
        ("message.timestamp.after.max.ms", "1", "2"),
        ("min.insync.replicas", "1", "2"),
        ("flush.ms", "2", "1"),
        ("flush.messages", "2", "1"),
        ("cleanup.policy", "compact,delete", "compact"),
        ("cleanup.policy", "delete, compact", "delete"),
        ("unclean.leader.election.enable", "true", "false"),
    ],
)
def test_one_direction_costs_something_and_the_other_nothing(setting, less, more):
    assert cost(setting, more, less)
    assert cost(setting, less, more) == ""


@pytest.mark.parametrize(("old", "new"), [("delete", "compact"), ("compact", "delete")])
def test_another_policy_costs_either_way(old, new):
    assert cost("cleanup.policy", old, new)


def test_more_copies_in_sync_than_there_are_would_refuse_every_record():
    assert "replication is 2" in cost("min.insync.replicas", "1", "3", 2)
    assert cost("min.insync.replicas", "1", "2", 2) == ""
    assert cost("min.insync.replicas", "1", "3", 0) == ""


def test_a_setting_that_nobody_here_knows_is_left_alone():
    assert "does not know" in cost("vendor.magic", "1", "2")


def test_every_setting_of_kafka_is_known():
    assert [name for name, default in DEFAULTS.items() if "does not know" in cost(name, default, default)] == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("compact,delete", "delete, compact"),
        ("true", "True"),
        ("0.5", "0.50"),
        ("604800000", "0604800000"),
        ("-1", " -1"),
    ],
)
def test_two_ways_of_writing_are_one_value(old, new):
    assert same(old, new)


@pytest.mark.parametrize(
    ("old", "new"), [("compact", "delete"), ("9223372036854775807", "9223372036854775806"), ("", "1"), ("a,b", "a")]
)
def test_two_values_are_two(old, new):
    assert not same(old, new)
