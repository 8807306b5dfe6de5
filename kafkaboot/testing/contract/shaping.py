"""What topics are made of: their partitions and settings, told, tried and changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kafkaboot.client import TopicSetting, TopicSpec
from kafkaboot.errors import ClientError

if TYPE_CHECKING:
    from kafkaboot.client import TopicInfo
    from kafkaboot.testing.contract.cluster import Cluster

TIMEOUT = 20.0


class Shaping:
    """What `AdminPort` promises of topics."""

    def test_a_topic_tells_its_partitions_and_copies(self, cluster: Cluster) -> None:
        """As it was made."""
        found = _info(cluster, cluster.topic(3))
        assert (found.partitions, found.replication, found.error) == (3, 1, "")

    def test_a_topic_grows_and_a_member_is_given_the_new_partitions(self, cluster: Cluster) -> None:
        """What was published before stays where it was."""
        topic = cluster.topic(1)
        cluster.publish(topic, b"before")
        cluster.admin.add_partitions(topic, 3, TIMEOUT)
        assert _info(cluster, topic).partitions == 3
        seat = cluster.settled(cluster.name("group"), topic, partitions=3)
        cluster.publish(topic, b"after", partition=2)
        cluster.until(lambda: len(seat.records) == 2, seat)
        assert {(record.partition(), record.value()) for record in seat.records} == {(0, b"before"), (2, b"after")}

    def test_a_topic_never_shrinks(self, cluster: Cluster) -> None:
        """Not by a dry run either, and as many as it has are no growth."""
        topic = cluster.topic(3)
        for total in (2, 3):
            for dry_run in (True, False):
                with pytest.raises(ClientError) as caught:
                    cluster.admin.add_partitions(topic, total, TIMEOUT, dry_run=dry_run)
                assert caught.value.code == "INVALID_PARTITIONS"
        assert _info(cluster, topic).partitions == 3

    def test_a_topic_that_is_not_there_cannot_grow_or_be_set(self, cluster: Cluster) -> None:
        """It is told, and not made."""
        name = cluster.name()
        with pytest.raises(ClientError, match="UNKNOWN_TOPIC_OR_PART"):
            cluster.admin.add_partitions(name, 2, TIMEOUT)
        with pytest.raises(ClientError, match="UNKNOWN_TOPIC_OR_PART"):
            cluster.admin.set_topic_settings(name, {"retention.ms": "1000"}, TIMEOUT)
        there = cluster.topic()
        found = cluster.admin.topic_settings([name, there], TIMEOUT)
        assert isinstance(found[name], ClientError)
        assert isinstance(found[there], dict)
        assert name not in cluster.admin.topics(TIMEOUT)

    def test_settings_tell_what_was_set_and_what_is_a_default(self, cluster: Cluster) -> None:
        """A default has a value all the same."""
        topic = cluster.name()
        cluster.admin.create_topics([TopicSpec(topic, 1, 1, {"retention.ms": "60000"})], TIMEOUT)
        assert _setting(cluster, topic, "retention.ms") == TopicSetting("60000", own=True)
        assert _setting(cluster, topic, "cleanup.policy") == TopicSetting("delete", own=False)

    def test_one_setting_is_changed_and_the_others_stay(self, cluster: Cluster) -> None:
        """KIP-339."""
        topic = cluster.name()
        cluster.admin.create_topics([TopicSpec(topic, 1, 1, {"retention.ms": "60000", "segment.ms": "7000"})], TIMEOUT)
        cluster.admin.set_topic_settings(topic, {"retention.ms": "90000"}, TIMEOUT)
        cluster.until(lambda: _setting(cluster, topic, "retention.ms") == TopicSetting("90000", own=True))
        assert _setting(cluster, topic, "segment.ms") == TopicSetting("7000", own=True)

    def test_a_setting_that_kafka_does_not_know_is_refused_with_all_that_came_with_it(self, cluster: Cluster) -> None:
        """By a dry run as well, and at creation."""
        topic, other = cluster.topic(), cluster.name()
        settings = {"segment.ms": "90000", "retention.mss": "1"}
        for dry_run in (True, False):
            with pytest.raises(ClientError, match="mss") as caught:
                cluster.admin.set_topic_settings(topic, settings, TIMEOUT, dry_run=dry_run)
            assert caught.value.code == "INVALID_CONFIG"
            with pytest.raises(ClientError, match="mss"):
                cluster.admin.create_topics([TopicSpec(other, 1, 1, settings)], TIMEOUT, dry_run=dry_run)
        assert not _setting(cluster, topic, "segment.ms").own
        assert other not in cluster.admin.topics(TIMEOUT)

    def test_a_dry_run_changes_nothing(self, cluster: Cluster) -> None:
        """Neither of a topic that is there, nor of one that is not."""
        topic, other = cluster.topic(2), cluster.name()
        cluster.admin.create_topics([TopicSpec(other, 1, 1)], TIMEOUT, dry_run=True)
        cluster.admin.add_partitions(topic, 5, TIMEOUT, dry_run=True)
        cluster.admin.set_topic_settings(topic, {"segment.ms": "90000"}, TIMEOUT, dry_run=True)
        cluster.admin.set_topic_settings(topic, {}, TIMEOUT)
        assert other not in cluster.admin.topics(TIMEOUT)
        assert _info(cluster, topic).partitions == 2
        assert not _setting(cluster, topic, "segment.ms").own
        assert cluster.admin.topic_settings([], TIMEOUT) == {}


def _info(cluster: Cluster, topic: str) -> TopicInfo:
    return cluster.admin.topics(TIMEOUT)[topic]


def _setting(cluster: Cluster, topic: str, name: str) -> TopicSetting:
    found = cluster.admin.topic_settings([topic], TIMEOUT)[topic]
    assert isinstance(found, dict), found
    return found[name]
