"""Transactions on the embedded broker. What is asked of the node here was answered the same by Apache Kafka 4.1."""

import struct
import time
import uuid
from datetime import timedelta
from importlib import import_module

import crc32c
import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.dev.embedded.node import Node, NodeSettings, all_apis
from kafkaboot.dev.embedded.transactions import LAST_EPOCH
from kafkaboot.testing import eventually

APIS = {api.name: api for api in all_apis().values()}
NOT_GIVEN = -1


def batch(producer_id, epoch, sequence, value=b"v", transactional=True):
    body = b"\0\0\0\x01" + bytes([len(value) << 1]) + value + b"\0"
    records = bytes([len(body) << 1]) + body
    now = int(time.time() * 1000)
    attributes = 0x10 if transactional else 0
    tail = struct.pack(">hiqqqhii", attributes, 0, now, now, producer_id, epoch, sequence, 1) + records
    return struct.pack(">qiibI", 0, 9 + len(tail), -1, 2, crc32c.crc32c(tail)) + tail


class Desk:
    """A node that is asked as its connections ask it."""

    def __init__(self, node):
        self.node = node

    def ask(self, name, version, **fields):
        camel = "".join(part.title() for part in name.split("_"))
        made = import_module(f"kio.schema.{name}.v{version}.request")
        request = getattr(made, f"{camel}Request")
        known = {field: value for field, value in fields.items() if field in request.__dataclass_fields__}
        return APIS[name].answer(
            self.node, request(**known), import_module(f"kio.schema.{name}.v{version}.response"), None
        )

    def init(self, transactional_id="copier", producer=(NOT_GIVEN, NOT_GIVEN), timeout=60.0, version=4):
        answer = self.ask(
            "init_producer_id",
            version,
            transactional_id=transactional_id,
            transaction_timeout=timedelta(seconds=timeout),
            producer_id=producer[0],
            producer_epoch=producer[1],
        )
        return answer.error_code.name, (answer.producer_id, answer.producer_epoch)

    def add(self, producer, *partitions, transactional_id="copier", version=3):
        made = import_module(f"kio.schema.add_partitions_to_txn.v{version}.request")
        answer = self.ask(
            "add_partitions_to_txn",
            version,
            v3_and_below_transactional_id=transactional_id,
            v3_and_below_producer_id=producer[0],
            v3_and_below_producer_epoch=producer[1],
            v3_and_below_topics=tuple(
                made.AddPartitionsToTxnTopic(name=name, partitions=(index,)) for name, index in partitions
            ),
        )
        results = [result for topic in answer.results_by_topic_v3_and_below for result in topic.results_by_partition]
        return [result.partition_error_code.name for result in results]

    def produce(self, raw, topic="out", index=0, transactional_id="copier"):
        made = import_module("kio.schema.produce.v8.request")
        part = made.PartitionProduceData(index=index, records=raw)
        answer = self.ask(
            "produce",
            8,
            transactional_id=transactional_id,
            acks=-1,
            timeout=timedelta(seconds=1),
            topic_data=(made.TopicProduceData(name=topic, partition_data=(part,)),),
        )
        result = answer.responses[0].partition_responses[0]
        return result.error_code.name if result.error_code else result.base_offset

    def add_group(self, producer, group="readers", version=3):
        fields = {"producer_id": producer[0], "producer_epoch": producer[1], "group_id": group}
        return self.ask("add_offsets_to_txn", version, transactional_id="copier", **fields).error_code.name

    def commit_offset(self, producer, offset=5, group="readers", topic="out", index=0, member="", generation=-1):
        made = import_module("kio.schema.txn_offset_commit.v3.request")
        part = made.TxnOffsetCommitRequestPartition(
            partition_index=index, committed_offset=offset, committed_leader_epoch=-1, committed_metadata="m"
        )
        answer = self.ask(
            "txn_offset_commit",
            3,
            transactional_id="copier",
            group_id=group,
            producer_id=producer[0],
            producer_epoch=producer[1],
            generation_id=generation,
            member_id=member,
            group_instance_id=None,
            topics=(made.TxnOffsetCommitRequestTopic(name=topic, partitions=(part,)),),
        )
        return answer.topics[0].partitions[0].error_code.name

    def end(self, producer, commit, version=3, transactional_id="copier"):
        fields = {"producer_id": producer[0], "producer_epoch": producer[1], "committed": commit}
        return self.ask("end_txn", version, transactional_id=transactional_id, **fields).error_code.name

    def open(self, transactional_id="copier", timeout=60.0):
        """A transaction with one record in `out-0`."""
        _, producer = self.init(transactional_id, timeout=timeout)
        assert self.add(producer, ("out", 0), transactional_id=transactional_id) == ["none"]
        assert isinstance(self.produce(batch(*producer, 0), transactional_id=transactional_id), int)
        return producer

    @property
    def log(self):
        return self.node.topics.partition("out", 0)


