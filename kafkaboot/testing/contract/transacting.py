"""Transactions: what readers see, who may go on, what an error says of the transaction and of its client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kafkaboot.client import TP, Committed, TopicSpec
from kafkaboot.errors import ClientError, TransactionError
from kafkaboot.testing.contract.cluster import DEADLINE, SESSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.client import TransactionalPort
    from kafkaboot.testing.contract.cluster import Cluster, Seat

ALL = "read_uncommitted"


def failure(call: Callable[..., object], *args: object) -> TransactionError:
    """What the call raises."""
    with pytest.raises(TransactionError) as caught:
        call(*args)
    return caught.value


def reader(cluster: Cluster, topic: str, isolation: str = "read_committed") -> Seat:
    """Reads the topic from its beginning."""
    return cluster.member(cluster.name("reader"), topic, isolation_level=isolation)


def put(producer: TransactionalPort, topic: str, *values: bytes) -> None:
    """Hand records of partition 0 over, and wait until the broker has them."""
    for value in values:
        producer.produce(topic, value, None, None, 0, None)
    assert producer.flush(DEADLINE) == 0


class Transacting:
    """What `TransactionalPort` promises."""

    def test_a_committed_transaction_is_seen_in_all_its_topics_and_an_aborted_one_in_none(
        self, cluster: Cluster
    ) -> None:
        """Who reads uncommitted records sees both: they were written."""
        topics = [cluster.topic(), cluster.topic()]
        producer = cluster.transactional(cluster.name("id"))
        for value, end in ((b"kept", producer.commit), (b"dropped", producer.abort), (b"kept too", producer.commit)):
            producer.begin()
            for topic in topics:
                put(producer, topic, value)
            end(DEADLINE)
        for topic in topics:
            committed, everything = reader(cluster, topic), reader(cluster, topic, ALL)
            cluster.until(lambda: len(everything.records) == 3, everything, committed)  # noqa: B023 - called at once
            cluster.until(lambda: len(committed.records) == 2, committed)  # noqa: B023
            assert everything.values() == [b"kept", b"dropped", b"kept too"]
            assert committed.values() == [b"kept", b"kept too"]

    def test_an_open_transaction_hides_itself_and_what_is_written_behind_it(self, cluster: Cluster) -> None:
        """Until it ends."""
        topic = cluster.topic()
        producer = cluster.transactional(cluster.name("id"))
        producer.begin()
        put(producer, topic, b"open")
        cluster.publish(topic, b"plain", partition=0)
        committed, everything = reader(cluster, topic), reader(cluster, topic, ALL)
        cluster.until(lambda: len(everything.records) == 2, everything, committed)
        assert committed.values() == []
        producer.commit(DEADLINE)
        cluster.until(lambda: committed.values() == [b"open", b"plain"], committed)

    def test_the_next_owner_of_an_id_aborts_what_is_open_and_fences_the_one_before(self, cluster: Cluster) -> None:
        """For good: the fenced one can neither write nor begin again."""
        topic, name = cluster.topic(), cluster.name("id")
        first = cluster.transactional(name)
        first.begin()
        put(first, topic, b"left open")
        second = cluster.transactional(name)
        error = failure(first.commit, DEADLINE)
        assert (error.fenced, error.fatal, error.retriable) == (True, True, False)
        assert error.outcome in {"aborted", "unknown"}  # only who knows that no commit was taken before may say more
        assert name in error.where
        assert failure(first.begin).fatal
        second.begin()
        put(second, topic, b"successor's")
        second.commit(DEADLINE)
        committed, everything = reader(cluster, topic), reader(cluster, topic, ALL)
        cluster.until(lambda: len(everything.records) == 2, everything)
        cluster.until(lambda: committed.values() == [b"successor's"], committed)
        assert everything.values() == [b"left open", b"successor's"]

    def test_who_was_fenced_before_its_commit_was_asked_for_knows_that_it_is_aborted(self, cluster: Cluster) -> None:
        """A client hears of it by its next record, at the latest."""
        topic, name = cluster.topic(), cluster.name("id")
        first = cluster.transactional(name)
        cluster.transactional(name)

        def transact() -> None:
            first.begin()
            first.produce(topic, b"zombie's", None, None, 0, None)
            first.commit(DEADLINE)

        error = failure(transact)
        assert (error.fenced, error.fatal, error.outcome) == (True, True, "aborted")
        assert first.lost is not None

    def test_a_transaction_that_outlives_its_timeout_is_aborted_and_nobody_is_said_to_have_fenced_it(
        self, cluster: Cluster
    ) -> None:
        """The broker uses the same words for both."""
        topic = cluster.topic()
        producer = cluster.transactional(cluster.name("id"), timeout_ms=1000)
        producer.begin()
        put(producer, topic, b"forgotten")
        cluster.publish(topic, b"behind", partition=0)
        committed = reader(cluster, topic)
        cluster.idle(1.1)
        cluster.until(lambda: committed.values() == [b"behind"], committed)
        error = failure(producer.commit, DEADLINE)
        assert (error.fenced, error.fatal) == (False, True)
        assert "1 s" in str(error)
        assert "transaction" in str(error)

    def test_a_record_that_is_not_delivered_leaves_the_transaction_to_be_aborted(self, cluster: Cluster) -> None:
        """The client goes on afterwards."""
        topic, small = cluster.topic(), cluster.name("small")
        cluster.clients.admin().create_topics([TopicSpec(small, 1, 1, {"max.message.bytes": "1000"})], DEADLINE)
        producer = cluster.transactional(cluster.name("id"))
        errors: list[object] = []
        producer.begin()
        put(producer, topic, b"fine")
        producer.produce(small, bytes(5000), None, None, 0, lambda error, _: errors.append(error))
        error = failure(producer.commit, DEADLINE)
        assert (error.outcome, error.fatal, error.code) == ("open", False, "MSG_SIZE_TOO_LARGE")
        assert [producer.translate(one).code for one in errors] == ["MSG_SIZE_TOO_LARGE"]
        producer.abort(DEADLINE)
        producer.begin()
        put(producer, topic, b"next")
        producer.commit(DEADLINE)
        committed = reader(cluster, topic)
        cluster.until(lambda: committed.values() == [b"next"], committed)

    def test_after_an_abort_every_delivery_is_reported(self, cluster: Cluster) -> None:
        """What was on its way may have been dropped."""
        topic = cluster.topic()
        producer = cluster.transactional(cluster.name("id"))
        reports: list[object] = []
        producer.begin()
        for _ in range(200):
            producer.produce(topic, bytes(500), None, None, 0, lambda error, _: reports.append(error))
        producer.abort(DEADLINE)
        assert len(reports) == 200
        assert producer.lost is None

    def test_a_groups_offsets_come_with_the_commit_and_not_with_an_abort(self, cluster: Cluster) -> None:
        """Metadata included."""
        topic, group = cluster.topic(), cluster.name("group")
        cluster.publish(topic, b"0", b"1", partition=0)
        seat = cluster.member(group, topic)
        cluster.until(lambda: len(seat.records) == 2, seat)
        producer = cluster.transactional(cluster.name("id"))
        at = TP(topic, 0)
        for offset, end in ((1, producer.abort), (2, producer.commit)):
            producer.begin()
            producer.send_offsets({at: Committed(offset, "note")}, seat.consumer.membership(), DEADLINE)
            end(DEADLINE)
            expected = {at: Committed(2, "note")} if offset == 2 else {at: Committed(None)}
            assert seat.consumer.committed([at], DEADLINE) == expected

    def test_nobody_is_told_where_a_group_stands_while_a_transaction_with_its_offset_is_open(
        self, cluster: Cluster
    ) -> None:
        """A partition can be assigned all the same, and gives nothing before it is told where to start."""
        topic, group = cluster.topic(), cluster.name("group")
        cluster.publish(topic, b"0", b"1", b"2", partition=0)
        first, at = cluster.member(group, topic), TP(topic, 0)
        cluster.until(lambda: len(first.records) == 3, first)
        producer = cluster.transactional(cluster.name("id"))
        producer.begin()
        producer.send_offsets({at: Committed(2)}, first.consumer.membership(), DEADLINE)
        cluster.leave(first)
        second = cluster.member(group, topic)
        second.starts = {at: None}
        cluster.until(lambda: second.holds, second)
        with pytest.raises(ClientError) as caught:
            second.consumer.committed([at], 0.3)
        assert (caught.value.retriable, caught.value.fatal) == (True, False)
        producer.commit(DEADLINE)
        assert second.consumer.committed([at], DEADLINE) == {at: Committed(2)}
        for _ in range(20):
            second.poll()
        assert second.records == []
        second.consumer.start(at, 2)
        cluster.until(lambda: second.records, second)
        assert second.values() == [b"2"]

    def test_offsets_of_a_member_that_the_group_has_left_behind_are_refused(self, cluster: Cluster) -> None:
        """KIP-447: what fences a process that slept while its partitions went to another one."""
        topic, group = cluster.topic(), cluster.name("group")
        cluster.publish(topic, b"0", partition=0)
        first = cluster.member(group, topic)
        cluster.until(lambda: first.records, first)
        before = first.consumer.membership()
        second = cluster.member(group, topic)
        cluster.idle(SESSION * 1.2)
        cluster.until(lambda: second.holds == {TP(topic, 0)}, second)
        producer = cluster.transactional(cluster.name("id"))
        producer.begin()
        error = failure(producer.send_offsets, {TP(topic, 0): Committed(1)}, before, DEADLINE)
        assert (error.outcome, error.fatal, error.fenced) == ("open", False, False)
        producer.abort(DEADLINE)
        assert second.consumer.committed([TP(topic, 0)], DEADLINE) == {TP(topic, 0): Committed(None)}

    def test_a_timeout_beyond_the_brokers_maximum_is_refused_and_the_broker_tells_its_maximum(
        self, cluster: Cluster
    ) -> None:
        """A quarter of an hour unless it is configured."""
        producer = cluster.transactional(cluster.name("id"), timeout_ms=900_001, prepared=False)
        error = failure(producer.prepare, DEADLINE)
        assert (error.code, error.fatal) == ("INVALID_TRANSACTION_TIMEOUT", True)
        assert cluster.admin.broker_setting("transaction.max.timeout.ms", DEADLINE) == "900000"
        assert cluster.admin.broker_setting("no.such.setting", DEADLINE) is None

    def test_nothing_begins_before_the_id_is_taken_over(self, cluster: Cluster) -> None:
        """It could not be fenced."""
        assert failure(cluster.transactional(cluster.name("id"), prepared=False).begin).fatal
