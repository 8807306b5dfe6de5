from __future__ import annotations

import logging

import pytest

from kafkaboot.topics import TopicSettings, UnfitTopicError, hold
from tests.unit.topics.conftest import LETTERS, TAKES

DECLARED = {
    "orders": TopicSettings(partitions=6, replication=3, config={"retention.ms": "7d", "segment.ms": "1h"}),
    "later": TopicSettings(partitions=9),
}
PLACES = {"orders.partitions": "a.yaml:3", "orders.replication": "a.yaml:4", "orders.config.segment.ms": "a.yaml:5"}


@pytest.fixture
def look(admin):
    return lambda strict, **options: hold(admin, [TAKES, LETTERS], DECLARED, PLACES, strict=strict, **options)


def test_a_topic_that_is_as_it_is_said_holds(look, kafka):
    kafka.create("orders", 6, {"segment.ms": "3600000", "max.message.bytes": "9"}, replication=3)
    look(strict=True)


def test_strictly_all_that_is_otherwise_is_refused_with_file_and_line(look, kafka):
    kafka.create("orders", 4)
    kafka.create("later", 12)
    with pytest.raises(UnfitTopicError) as caught:
        look(strict=True)
    assert caught.value.what == (
        "a.yaml:3: topic orders: partitions is 4, and 6 is wanted\n"
        "a.yaml:5: topic orders: segment.ms is 604800000, and 3600000 is wanted\n"
        "a.yaml:4: topic orders: replication is 1, and 3 is wanted (kafkaboot moves no replicas between brokers)\n"
        "topic later: partitions is 12, and 9 is wanted (Kafka takes no partitions away)"
    )
    assert "kafkaboot topics plan" in caught.value.todo
    assert len(kafka.topics["orders"]) == 4


def test_otherwise_it_is_told_and_the_application_starts(look, kafka, caplog):
    kafka.create("orders", 4, {"segment.ms": "3600000"})
    with caplog.at_level(logging.WARNING, "kafkaboot.topics"):
        look(strict=False, single_broker=True)
    assert [record.message for record in caplog.records] == [
        "a.yaml:3: topic orders: partitions is 4, and 6 is wanted; see kafkaboot topics plan"
    ]


def test_a_topic_whose_settings_may_not_be_looked_at_does_not_hold(look, kafka):
    kafka.create("orders", 6, replication=3)
    kafka.denied["orders"] = {"DESCRIBE_CONFIGS"}
    with pytest.raises(UnfitTopicError, match="DescribeConfigs"):
        look(strict=True)


def test_what_is_missing_and_what_is_not_declared_is_others_business(look, kafka):
    kafka.create(LETTERS.topic, 1)
    look(strict=True)
