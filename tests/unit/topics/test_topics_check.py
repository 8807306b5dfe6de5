from __future__ import annotations

import logging

import pytest

from kafkaboot.client import TopicInfo, TopicSpec
from kafkaboot.config import load
from kafkaboot.errors import ClientError, ConfigurationError
from kafkaboot.topics import MissingTopicError, TopicSettings, TopicUse, look_up


class Cluster:
    """An `AdminPort` with a few topics; a created one is known after `late` further looks."""

    def __init__(self, *names: str, partitions: int = 3, late: int = 0):
        self.there = {name: TopicInfo(name, partitions) for name in names}
        self.created: list[TopicSpec] = []
        self._late = late

    def topics(self, timeout):
        if self.created and self._late:
            self._late -= 1
            return dict(self.there)
        return {**self.there, **{spec.name: TopicInfo(spec.name, 1) for spec in self.created}}

    def create_topics(self, specs, timeout):
        self.created += specs


BILL = TopicUse("orders", "handler bill takes it", "shop/handlers.py:21")
ISSUE = TopicUse("invoices", "handler bill publishes to it", "shop/handlers.py:22")


def test_topics_that_are_there_need_nothing():
    cluster = Cluster("orders", "invoices")

    assert look_up(cluster, [BILL, ISSUE], {}, "validate") == []
    assert look_up(cluster, [BILL, ISSUE], {}, "create") == []
    assert cluster.created == []


def test_a_missing_topic_names_who_needs_it_and_what_its_name_is_near_to():
    with pytest.raises(MissingTopicError) as raised:
        look_up(Cluster("ordres", "__consumer_offsets"), [BILL, ISSUE], {}, "validate")

    assert str(raised.value) == (
        "topic 'orders' does not exist\n"
        "  handler bill takes it (shop/handlers.py:21)\n"
        "  near to it: ordres\n"
        "topic 'invoices' does not exist\n"
        "  handler bill publishes to it (shop/handlers.py:22)\n"
        "  To do: correct the name, create the topic, or let it be created: kafkaboot.kafka.topics: create "
        "(a topic that this application's user may not see looks the same)"
    )


def test_missing_topics_are_created_as_declared_and_waited_for():
    cluster = Cluster("orders", late=2)
    declared = {"invoices": TopicSettings(partitions=12, replication=3), "archive": TopicSettings()}

    assert look_up(cluster, [BILL, ISSUE], declared, "create") == ["invoices", "archive"]
    assert cluster.created == [TopicSpec("invoices", 12, 3), TopicSpec("archive", -1, -1)]


def test_a_single_broker_gets_one_copy_whatever_was_asked_for():
    cluster = Cluster()

    look_up(cluster, [BILL], {"orders": TopicSettings(replication=3)}, "create", single_broker=True)
    assert cluster.created == [TopicSpec("orders", -1, 1)]


def test_a_created_topic_that_never_becomes_known_is_told():
    with pytest.raises(ClientError) as raised:
        look_up(Cluster(late=1_000_000), [BILL], {}, "create", timeout=0.05)
    assert raised.value.what == "topics were created and are not known to the broker yet: orders"
    assert raised.value.retriable


def test_a_topic_that_may_not_be_looked_at_is_a_matter_of_permission():
    cluster = Cluster()
    cluster.there["orders"] = TopicInfo("orders", 0, "TOPIC_AUTHORIZATION_FAILED")

    with pytest.raises(ClientError) as raised:
        look_up(cluster, [BILL], {}, "validate")
    assert raised.value.code == "TOPIC_AUTHORIZATION_FAILED"
    assert str(raised.value).startswith(
        "shop/handlers.py:21: topic 'orders' may not be looked at (TOPIC_AUTHORIZATION_FAILED): handler bill takes it"
    )


def test_a_pattern_without_a_topic_is_said(caplog):
    pattern = TopicUse("^order.*", "handler all takes it", "shop/handlers.py:30", pattern=True)

    with caplog.at_level(logging.WARNING, "kafkaboot.topics"):
        look_up(Cluster("invoices"), [pattern], {}, "validate")
        look_up(Cluster("order-a"), [pattern], {}, "validate")
    assert [record.message for record in caplog.records] == [
        "no topic matches the pattern ^order.* yet: handler all takes it (shop/handlers.py:30)",
    ]


def test_a_pattern_is_content_with_a_topic_that_is_about_to_be_made(caplog):
    pattern = TopicUse("^order.*", "handler all takes it", "shop/handlers.py:30", pattern=True)

    assert look_up(Cluster(), [pattern, BILL], {}, "create") == ["orders"]
    assert caplog.records == []


def test_a_topics_configuration_is_written_in_peoples_units(tmp_path):
    (tmp_path / "application.yaml").write_text(
        "kafkaboot:\n"
        "  topics:\n"
        "    orders:\n"
        "      partitions: 12\n"
        "      config: {retention.ms: 7d, segment.bytes: 1MB, cleanup.policy: compact, retention.bytes: -1}\n"
        "    new.orders: {config: {unclean.leader.election.enable: false}}\n"
    )
    topics = load(environ={}, directory=tmp_path).bind("kafkaboot.topics", dict[str, TopicSettings])

    assert topics["orders"].spec("orders", single_broker=False).config == {
        "retention.ms": "604800000",
        "segment.bytes": "1048576",
        "cleanup.policy": "compact",
        "retention.bytes": "-1",
    }
    assert topics["new.orders"].spec("new.orders", single_broker=False).config == {
        "unclean.leader.election.enable": "false"
    }


def test_a_bad_unit_is_told_with_its_place(tmp_path):
    (tmp_path / "application.yaml").write_text("kafkaboot:\n  topics:\n    orders: {config: {retention.ms: week}}\n")

    with pytest.raises(ConfigurationError) as raised:
        load(environ={}, directory=tmp_path).bind("kafkaboot.topics", dict[str, TopicSettings])
    assert "application.yaml:3" in str(raised.value)
    assert "a duration is wanted" in str(raised.value)