@pytest.fixture
def desk():
    node = Node(NodeSettings())
    node.topics.create("out", 2)
    return Desk(node)


def test_every_idempotent_producer_has_an_id_of_its_own(desk):
    (first, (one, epoch)), (_, (other, _)) = desk.init(None), desk.init(None, producer=(77, 3))
    assert (first, epoch) == ("none", 0)
    assert len({one, other, 77}) == 3


def test_the_next_instance_has_the_next_epoch_and_fences_the_one_before(desk):
    _, (producer_id, epoch) = desk.init()
    assert epoch == 0
    assert desk.init() == ("none", (producer_id, 1))
    zombie = (producer_id, 0)
    assert desk.add(zombie, ("out", 0)) == ["producer_fenced"]
    assert desk.add(zombie, ("out", 0), version=1) == ["invalid_producer_epoch"]
    assert desk.add_group(zombie) == "producer_fenced"
    assert desk.end(zombie, True) == "producer_fenced"
    assert desk.end(zombie, True, version=1) == "invalid_producer_epoch"
    assert desk.commit_offset(zombie) == "invalid_producer_epoch"


def test_control_the_instance_itself_is_not_fenced(desk):
    producer = desk.open()
    assert desk.end(producer, True) == "none"


def test_a_new_instance_aborts_what_the_one_before_left_open(desk):
    producer_id, _ = zombie = desk.open()
    assert desk.log.stable == 0
    assert desk.init() == ("none", (producer_id, 2))  # one epoch fenced, the next is given out
    assert desk.log.stable == desk.log.end == 2
    assert [one.first for one in desk.log.aborted] == [0]
    assert desk.produce(batch(*zombie, 1)) == "invalid_producer_epoch"


def test_a_producer_goes_on_after_an_error_with_its_id_and_epoch_and_may_ask_twice(desk):
    _, (producer_id, _) = desk.init()
    assert desk.init(producer=(producer_id, 0)) == ("none", (producer_id, 1))
    assert desk.init(producer=(producer_id, 0)) == ("none", (producer_id, 1))
    assert desk.init(producer=(producer_id, 1)) == ("none", (producer_id, 2))
    assert desk.init(producer=(producer_id, 0))[0] == "producer_fenced"
    assert desk.init(producer=(producer_id, 0), version=3)[0] == "invalid_producer_epoch"
    assert desk.init(producer=(producer_id, 9))[0] == "producer_fenced"
    assert desk.init(producer=(producer_id + 99, 2))[0] == "producer_fenced"


def test_a_producer_that_goes_on_after_an_error_loses_what_it_had_open(desk):
    producer_id, _ = desk.open()
    assert desk.init(producer=(producer_id, 0)) == ("none", (producer_id, 1))
    assert desk.init(producer=(producer_id, 0)) == ("none", (producer_id, 1))
    assert [one.first for one in desk.log.aborted] == [0]


def test_an_id_that_is_not_known_any_more_begins_anew(desk):
    assert desk.init("forgotten", producer=(4711, 7))[1][1] == 0


def test_when_the_epochs_are_used_up_there_is_a_new_id(desk):
    _, (producer_id, _) = desk.init()
    one = desk.node.transactions.get("copier")
    one.current = one.current._replace(epoch=LAST_EPOCH - 2)
    last = (producer_id, LAST_EPOCH - 1)
    assert desk.init() == ("none", last)
    _, (other, epoch) = desk.init(producer=last)
    assert (other != producer_id, epoch) == (True, 0)
    assert desk.init(producer=last) == ("none", (other, 0))
    assert desk.end(last, True) == "invalid_producer_id_mapping"


@pytest.mark.parametrize("timeout", [0, -1, 901])
def test_a_transaction_may_take_a_quarter_of_an_hour_at_most(desk, timeout):
    assert desk.init(timeout=timeout)[0] == "invalid_transaction_timeout"


def test_an_empty_transactional_id_is_no_id(desk):
    assert desk.init("")[0] == "invalid_request"


