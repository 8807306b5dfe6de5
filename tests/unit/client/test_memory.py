"""What Kafka in memory has beyond the contract: holes, faults, members that die, and virtual time."""

import pytest

from kafkaboot.client import TP, Committed
from kafkaboot.client.memory import MemoryClients
from kafkaboot.errors import ClientError
from kafkaboot.testing.contract import Cluster


@pytest.fixture
def cluster():
    cluster = Cluster(MemoryClients())
    yield cluster
    cluster.close()


def test_gaps_and_compaction_leave_holes_and_offsets_stay(cluster):
    kafka = cluster.clients.kafka
    topic = cluster.topic()
    cluster.publish(topic, b"0", b"1", b"2")
    kafka.log(TP(topic, 0)).leave_gap(2)
    cluster.publish(topic, b"5")
    kafka.log(TP(topic, 0)).compact(lambda record: record.offset() != 1)
    seat = cluster.member("shop", topic)
    cluster.until(lambda: len(seat.records) == 3, seat)
    assert [(record.offset(), record.value()) for record in seat.records] == [(0, b"0"), (2, b"2"), (5, b"5")]
    assert seat.consumer.high_watermarks() == {TP(topic, 0): 6}


@pytest.mark.parametrize(("reset", "first"), [("earliest", 2), ("latest", 4)])
def test_a_committed_offset_that_retention_has_passed_is_reset(cluster, reset, first):
    kafka = cluster.clients.kafka
    topic = cluster.topic()
    cluster.publish(topic, b"0", b"1", b"2", b"3")
    kafka.log(TP(topic, 0)).delete_before(2)
    kafka.group("shop").offsets[TP(topic, 0)] = Committed(1)
    seat = cluster.settled("shop", topic, partitions=1, auto_offset_reset=reset)
    cluster.until(lambda: not seat.poll(), seat)
    cluster.publish(topic, b"4")
    cluster.until(lambda: b"4" in seat.values(), seat)
    assert seat.records[0].offset() == first


@pytest.mark.parametrize(("applied", "written"), [(False, None), (True, 1)])
def test_a_commit_fails_as_often_as_it_is_told_to_and_may_be_written_nevertheless(cluster, applied, written):
    kafka = cluster.clients.kafka
    topic = cluster.topic()
    seat = cluster.settled("shop", topic, partitions=1)
    kafka.faults.fail_commits("_TIMED_OUT", 2, applied=applied)
    for _ in range(2):
        with pytest.raises(ClientError) as caught:
            seat.consumer.commit({TP(topic, 0): Committed(1)}, None)
        assert (caught.value.code, caught.value.retriable) == ("_TIMED_OUT", True)
    assert kafka.committed("shop", TP(topic, 0)).offset == written
    seat.consumer.commit({TP(topic, 0): Committed(2)}, None)
    assert kafka.committed("shop", TP(topic, 0)).offset == 2


def test_a_record_that_is_not_delivered_is_not_written(cluster):
    kafka = cluster.clients.kafka
    topic, producer = cluster.topic(), cluster.producer()
    kafka.faults.fail_deliveries("_MSG_TIMED_OUT")
    first, second = cluster.publish(topic, b"1", b"2", producer=producer)
    assert producer.translate(first.error).code == "_MSG_TIMED_OUT"
    assert (second.error, second.record.offset()) == (None, 0)
    assert [record.value() for record in kafka.records(topic)] == [b"2"]


def test_reports_wait_while_they_are_held_and_a_full_buffer_takes_nothing(cluster):
    kafka = cluster.clients.kafka
    topic, producer, reports = cluster.topic(), cluster.producer(), []
    kafka.faults.hold_deliveries, kafka.faults.full = True, 1
    with pytest.raises(BufferError):
        producer.produce(topic, b"1", None, None, 0, lambda error, record: reports.append(record.value()))
    producer.produce(topic, b"2", None, None, 0, lambda error, record: reports.append(record.value()))
    assert reports == []
    kafka.deliver()
    assert reports == [b"2"]
    assert [record.value() for record in kafka.records(topic)] == [b"2"]


def test_a_member_that_vanished_keeps_its_partitions_until_its_session_has_run_out(cluster):
    kafka = cluster.clients.kafka
    topic = cluster.topic()
    first = cluster.settled("shop", topic, partitions=1, session_timeout_ms=1500)
    first.consumer.vanish()
    cluster._seats.remove(first)
    second = cluster.member("shop", topic)
    for _ in range(5):
        second.poll()
    assert second.holds == set()
    kafka.clock.advance(1.6)
    cluster.until(lambda: second.holds, second)
    with pytest.raises(ClientError):
        first.consumer.commit({TP(topic, 0): Committed(1)}, None)


def test_a_partition_that_is_lost_is_told_and_a_commit_of_it_refused_until_it_is_given_anew(cluster):
    topic = cluster.topic()
    seat = cluster.settled("shop", topic, partitions=1)
    seat.consumer.lose([TP(topic, 0)])
    with pytest.raises(ClientError) as caught:
        seat.consumer.commit({TP(topic, 0): Committed(1)}, None)
    assert caught.value.code == "ILLEGAL_GENERATION"
    cluster.until(lambda: seat.told("lost") and seat.holds, seat)
    seat.consumer.commit({TP(topic, 0): Committed(1)}, None)


def test_members_of_one_group_must_agree_on_the_protocol(cluster):
    topic = cluster.topic()
    cluster.settled("shop", topic, partitions=1)
    other = cluster.member("shop", topic, partition_assignment_strategy="range")
    other.poll()
    assert [error.code for error in other.errors] == ["INCONSISTENT_GROUP_PROTOCOL"]


def test_a_topic_that_is_created_later_is_given_out(cluster):
    seat = cluster.member("shop", "late")
    cluster.until(lambda: seat.errors, seat)
    cluster.topic(name="late")
    cluster.until(lambda: seat.holds == {TP("late", 0)}, seat)
