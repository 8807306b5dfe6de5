"""Reading: where it starts, how much a poll gives, pausing, patterns, topics that are not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.client import TP
from kafkaboot.testing.contract.cluster import spread

if TYPE_CHECKING:
    from kafkaboot.testing.contract.cluster import Cluster


class Reading:
    """What `ConsumerPort` promises of records."""

    def test_earliest_starts_with_the_first_record(self, cluster: Cluster) -> None:
        """For a group that has committed nothing."""
        topic = cluster.topic()
        cluster.publish(topic, b"1", b"2")
        seat = cluster.member(cluster.name("group"), topic)
        cluster.until(lambda: len(seat.records) == 2, seat)
        assert [(r.offset(), r.value()) for r in seat.records] == [(0, b"1"), (1, b"2")]

    def test_latest_starts_with_what_is_published_later(self, cluster: Cluster) -> None:
        """For a group that has committed nothing."""
        topic = cluster.topic()
        producer = cluster.producer()
        cluster.publish(topic, b"before", producer=producer)
        seat = cluster.settled(cluster.name("group"), topic, partitions=1, auto_offset_reset="latest")

        def heard() -> bool:
            cluster.publish(topic, b"after", producer=producer)
            return bool(seat.records)

        cluster.until(heard, seat)
        assert set(seat.values()) == {b"after"}

    def test_the_listener_says_where_a_partition_starts(self, cluster: Cluster) -> None:
        """One that it leaves out starts by the group's rule."""
        topic = cluster.topic(2)
        for partition in (0, 1):
            cluster.publish(topic, b"0", b"1", b"2", partition=partition)
        seat = cluster.member(cluster.name("group"), topic)
        seat.starts = {TP(topic, 1): 2}
        cluster.until(lambda: len(seat.records) >= 4, seat)
        assert spread(seat.records) == {0: [b"0", b"1", b"2"], 1: [b"2"]}

    def test_a_poll_gives_no_more_than_it_was_asked_for_and_nothing_twice(self, cluster: Cluster) -> None:
        """`limit` counts records, of all partitions together."""
        topic = cluster.topic(2)
        for partition in (0, 1):
            cluster.publish(topic, *[b"%d" % i for i in range(25)], partition=partition)
        seat = cluster.member(cluster.name("group"), topic)
        sizes = []

        def all_read() -> bool:
            sizes.append(len(seat.poll(limit=7)))
            return len(seat.records) >= 50

        cluster.until(all_read)
        assert max(sizes) <= 7
        assert {p: values == [b"%d" % i for i in range(25)] for p, values in spread(seat.records).items()} == {
            0: True,
            1: True,
        }

    def test_pausing_and_resuming_loses_nothing_and_doubles_nothing(self, cluster: Cluster) -> None:
        """Though the client has read ahead. The other partition goes on."""
        topic = cluster.topic(2)
        producer = cluster.producer()
        for partition in (0, 1):
            cluster.publish(topic, *[b"%d" % i for i in range(50)], producer=producer, partition=partition)
        seat = cluster.settled(cluster.name("group"), topic, partitions=2)
        paused = TP(topic, 0)
        cluster.until(lambda: seat.poll(limit=5))
        seat.consumer.pause([paused])
        before = len(spread(seat.records).get(0, []))
        cluster.until(lambda: len(spread(seat.records).get(1, [])) == 50, seat)
        cluster.publish(topic, b"50", producer=producer, partition=1)
        cluster.until(lambda: len(spread(seat.records)[1]) == 51, seat)
        assert len(spread(seat.records).get(0, [])) == before
        seat.consumer.resume([paused])
        cluster.until(lambda: len(spread(seat.records).get(0, [])) >= 50, seat)
        assert spread(seat.records) == {0: [b"%d" % i for i in range(50)], 1: [b"%d" % i for i in range(51)]}

    def test_pausing_what_is_not_assigned_changes_nothing(self, cluster: Cluster) -> None:
        """A partition may have gone a moment ago."""
        topic = cluster.topic()
        seat = cluster.settled(cluster.name("group"), topic, partitions=1)
        seat.consumer.pause([TP(topic, 9), TP("nowhere", 0)])
        seat.consumer.resume([TP(topic, 9), TP("nowhere", 0)])
        cluster.publish(topic, b"x")
        cluster.until(lambda: seat.values() == [b"x"], seat)

    def test_high_watermarks_follow_what_is_published(self, cluster: Cluster) -> None:
        """Of the assigned partitions, from memory."""
        topic = cluster.topic()
        seat = cluster.settled(cluster.name("group"), topic, partitions=1)
        cluster.publish(topic, b"1", b"2", b"3")
        cluster.until(lambda: len(seat.records) == 3, seat)
        assert seat.consumer.high_watermarks() == {TP(topic, 0): 3}
        assert cluster.admin.end_offsets([TP(topic, 0)], 20) == {TP(topic, 0): 3}

    def test_a_pattern_takes_the_topics_whose_names_match(self, cluster: Cluster) -> None:
        """A topic beginning with `^` is a pattern."""
        stem = cluster.name("pattern")
        wanted = {cluster.topic(name=f"{stem}.a"), cluster.topic(name=f"{stem}.b")}
        cluster.topic(name=f"other.{stem}.a")
        seat = cluster.settled(cluster.name("group"), f"^{stem}\\.", partitions=2)
        assert {tp.topic for tp in seat.holds} == wanted

    def test_a_topic_that_does_not_exist_is_an_error_with_a_code_and_the_others_are_read(
        self, cluster: Cluster
    ) -> None:
        """It may be created later."""
        topic, unknown = cluster.topic(), cluster.name("nowhere")
        cluster.publish(topic, b"x")
        seat = cluster.member(cluster.name("group"), topic, unknown)
        cluster.until(lambda: seat.errors and seat.records, seat)
        assert [(error.code, error.retriable, error.fatal) for error in seat.errors] == [
            ("UNKNOWN_TOPIC_OR_PART", True, False)
        ]
        assert unknown in str(seat.errors[0])
        assert seat.values() == [b"x"]