def test_nothing_is_added_when_one_of_the_partitions_is_not_there(desk):
    _, producer = desk.init()
    answers = desk.add(producer, ("out", 0), ("nowhere", 0), ("out", 2))
    unknown = "unknown_topic_or_partition"
    assert answers == ["operation_not_attempted", unknown, unknown]
    assert desk.produce(batch(*producer, 0)) == "invalid_txn_state"


def test_what_is_written_must_belong_to_the_transaction(desk):
    producer_id, _ = producer = desk.open()
    assert desk.produce(batch(*producer, 0), index=1) == "invalid_txn_state"
    assert desk.produce(batch(producer_id, 1, 0)) == "invalid_producer_epoch"
    assert desk.produce(batch(producer_id + 99, 0, 0)) == "invalid_producer_id_mapping"
    assert desk.produce(batch(*producer, 0), transactional_id="other") == "invalid_producer_id_mapping"
    assert desk.produce(batch(*producer, 1), transactional_id=None) == "transactional_id_authorization_failed"
    assert desk.produce(batch(*producer, 1, transactional=False)) == "invalid_txn_state"
    assert desk.end(producer, True) == "none"
    assert desk.produce(batch(*producer, 1)) == "invalid_txn_state"


def test_the_same_end_again_is_acknowledged_and_the_other_refused(desk):
    _, idle = desk.init()
    assert desk.end(idle, True) == desk.end(idle, False) == "invalid_txn_state"
    for commit in (True, False):
        producer = desk.open()
        assert desk.end(producer, commit) == desk.end(producer, commit) == "none"
        assert desk.end(producer, not commit) == "invalid_txn_state"


def test_a_transaction_that_takes_too_long_is_aborted_and_its_producer_fenced(desk):
    producer_id, _ = zombie = desk.open(timeout=10)
    desk.node.transactions.expire(time.time() + 9)
    assert desk.log.stable == 0
    desk.node.transactions.expire(time.time() + 11)
    assert desk.log.stable == desk.log.end == 2
    assert desk.end(zombie, True) == "producer_fenced"
    assert desk.produce(batch(*zombie, 1)) == "invalid_producer_epoch"
    assert desk.init(producer=zombie) == ("none", (producer_id, 1))


def test_offsets_count_when_the_transaction_is_committed(desk):
    for commit, expected in ((False, None), (True, 5)):
        producer = desk.open()
        assert desk.commit_offset(producer) == "invalid_txn_state"
        assert desk.add_group(producer) == "none"
        assert desk.commit_offset(producer) == "none"
        assert desk.commit_offset(producer, topic="nowhere") == "unknown_topic_or_partition"
        assert desk.node.offsets.pending("readers") == {("out", 0)}
        assert not desk.node.offsets.fetch("readers")
        assert desk.end(producer, commit) == "none"
        found = desk.node.offsets.fetch("readers").get(("out", 0))
        assert (found and found.offset) == expected
        assert not desk.node.offsets.pending("readers")


def test_a_member_that_the_group_does_not_know_commits_nothing_with_its_transaction(desk):
    producer = desk.open()
    desk.add_group(producer)
    assert desk.commit_offset(producer) == "none"
    assert desk.commit_offset(producer, offset=9, member="gone", generation=3) == "unknown_member_id"
    desk.end(producer, True)
    assert desk.node.offsets.fetch("readers")["out", 0].offset == 5


def test_administrators_see_how_transactions_stand(desk):
    producer = desk.open()
    desk.init("idle")
    states = desk.ask("describe_transactions", 0, transactional_ids=("copier", "idle", "nobody")).transaction_states
    ongoing, idle, nobody = states
    assert (ongoing.transaction_state, idle.transaction_state) == ("Ongoing", "Empty")
    assert (ongoing.producer_id, ongoing.producer_epoch) == producer
    assert [(topic.topic, topic.partitions) for topic in ongoing.topics] == [("out", (0,))]
    assert abs(ongoing.transaction_start_time.timestamp() - time.time()) < 30
    assert idle.transaction_start_time.timestamp() == -0.001
    assert nobody.error_code.name == "transactional_id_not_found"


