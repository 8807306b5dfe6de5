"""Writing: reports, order, the fields of a record, refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from kafkaboot.errors import ClientError

if TYPE_CHECKING:
    from kafkaboot.client import ProducerPort
    from kafkaboot.message import Headers
    from kafkaboot.testing.contract.cluster import Cluster


def refused(cluster: Cluster, producer: ProducerPort, topic: str, value: bytes, partition: int = -1) -> ClientError:
    """The error of a record, whether it comes at once or with the report."""
    try:
        report, *_ = cluster.publish(topic, value, producer=producer, partition=partition)
    except ClientError as error:
        return error
    assert report.error is not None
    return producer.translate(report.error)


class Publishing:
    """What `ProducerPort` promises."""

    def test_each_record_is_reported_with_its_place_though_nobody_asks(self, cluster: Cluster) -> None:
        """Receipts."""
        topic = cluster.topic()
        reports = cluster.publish(topic, *[b"%d" % i for i in range(300)], partition=0)
        assert [report.error for report in reports] == [None] * 300
        assert [report.record.offset() for report in reports] == list(range(300))
        assert {(report.record.topic(), report.record.partition()) for report in reports} == {(topic, 0)}

    def test_a_partition_keeps_the_order_of_publishing(self, cluster: Cluster) -> None:
        """Per-partition order."""
        topic = cluster.topic(2)
        producer = cluster.producer()
        for i in range(100):
            producer.produce(topic, b"%d" % i, None, None, i % 2, None)
        assert producer.flush(20) == 0
        seat = cluster.member(cluster.name("group"), topic)
        cluster.until(lambda: len(seat.records) == 100, seat)
        for partition in (0, 1):
            mine = [record.value() for record in seat.records if record.partition() == partition]
            assert mine == [b"%d" % i for i in range(partition, 100, 2)]

    def test_all_fields_of_a_record_come_back_as_they_were_written(self, cluster: Cluster) -> None:
        """Nulls and empty values are different things; headers keep their order and may repeat."""
        topic = cluster.topic()
        headers: Headers = [("a", b"1"), ("b", None), ("a", b""), ("\u00fc", b"\x00\xff")]
        cluster.publish(topic, b"\x00value\xff", key=b"\x00key", headers=headers, timestamp=1_234_567_890_123)
        cluster.publish(topic, None, key=b"")
        cluster.publish(topic, b"", key=None)
        seat = cluster.member(cluster.name("group"), topic)
        cluster.until(lambda: len(seat.records) == 3, seat)
        first, second, third = seat.records
        assert (first.key(), first.value(), first.timestamp()) == (b"\x00key", b"\x00value\xff", (1, 1_234_567_890_123))
        assert list(first.headers() or ()) == headers
        assert len(first) == len(b"\x00value\xff")
        assert (second.key(), second.value(), second.headers(), len(second)) == (b"", None, None, 0)
        assert (third.key(), third.value()) == (None, b"")
        assert second.timestamp()[1] > 1_500_000_000_000

    def test_a_list_of_headers_may_be_used_again_at_once(self, cluster: Cluster) -> None:
        """It is read before `produce` returns."""
        topic = cluster.topic()
        producer = cluster.producer()
        headers: Headers = [("n", b"")]
        for i in range(3):
            headers[0] = ("n", b"%d" % i)
            producer.produce(topic, b"x", None, headers, 0, None)
        assert producer.flush(20) == 0
        seat = cluster.member(cluster.name("group"), topic)
        cluster.until(lambda: len(seat.records) == 3, seat)
        assert [record.headers() for record in seat.records] == [[("n", b"%d" % i)] for i in range(3)]

    def test_the_key_chooses_the_partition_by_its_crc32(self, cluster: Cluster) -> None:
        """What librdkafka does unless it is told otherwise; Java's clients use murmur2."""
        topic = cluster.topic(7)
        producer = cluster.producer()
        for i in range(20):
            key = b"key-%d" % i
            report, *_ = cluster.publish(topic, b"", producer=producer, key=key)
            assert report.record.partition() == crc32(key) % 7

    def test_a_record_that_is_too_large_is_refused_at_once(self, cluster: Cluster) -> None:
        """Nothing is handed over."""
        topic = cluster.topic()
        error = refused(cluster, cluster.producer(), topic, bytes(2_000_000))
        assert (error.code, error.retriable, error.fatal) == ("MSG_SIZE_TOO_LARGE", False, False)
        assert topic in error.where
        assert "not sent" in error.fate

    def test_an_unknown_topic_is_an_error_with_a_code(self, cluster: Cluster) -> None:
        """A topic is never made by writing to it."""
        error = refused(cluster, cluster.producer(), cluster.name("nowhere"), b"x")
        assert error.code in {"_UNKNOWN_TOPIC", "UNKNOWN_TOPIC_OR_PART"}
        assert not error.fatal

    def test_an_unknown_partition_is_an_error_with_a_code(self, cluster: Cluster) -> None:
        """There is no partition 5 of one."""
        topic = cluster.topic()
        producer = cluster.producer()
        cluster.publish(topic, b"x", producer=producer)
        error = refused(cluster, producer, topic, b"x", partition=5)
        assert error.code == "_UNKNOWN_PARTITION"

    def test_a_closed_producer_has_delivered_everything_and_refuses_more(self, cluster: Cluster) -> None:
        """Closing flushes."""
        topic = cluster.topic()
        producer = cluster.producer()
        reports: list[object] = []
        for _ in range(50):
            producer.produce(topic, b"x", None, None, 0, lambda error, _: reports.append(error))
        assert producer.close(20) == 0
        assert reports == [None] * 50
        assert refused(cluster, producer, topic, b"x").code == "_DESTROY"
