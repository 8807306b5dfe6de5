"""Looking on: reading from any place without a group, the ends of partitions, and deleting their beginnings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.client import TP

if TYPE_CHECKING:
    from kafkaboot.client import ReaderPort
    from kafkaboot.message import RawRecord
    from kafkaboot.testing.contract.cluster import Cluster

TIMEOUT = 20.0


class Looking:
    """What `ReaderPort` promises, and `AdminPort` of what it reads."""

    def test_a_reader_begins_where_it_is_told_and_knows_when_it_is_at_the_end(self, cluster: Cluster) -> None:
        """Each partition on its own."""
        topic = cluster.topic(2)
        for partition in (0, 1):
            cluster.publish(topic, *[b"%d" % number for number in range(10)], partition=partition)
        reader = cluster.clients.reader()
        reader.begin({TP(topic, 0): 7, TP(topic, 1): 9})
        found = _until(cluster, reader, {TP(topic, 0): 10, TP(topic, 1): 10})
        reader.close()
        assert sorted((record.partition(), record.offset()) for record in found) == [(0, 7), (0, 8), (0, 9), (1, 9)]

    def test_a_reader_that_begins_anew_gives_out_nothing_of_before(self, cluster: Cluster) -> None:
        """Whatever it had read ahead."""
        first, second = cluster.topic(), cluster.topic()
        cluster.publish(first, *[b"1"] * 50)
        cluster.publish(second, b"2")
        reader = cluster.clients.reader()
        reader.begin({TP(first, 0): 0})
        cluster.until(lambda: reader.poll(1, 0.1))
        reader.begin({TP(second, 0): 0})
        found = _until(cluster, reader, {TP(second, 0): 1})
        reader.close()
        assert [record.topic() for record in found] == [second]
        assert set(reader.positions) == {TP(second, 0)}

    def test_a_poll_gives_no_more_than_its_limit(self, cluster: Cluster) -> None:
        """What is left comes with the next."""
        topic = cluster.topic()
        cluster.publish(topic, *[b"1"] * 25)
        reader = cluster.clients.reader()
        reader.begin({TP(topic, 0): 0})
        sizes: list[int] = []

        def all_read() -> bool:
            sizes.append(len(reader.poll(10, 0.1)))
            return sum(sizes) == 25

        cluster.until(all_read)
        reader.close()
        assert max(sizes) <= 10

    def test_what_stands_before_an_offset_is_deleted_and_a_reader_begins_behind_it(self, cluster: Cluster) -> None:
        """The records behind it keep their offsets."""
        topic = cluster.topic()
        cluster.publish(topic, *[b"%d" % number for number in range(10)])
        tp = TP(topic, 0)
        cluster.admin.delete_records({tp: 6}, TIMEOUT)
        assert cluster.admin.begin_offsets([tp], TIMEOUT) == {tp: 6}
        assert cluster.admin.end_offsets([tp], TIMEOUT) == {tp: 10}
        reader = cluster.clients.reader()
        reader.begin({tp: 0})
        found = _until(cluster, reader, {tp: 10})
        reader.close()
        assert [record.offset() for record in found] == [6, 7, 8, 9]

    def test_the_members_of_a_group_are_counted(self, cluster: Cluster) -> None:
        """A group that nobody knows has none."""
        topic, group = cluster.topic(2), cluster.name("group")
        assert cluster.admin.group_members(group, TIMEOUT) == 0
        cluster.settled(group, topic, partitions=2)
        assert cluster.admin.group_members(group, TIMEOUT) == 1


def _until(cluster: Cluster, reader: ReaderPort, ends: dict[TP, int]) -> list[RawRecord]:
    found: list[RawRecord] = []

    def reached() -> bool:
        found.extend(reader.poll(100, 0.1))
        return all(reader.positions[tp] >= end for tp, end in ends.items())

    cluster.until(reached)
    return found