@pytest.mark.parametrize(
    ("states", "of_the_producer", "found", "unknown"),
    [
        ((), False, {"copier", "idle"}, ()),
        (("Ongoing",), False, {"copier"}, ()),
        (("Ongoing", "Nix"), False, {"copier"}, ("Nix",)),
        (("CompleteCommit",), False, set(), ()),
        ((), True, {"copier"}, ()),
        (("Empty",), True, set(), ()),
    ],
)
def test_administrators_find_transactions_by_state_and_producer(desk, states, of_the_producer, found, unknown):
    producer_id, _ = desk.open()
    desk.init("idle")
    producers = (producer_id,) if of_the_producer else ()
    answer = desk.ask("list_transactions", 0, state_filters=states, producer_id_filters=producers)
    assert {one.transactional_id for one in answer.transaction_states} == found
    assert answer.unknown_state_filters == unknown


def test_administrators_see_who_writes_to_a_partition(desk):
    made = import_module("kio.schema.describe_producers.v0.request")

    def producers():
        topics = tuple(made.TopicRequest(name=name, partition_indexes=(0,)) for name in ("out", "nowhere"))
        out, nowhere = desk.ask("describe_producers", 0, topics=topics).topics
        assert nowhere.partitions[0].error_code.name == "unknown_topic_or_partition"
        return [
            (one.producer_id, one.producer_epoch, one.last_sequence, one.current_txn_start_offset)
            for one in out.partitions[0].active_producers
        ]

    assert producers() == []
    producer = desk.open()
    assert producers() == [(*producer, 0, 0)]
    desk.end(producer, True)
    assert producers() == [(*producer, 0, -1)]


# --- over the wire


@pytest.fixture(scope="module")
def broker():
    with EmbeddedKafka() as embedded:
        yield embedded


def producer_of(broker, transactional_id, **properties):
    producer = Producer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "transactional.id": transactional_id,
            "linger.ms": 0,
            "log_level": 0,
            **properties,
        }
    )
    producer.init_transactions(10)
    return producer


def write(producer, topic, *values):
    producer.begin_transaction()
    for value in values:
        producer.produce(topic, value, partition=0)
    assert producer.flush(10) == 0


def seen(broker, topic, isolation):
    """Values up to the end that this isolation level sees."""
    consumer = Consumer(
        {
            "bootstrap.servers": broker.bootstrap_servers,
            "group.id": uuid.uuid4().hex,
            "isolation.level": isolation,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": True,
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    found, until = [], time.monotonic() + 10
    try:
        while time.monotonic() < until:
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                found.append(message.value().decode())
            elif message is not None:
                assert message.error().name() == "_PARTITION_EOF", message.error()
                return found
    finally:
        consumer.close()
    raise AssertionError(f"no end of {topic}")


def test_readers_of_committed_data_see_neither_open_nor_aborted_records(broker):
    topic = f"seen-{uuid.uuid4().hex}"
    broker.create_topic(topic, 1)
    producer = producer_of(broker, topic)
    write(producer, topic, "a1", "a2")
    assert seen(broker, topic, "read_committed") == []
    producer.commit_transaction(10)
    write(producer, topic, "b1", "b2")
    producer.abort_transaction(10)
    write(producer, topic, "c1")
    assert seen(broker, topic, "read_committed") == ["a1", "a2"]
    producer.commit_transaction(10)
    assert seen(broker, topic, "read_committed") == ["a1", "a2", "c1"]
    assert seen(broker, topic, "read_uncommitted") == ["a1", "a2", "b1", "b2", "c1"]


def test_the_second_of_two_producers_fences_the_first(broker):
    topic = f"fenced-{uuid.uuid4().hex}"
    broker.create_topic(topic, 1)
    first = producer_of(broker, topic)
    write(first, topic, "zombie")
    second = producer_of(broker, topic)
    write(second, topic, "heir")
    second.commit_transaction(10)
    with pytest.raises(KafkaException, match=r"(?i)fenced|epoch"):
        first.commit_transaction(10)
    assert seen(broker, topic, "read_committed") == ["heir"]


def test_a_producer_that_hangs_stops_readers_until_its_time_is_over(broker):
    topic = f"hangs-{uuid.uuid4().hex}"
    broker.create_topic(topic, 1)
    hanging, busy = producer_of(broker, f"{topic}-1", **{"transaction.timeout.ms": 1000}), producer_of(broker, topic)
    write(hanging, topic, "hangs")
    write(busy, topic, "waits")
    busy.commit_transaction(10)
    assert seen(broker, topic, "read_committed") == []
    eventually(lambda: seen(broker, topic, "read_committed") == ["waits"], 10)
    with pytest.raises(KafkaException):
        hanging.commit_transaction(10)
