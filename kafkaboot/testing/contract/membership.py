"""Groups: who is told what, when and on which thread, when members come and go."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from kafkaboot.client import RESET, TP, Committed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.testing.contract.cluster import Cluster, Seat


class Membership:
    """What `RebalanceListener` is promised."""

    def test_the_listener_is_called_on_the_thread_that_polls_and_closes(self, cluster: Cluster) -> None:
        """Inside `poll_chunk` and `close`, and nowhere else."""
        topic, group = cluster.topic(), cluster.name("group")
        seat = cluster.member(group, topic)
        assert seat.calls == []
        cluster.until(lambda: seat.holds, seat)
        cluster.leave(seat)
        me = threading.get_ident()
        assert [call for call in seat.calls if call.partitions] == [
            ("assigned", (TP(topic, 0),), me),
            ("revoked", (TP(topic, 0),), me),
        ]

    def test_a_cooperative_member_keeps_what_stays_with_it(self, cluster: Cluster) -> None:
        """It is asked only for what goes to the other one, and reads the rest on without a break."""
        topic, group = cluster.topic(4), cluster.name("group")
        first = cluster.settled(group, topic, partitions=4)
        second = cluster.member(group, topic)
        cluster.until(lambda: len(first.holds) == len(second.holds) == 2, first, second)
        assert first.holds | second.holds == {TP(topic, partition) for partition in range(4)}
        taken = [tp for partitions in first.told("revoked") for tp in partitions]
        assert set(taken) == second.holds
        assert first.told("lost") == []
        assert [tp for partitions in first.told("assigned") for tp in partitions] == [TP(topic, p) for p in range(4)]

    def test_an_eager_member_gives_back_everything(self, cluster: Cluster) -> None:
        """The negative control of the test above."""
        topic, group = cluster.topic(4), cluster.name("group")
        eager = {"partition_assignment_strategy": "range"}
        first = cluster.settled(group, topic, partitions=4, **eager)
        second = cluster.member(group, topic, **eager)
        cluster.until(lambda: len(first.holds) == len(second.holds) == 2, first, second)
        assert first.told("revoked") == [tuple(TP(topic, partition) for partition in range(4))]
        assert first.holds | second.holds == {TP(topic, partition) for partition in range(4)}

    def test_a_partition_has_one_owner_at_a_time(self, cluster: Cluster) -> None:
        """It is revoked before it is assigned to another; with commits in between, every record is read once."""
        topic, group = cluster.topic(3), cluster.name("group")
        told: list[tuple[str, str, TP]] = []

        def watched(name: str) -> Seat:
            seat = cluster.member(group, topic)

            def revoked(partitions: Sequence[TP]) -> None:
                told.extend((name, "revoked", tp) for tp in partitions)
                read = {tp: [r.offset() for r in seat.records if r.partition() == tp.partition] for tp in partitions}
                seat.consumer.commit({tp: Committed(offsets[-1] + 1) for tp, offsets in read.items() if offsets}, None)

            seat.at_revoke = revoked
            return seat

        for partition in range(3):
            cluster.publish(topic, b"1", b"2", partition=partition)
        first = watched("first")
        cluster.until(lambda: len(first.records) == 6, first)
        second = watched("second")
        cluster.until(lambda: second.holds, first, second)
        assert not first.holds & second.holds
        for partition in range(3):
            cluster.publish(topic, b"3", partition=partition)
        cluster.until(lambda: len(first.records) + len(second.records) >= 9, first, second)
        cluster.leave(first)
        cluster.until(lambda: len(second.holds) == 3, second)
        cluster.publish(topic, b"4", partition=0)
        cluster.until(lambda: b"4" in second.values(), second)
        places = [(r.partition(), r.offset()) for r in first.records + second.records]
        assert len(places) == len(set(places)) == 10

    def test_who_leaves_hands_its_partitions_to_those_who_stay(self, cluster: Cluster) -> None:
        """At once: leaving does not wait for the session to end."""
        topic, group = cluster.topic(2), cluster.name("group")
        first = cluster.settled(group, topic, partitions=2)
        second = cluster.member(group, topic)
        cluster.until(lambda: len(first.holds) == len(second.holds) == 1, first, second)
        cluster.leave(first)
        cluster.until(lambda: len(second.holds) == 2, second)
        assert first.holds == set()

    def test_a_partition_that_comes_back_is_not_paused_any_more(self, cluster: Cluster) -> None:
        """Against librdkafka, which would keep it paused (confluent-kafka-go#193)."""
        topic, group = cluster.topic(2), cluster.name("group")
        first = cluster.settled(group, topic, partitions=2)
        first.consumer.pause([TP(topic, 0), TP(topic, 1)])
        second = cluster.member(group, topic)
        cluster.until(lambda: len(first.holds) == len(second.holds) == 1, first, second)
        gone = TP(topic, first.told("revoked")[0][0].partition)
        cluster.leave(second)
        cluster.until(lambda: len(first.holds) == 2, first)
        cluster.publish(topic, b"x", partition=gone.partition)
        cluster.publish(topic, b"y", partition=1 - gone.partition)
        cluster.until(lambda: first.records, first)
        assert first.values() == [b"x"]
        first.consumer.resume([TP(topic, 1 - gone.partition)])
        cluster.until(lambda: len(first.records) == 2, first)

    @pytest.mark.parametrize("late", [True, False])
    @pytest.mark.parametrize("reset", ["earliest", "latest"])
    def test_a_partition_starts_where_the_reset_says_at_once_or_late(
        self, cluster: Cluster, reset: str, late: bool
    ) -> None:
        """Until then it gives nothing. Where it was read to when it was held here before, means nothing."""
        topic, group = cluster.topic(2), cluster.name("group")
        cluster.publish(topic, b"old", partition=0)
        cluster.publish(topic, b"old", partition=1)
        first = cluster.member(group, topic, auto_offset_reset=reset)
        first.starts = {TP(topic, 0): 0, TP(topic, 1): 0}
        cluster.until(lambda: len(first.records) == 2, first)
        second = cluster.member(group, topic)
        cluster.until(lambda: len(first.holds) == len(second.holds) == 1, first, second)
        gone = TP(topic, first.told("revoked")[0][0].partition)
        first.records.clear()
        first.starts = {gone: None if late else RESET}
        cluster.leave(second)
        cluster.until(lambda: len(first.holds) == 2, first)
        if late:
            for _ in range(20):
                first.poll()
            assert first.records == []
            first.consumer.start(gone, RESET)

        def read() -> bool:
            cluster.publish(topic, b"new", partition=gone.partition)
            return bool(first.records)

        cluster.until(read, first)
        assert first.values()[0] == (b"old" if reset == "earliest" else b"new")

    def test_a_member_that_gets_nothing_is_told_so(self, cluster: Cluster) -> None:
        """It has joined, and may say that it is ready."""
        topic, group = cluster.topic(), cluster.name("group")
        first = cluster.settled(group, topic, partitions=1)
        second = cluster.member(group, topic)
        cluster.until(lambda: second.calls, first, second)
        assert second.told("assigned") == [()]
