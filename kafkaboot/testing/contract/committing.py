"""Committing: offsets and what is written beside them, with and without waiting, and refusals."""

from __future__ import annotations

import string
import threading
from typing import TYPE_CHECKING

from kafkaboot.client import TP, Committed
from kafkaboot.errors import ClientError
from kafkaboot.testing.contract.cluster import SESSION

if TYPE_CHECKING:
    from kafkaboot.testing.contract.cluster import Cluster, Seat

LONG = (string.ascii_letters + string.digits + "+/=:") * 61
"""4026 characters, of those that a map in base64 has."""


def commit_error(seat: Seat, offsets: dict[TP, Committed]) -> ClientError | None:
    """What a commit that is waited for raises."""
    try:
        seat.consumer.commit(offsets, None)
    except ClientError as error:
        return error
    return None


class Committing:
    """What `ConsumerPort` promises of offsets."""

    def test_what_was_committed_comes_back_with_its_metadata(self, cluster: Cluster) -> None:
        """4,000 characters of it; a partition without a commit has no offset."""
        topic, group = cluster.topic(3), cluster.name("group")
        seat = cluster.settled(group, topic, partitions=3)
        first, second, third = (TP(topic, partition) for partition in range(3))
        seat.consumer.commit({first: Committed(5, LONG[:4000]), second: Committed(7)}, None)
        known = {first: Committed(5, LONG[:4000]), second: Committed(7, ""), third: Committed(None, "")}
        assert seat.consumer.committed([first, second, third], 20) == known
        on_cluster = cluster.admin.group_offsets(group, 20)
        assert {tp: on_cluster.get(tp, Committed(None)) for tp in known} == known

    def test_metadata_of_an_earlier_commit_does_not_survive_the_next(self, cluster: Cluster) -> None:
        """A map that was true once would skip records."""
        topic, group = cluster.topic(), cluster.name("group")
        seat = cluster.settled(group, topic, partitions=1)
        tp = TP(topic, 0)
        seat.consumer.commit({tp: Committed(5, "map")}, None)
        seat.consumer.commit({tp: Committed(6)}, None)
        assert seat.consumer.committed([tp], 20) == {tp: Committed(6, "")}

    def test_metadata_beyond_the_broker_s_limit_is_refused(self, cluster: Cluster) -> None:
        """4,096 bytes; nothing is committed then."""
        topic, group = cluster.topic(), cluster.name("group")
        seat = cluster.settled(group, topic, partitions=1)
        error = commit_error(seat, {TP(topic, 0): Committed(5, LONG + LONG)})
        assert error is not None
        assert (error.code, error.retriable) == ("OFFSET_METADATA_TOO_LARGE", False)
        assert seat.consumer.committed([TP(topic, 0)], 20) == {TP(topic, 0): Committed(None)}

    def test_a_commit_that_is_not_waited_for_is_answered_by_a_later_call_on_the_same_thread(
        self, cluster: Cluster
    ) -> None:
        """Never from inside `commit`; in the order of the commits."""
        topic, group = cluster.topic(), cluster.name("group")
        seat = cluster.settled(group, topic, partitions=1)
        tp, answers = TP(topic, 0), list[tuple[int, ClientError | None, int]]()
        for i in range(1, 4):
            seat.consumer.commit({tp: Committed(i)}, lambda e, i=i: answers.append((i, e, threading.get_ident())))  # type: ignore[misc]
            assert len(answers) < i
        cluster.until(lambda: len(answers) == 3, seat)
        assert answers == [(i, None, threading.get_ident()) for i in range(1, 4)]
        assert seat.consumer.committed([tp], 20) == {tp: Committed(3)}

    def test_the_answer_to_a_commit_that_failed_is_its_error(self, cluster: Cluster) -> None:
        """The negative control of the test above."""
        topic, group = cluster.topic(), cluster.name("group")
        seat = cluster.settled(group, topic, partitions=1)
        answers: list[ClientError | None] = []
        seat.consumer.commit({TP(topic, 0): Committed(1, LONG + LONG)}, answers.append)
        cluster.until(lambda: answers, seat)
        assert [error and error.code for error in answers] == ["OFFSET_METADATA_TOO_LARGE"]

    def test_the_next_member_goes_on_where_the_group_stands(self, cluster: Cluster) -> None:
        """Not where the former one has read to."""
        topic, group = cluster.topic(), cluster.name("group")
        cluster.publish(topic, b"0", b"1", b"2", b"3")
        first = cluster.member(group, topic)
        cluster.until(lambda: len(first.records) == 4, first)
        first.consumer.commit({TP(topic, 0): Committed(2)}, None)
        cluster.leave(first)
        second = cluster.member(group, topic)
        cluster.until(lambda: len(second.records) == 2, second)
        assert second.values() == [b"2", b"3"]

    def test_two_groups_know_nothing_of_each_other(self, cluster: Cluster) -> None:
        """Each reads everything; the commit of one is not the other's."""
        topic = cluster.topic()
        cluster.publish(topic, b"0", b"1")
        one, other = (cluster.member(cluster.name("group"), topic) for _ in range(2))
        cluster.until(lambda: len(one.records) == 2, one, other)
        one.consumer.commit({TP(topic, 0): Committed(2)}, None)
        cluster.until(lambda: len(other.records) == 2, one, other)
        assert other.consumer.committed([TP(topic, 0)], 20) == {TP(topic, 0): Committed(None)}

    def test_a_commit_while_partitions_are_taken_away_is_taken(self, cluster: Cluster) -> None:
        """It is the last chance; the next owner goes on behind it."""
        topic, group = cluster.topic(), cluster.name("group")
        cluster.publish(topic, b"0", b"1")
        first = cluster.member(group, topic)
        cluster.until(lambda: len(first.records) == 2, first)
        first.at_revoke = lambda partitions: first.consumer.commit({tp: Committed(1) for tp in partitions}, None)
        cluster.leave(first)
        second = cluster.member(group, topic)
        cluster.until(lambda: second.records, second)
        assert second.values() == [b"1"]

    def test_a_member_that_was_thrown_out_hears_that_its_partitions_are_lost_and_may_not_commit(
        self, cluster: Cluster
    ) -> None:
        """It did not poll for longer than it may. Another member has them by then."""
        topic, group = cluster.topic(), cluster.name("group")
        cluster.publish(topic, b"0", b"1")
        first = cluster.member(group, topic)
        cluster.until(lambda: len(first.records) == 2, first)
        second = cluster.member(group, topic)
        cluster.idle(SESSION * 1.2)
        cluster.until(lambda: second.holds == {TP(topic, 0)}, second)
        error = commit_error(first, {TP(topic, 0): Committed(1)})
        assert error is not None
        assert not error.fatal
        assert second.consumer.committed([TP(topic, 0)], 20) == {TP(topic, 0): Committed(None)}
        cluster.until(lambda: not first.holds, first)
        assert first.told("lost") == [(TP(topic, 0),)]
        assert first.told("revoked") == []
