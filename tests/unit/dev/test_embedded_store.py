"""What the embedded broker keeps in a directory, and what a kill leaves of it."""

import os
import signal
import struct
import threading
import time
import uuid
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic, ResourceType

from kafkaboot.dev.broker import BrokerStartError
from kafkaboot.dev.embedded import EmbeddedKafka, segments
from kafkaboot.dev.embedded.log import BATCH, PartitionLog, control_batch
from kafkaboot.dev.embedded.node import Node, NodeSettings
from kafkaboot.dev.embedded.offsets import Committed
from kafkaboot.dev.embedded.store import Store
from kafkaboot.dev.embedded.transactions import ProducerEpoch, State
from kafkaboot.testing import eventually

MANY = 1_000_000 if os.environ.get("KB_CHAOS") else 100_000
NOBODY = ProducerEpoch(-1, -1)


def batch(value=b"v", producer=NOBODY, sequence=-1, transactional=False):
    body = b"\0\0\0\x01" + bytes([len(value) << 1]) + value + b"\0"
    head = list(BATCH.unpack(control_batch(*producer, commit=True)[: BATCH.size]))
    head[5], head[11] = 0x10 if transactional else 0, sequence
    return _sealed(head, bytes([len(body) << 1]) + body)


def _sealed(head, body):
    import crc32c

    head[1] = BATCH.size - 12 + len(body)
    head[4] = crc32c.crc32c(BATCH.pack(*head)[21:] + body)
    return BATCH.pack(*head) + body


class Desk:
    """Nodes on one directory, one after the other."""

    def __init__(self, directory):
        self.directory = directory
        self.store = None

    def begin(self):
        """A node as it is after a start; the one before is gone without a word."""
        if self.store is not None:
            os.close(self.store._lock)  # as a killed process leaves it: nothing else is closed or flushed
        self.node = Node(NodeSettings())
        self.store = Store(self.node, self.directory)
        return self.node

    def log(self, topic="t", index=0):
        return self.node.topics.partition(topic, index)

    def files(self):
        return sorted(self.directory.glob("topics/*/*/*.log"))


@pytest.fixture
def desk(tmp_path):
    made = Desk(tmp_path / "data")
    made.begin().topics.create("t", 2)
    yield made
    made.store.close()


def values(log):
    return [one.raw[-2:-1] for one in log.batches]


def begun(node, transactional_id="copier", topic="t"):
    """A transaction with one record."""
    _, producer = node.transactions.init(transactional_id, 60.0, NOBODY)
    node.transactions.add(transactional_id, [(topic, 0)])
    assert node.topics.partition(topic, 0).append(batch(b"x", producer, 0, transactional=True))[0].name == "none"
    return producer


def test_topics_keep_their_ids_partitions_and_settings(desk):
    topics = desk.node.topics
    topics.create("gone", 1)
    topics.delete("gone")
    topic = topics.get("t")
    topics.grow(topic, 5)
    topics.configure(topic, {"cleanup.policy": "compact"})
    cluster = desk.node.cluster_id
    for _ in range(2):  # from a journal with history, and from one without
        node = desk.begin()
        (again,) = node.topics
        assert (again.name, again.id, len(again.partitions)) == ("t", topic.id, 5)
        assert again.config == {"cleanup.policy": "compact"}
        assert node.cluster_id == cluster


def test_a_topic_that_was_made_again_has_nothing_of_the_one_before(desk):
    desk.log().append(batch())
    desk.node.topics.delete("t")
    desk.node.topics.create("t", 1)
    desk.begin()
    assert desk.log().end == 0
    assert not desk.files()


def test_records_are_where_they_were(desk):
    for value in (b"a", b"b", b"c"):
        desk.log().append(batch(value))
    desk.begin()
    assert values(desk.log()) == [b"a", b"b", b"c"]
    assert (desk.log().start, desk.log().end) == (0, 3)
    desk.log().append(batch(b"d"))
    desk.begin()
    assert values(desk.log()) == [b"a", b"b", b"c", b"d"]


def test_a_torn_tail_is_cut_and_a_line_says_so(desk, caplog):
    desk.log().append(batch(b"a"))
    desk.log().append(batch(b"b"))
    (path,) = desk.files()
    whole = path.read_bytes()
    for torn in (whole[:-1], whole[:-40], whole[:-1] + b"?", whole[: len(whole) // 2] + bytes(70)):
        path.write_bytes(torn)
        caplog.clear()
        desk.begin()
        assert values(desk.log()) == [b"a"]
        assert "they are cut off" in caplog.text
        desk.log().append(batch(b"c"))
        desk.begin()
        assert values(desk.log()) == [b"a", b"c"]


def test_control_a_whole_tail_is_not_cut(desk, caplog):
    desk.log().append(batch(b"a"))
    desk.begin()
    assert values(desk.log()) == [b"a"]
    assert not caplog.text


def test_a_torn_line_of_the_journal_is_cut_and_a_line_says_so(desk, caplog):
    desk.node.topics.create("u", 1)
    desk.node.topics.partition("u", 0).append(batch())
    journal = desk.directory / "journal"
    journal.write_bytes(journal.read_bytes()[:-3])
    node = desk.begin()
    assert [topic.name for topic in node.topics] == ["t"]
    assert "no whole line" in caplog.text
    assert "left alone" in caplog.text
    assert len(desk.files()) == 1


def test_files_are_deleted_when_all_in_them_is_older_than_the_start(desk, monkeypatch):
    monkeypatch.setattr(segments, "SEGMENT", 150)
    for number in range(10):
        desk.log().append(batch(b"%d" % number))
    before = len(desk.files())
    desk.log().delete_before(5)
    assert len(desk.files()) < before
    desk.begin()
    assert (desk.log().start, desk.log().end, values(desk.log())[0]) == (5, 10, b"5")
    desk.log().delete_before(10)
    assert not desk.files()
    desk.begin()
    assert (desk.log().start, desk.log().end) == (10, 10)
    assert desk.log().append(batch())[1] == 10


def test_what_compaction_left_takes_the_place_of_all(desk):
    for number in range(6):
        desk.log().append(batch(b"%d" % number))
    log = desk.log()
    log.replace(4, [log.batches[1]])
    log.append(batch(b"6"))
    for _ in range(2):
        desk.begin()
        assert values(desk.log()) == [b"1", b"4", b"5", b"6"]
        assert desk.log().end == 7
        assert len(desk.files()) == 1


def test_a_compaction_that_a_kill_interrupted_is_finished_or_never_was(desk):
    for number in range(3):
        desk.log().append(batch(b"%d" % number))
    (old,) = desk.files()
    kept = old.read_bytes()
    desk.log().replace(2, [])
    old.write_bytes(kept)  # it was renamed, and the old files were not deleted yet
    desk.begin()
    assert values(desk.log()) == [b"2"]
    assert len(desk.files()) == 1
    (desk.files()[0].parent / "new").write_bytes(kept[:50])  # it was not renamed
    desk.begin()
    assert values(desk.log()) == [b"2"]


def test_compacted_records_of_transactions_stay_visible_without_their_marker(desk):
    begun(desk.node)
    desk.node.transactions.end("copier", commit=True)
    log = desk.log()
    log.replace(2, log.batches[:1])
    desk.begin()
    assert desk.log().stable == desk.log().end == 2
    assert not desk.log().aborted


def test_a_repeated_batch_is_recognised_after_a_restart(desk):
    producer = desk.node.transactions.new_producer()
    for sequence in range(7):
        desk.log().append(batch(b"%d" % sequence, producer, sequence))
    desk.begin()
    assert desk.log().append(batch(b"6", producer, 6)) == (0, 6)
    assert desk.log().append(batch(b"8", producer, 8))[0].name == "out_of_order_sequence_number"
    assert desk.log().append(batch(b"7", producer, 7)) == (0, 7)


def test_no_producer_id_is_given_twice(desk):
    given = {desk.node.transactions.new_producer().producer_id for _ in range(1500)}
    desk.begin()
    assert desk.node.transactions.new_producer().producer_id not in given


def test_an_open_transaction_is_open_after_a_restart_and_can_be_ended_either_way(desk):
    for commit in (True, False):
        producer = begun(desk.node)
        stable = desk.log().stable
        node = desk.begin()
        assert desk.log().stable == stable < desk.log().end
        assert node.transactions.refusal("copier", producer).name == "none"
        assert node.transactions.end("copier", commit=commit).name == "none"
        assert bool(desk.log().aborted) == (not commit)
        node = desk.begin()
        assert desk.log().stable == desk.log().end
        assert bool(desk.log().aborted) == (not commit)
        assert node.transactions.end("copier", commit=commit).name == "none"
        assert node.transactions.end("copier", commit=not commit).name == "invalid_txn_state"


def test_a_zombie_is_fenced_after_a_restart(desk):
    zombie = begun(desk.node)
    desk.node.transactions.init("copier", 60.0, NOBODY)
    node = desk.begin()
    assert node.transactions.refusal("copier", zombie).name == "producer_fenced"
    assert desk.log().append(batch(b"z", zombie, 1, transactional=True))[0].name == "invalid_producer_epoch"
    assert node.transactions.init("copier", 60.0, NOBODY)[1].epoch == 3


def test_a_transaction_whose_time_is_over_is_aborted_after_a_restart(desk):
    begun(desk.node)
    node = desk.begin()
    node.transactions.expire(time.time() + 61)
    assert [one.first for one in desk.log().aborted] == [0]


@pytest.mark.parametrize("marked", [False, True])
def test_a_decision_is_carried_out_after_a_restart(desk, marked):
    producer = begun(desk.node)
    desk.node.transactions.add_group("copier", "g")
    desk.node.transactions.stage("copier", "g", {("t", 1): Committed(7)})
    one = desk.node.transactions.get("copier")
    one.state = State.COMPLETE_COMMIT
    desk.node.transactions._keep(one)
    if marked:
        desk.log().mark(*producer, commit=True)
    node = desk.begin()
    assert desk.log().stable == desk.log().end
    assert not desk.log().aborted
    assert node.offsets.fetch("g") == {("t", 1): Committed(7)}


def test_records_of_a_transaction_that_nobody_knows_are_aborted(desk, caplog):
    begun(desk.node)
    (desk.directory / "journal").write_bytes(b"")
    (topic,) = (desk.directory / "topics").iterdir()
    node = desk.begin()
    node.topics.create("t", 1).id = uuid.UUID(topic.name)
    node.topics.keeper.kept(node.topics.get("t"))
    desk.begin()
    assert desk.log().stable == desk.log().end
    assert [one.first for one in desk.log().aborted] == [0]
    assert "no transaction that is known" in caplog.text
    assert desk.node.transactions.new_producer().producer_id not in desk.log().producers


def test_committed_offsets_are_kept_and_what_waits_for_a_transaction_waits_on(desk):
    offsets = desk.node.offsets
    offsets.commit("g", {("t", 0): Committed(3, 0, "note"), ("t", 1): Committed(4)})
    offsets.commit("g", {("t", 0): Committed(5)})
    offsets.commit("deleted", {("t", 0): Committed(5)})
    offsets.delete_group("deleted")
    begun(desk.node)
    desk.node.transactions.add_group("copier", "g")
    desk.node.transactions.stage("copier", "g", {("t", 1): Committed(9), ("t", 0): Committed(1)})
    offsets.commit("g", {("t", 0): Committed(6, 0, "newer")})
    for _ in range(2):
        node = desk.begin()
        assert node.offsets.fetch("g") == {("t", 0): Committed(6, 0, "newer"), ("t", 1): Committed(4)}
        assert node.offsets.pending("g") == {("t", 0), ("t", 1)}
        assert node.offsets.groups() == ["g"]
    node.transactions.end("copier", commit=True)
    desk.begin()
    assert desk.node.offsets.fetch("g") == {("t", 0): Committed(6, 0, "newer"), ("t", 1): Committed(9)}


def test_the_journal_loses_its_history_at_each_start(desk):
    for offset in range(1000):
        desk.node.offsets.commit("g", {("t", 0): Committed(offset)})
    journal = desk.directory / "journal"
    before = journal.stat().st_size
    desk.begin()
    assert journal.stat().st_size < before / 50


def test_a_batch_that_cannot_be_kept_is_refused_and_leaves_nothing(desk, monkeypatch):
    desk.log().append(batch(b"a"))

    def full(file, data):
        real(file, data[:20])
        raise OSError(28, "No space left on device")

    real = os.write
    monkeypatch.setattr(os, "write", full)
    assert desk.log().append(batch(b"b"))[0].name == "kafka_storage_error"
    monkeypatch.undo()
    assert desk.log().append(batch(b"c")) == (0, 1)
    desk.begin()
    assert values(desk.log()) == [b"a", b"c"]


def test_what_a_full_disk_kept_from_being_ended_is_ended_when_it_is_asked_again(desk, monkeypatch):
    producer = begun(desk.node)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(segments.OpenFiles, "append", full)
    with pytest.raises(OSError):
        desk.node.transactions.end("copier", commit=True)
    monkeypatch.undo()
    assert desk.node.transactions.refusal("copier", producer).name == "none"
    assert desk.node.transactions.end("copier", commit=True).name == "none"
    assert desk.log().stable == desk.log().end


def test_more_partitions_than_may_be_open_at_a_time(desk, monkeypatch):
    monkeypatch.setattr(segments, "MOST_OPEN", 3)
    desk.node.topics.create("wide", 10)
    for _ in range(2):
        for index in range(10):
            desk.log("wide", index).append(batch())
    assert len(desk.store._files._open) == 3
    desk.begin()
    assert [desk.log("wide", index).end for index in range(10)] == [2] * 10


def test_in_memory_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    node = Node(NodeSettings())
    node.topics.create("t", 1)
    begun(node)
    assert not list(tmp_path.iterdir())
    assert PartitionLog("t", 0).files is None


# --- the process


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "data"


def killed(broker):
    os.kill(broker.pid, signal.SIGKILL)
    broker.stop()
    broker.start()


def client(broker, **properties):
    return {"bootstrap.servers": broker.bootstrap_servers, "log_level": 0, **properties}


def whole(broker, topic, isolation="read_committed"):
    """Everything in a topic: partition, offset, value."""
    consumer = Consumer(client(broker, **{"group.id": uuid.uuid4().hex, "isolation.level": isolation}))
    try:
        found = []
        for index in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
            end = consumer.get_watermark_offsets(TopicPartition(topic, index), timeout=10)[1]
            consumer.assign([TopicPartition(topic, index, 0)])
            until = time.monotonic() + 30
            while consumer.position([TopicPartition(topic, index)])[0].offset < end:
                assert time.monotonic() < until, f"{topic}-{index} is not read to its end"
                found += [m for m in consumer.consume(10_000, 0.1) if m.error() is None]
                if not end:
                    break
        return found
    finally:
        consumer.close()


def test_every_acknowledged_record_is_there_after_kills_in_the_middle_of_writing(directory):
    with EmbeddedKafka(data_dir=directory) as broker:
        broker.create_topic("t", 3)
        acknowledged, stop = {}, threading.Event()

        def note(error, message):
            if error is None:
                acknowledged[message.partition(), message.offset()] = message.value()

        properties = {"enable.idempotence": True, "linger.ms": 1, "reconnect.backoff.max.ms": 100}
        producer = Producer(client(broker, **properties))

        def load():
            for number in range(10**9):
                if stop.is_set():
                    return
                try:
                    producer.produce("t", b"%d" % number, partition=number % 3, on_delivery=note)
                except BufferError:
                    producer.poll(0.05)
                producer.poll(0)

        thread = threading.Thread(target=load)
        thread.start()
        try:
            for _ in range(3):
                seen = len(acknowledged)
                eventually(lambda seen=seen: len(acknowledged) > seen + 1000, 20)
                killed(broker)
        finally:
            stop.set()
            thread.join(10)
        assert producer.flush(30) == 0
        found = whole(broker, "t")
        kept = {(m.partition(), m.offset()): m.value() for m in found}
        assert {place: kept.get(place) for place in acknowledged} == acknowledged
        assert len({m.value() for m in found}) == len(found), "a record was written twice"


def test_transactions_offsets_and_fencing_survive_a_kill(directory):
    with EmbeddedKafka(data_dir=directory) as broker:
        broker.create_topic("t", 1)
        group = Consumer(client(broker, **{"group.id": "g"}))
        group.commit(offsets=[TopicPartition("t", 0, 42)], asynchronous=False)
        group.close()
        zombie = Producer(client(broker, **{"transactional.id": "copier"}))
        zombie.init_transactions(10)
        zombie.begin_transaction()
        zombie.produce("t", b"zombie")
        zombie.flush(10)
        heir = Producer(client(broker, **{"transactional.id": "copier"}))
        heir.init_transactions(10)
        killed(broker)
        with pytest.raises(KafkaException, match=r"(?i)fenced|epoch"):
            zombie.commit_transaction(10)
        heir.begin_transaction()
        heir.produce("t", b"heir")
        heir.flush(10)
        killed(broker)
        heir.commit_transaction(20)
        assert [m.value() for m in whole(broker, "t")] == [b"heir"]
        assert [m.value() for m in whole(broker, "t", "read_uncommitted")] == [b"zombie", b"heir"]
        group = Consumer(client(broker, **{"group.id": "g"}))
        assert group.committed([TopicPartition("t", 0)], timeout=10)[0].offset == 42
        group.close()


def test_topics_and_their_settings_survive_a_kill(directory):
    with EmbeddedKafka(data_dir=directory) as broker:
        admin = AdminClient(client(broker))
        admin.create_topics([NewTopic("t", 2, 1, config={"retention.ms": "5000"})])["t"].result(10)
        admin.create_topics([NewTopic("gone", 2, 1)])["gone"].result(10)
        admin.delete_topics(["gone"])["gone"].result(10)
        admin.create_partitions([NewPartitions("t", 4)])["t"].result(10)
        killed(broker)
        admin = AdminClient(client(broker))
        topics = admin.list_topics(timeout=10).topics
        assert {name: len(topic.partitions) for name, topic in topics.items()} == {"t": 4}
        resource = ConfigResource(ResourceType.TOPIC, "t")
        assert admin.describe_configs([resource])[resource].result(10)["retention.ms"].value == "5000"


def test_a_directory_has_one_broker_at_a_time(directory):
    with EmbeddedKafka(data_dir=directory) as broker:
        assert str(directory) in broker.describe()
        with pytest.raises(BrokerStartError, match=rf"{directory} is in use by process {broker.pid}"):
            EmbeddedKafka(data_dir=directory).start()
    with EmbeddedKafka(data_dir=directory):
        pass


def test_a_directory_of_another_format_is_refused(directory):
    from kafkaboot.dev.embedded.journal import Journal

    directory.mkdir()
    journal = Journal()
    journal.open(directory / "journal", [["format", 99, "x"]])
    journal.close()
    with pytest.raises(BrokerStartError, match="format 99"):
        EmbeddedKafka(data_dir=directory).start()


def test_many_records_are_there_after_a_restart_in_a_short_time(directory):
    with EmbeddedKafka(data_dir=directory) as broker:
        broker.create_topic("t", 2)
        producer = Producer(client(broker, **{"linger.ms": 20, "queue.buffering.max.messages": MANY}))
        value = b"v" * 92
        for number in range(MANY):
            producer.produce("t", struct.pack(">q", number) + value, partition=number % 2)
        assert producer.flush(60) == 0
        killed_at = time.monotonic()
        killed(broker)
        assert time.monotonic() - killed_at < 5
        numbers = [struct.unpack_from(">q", m.value())[0] for m in whole(broker, "t")]
        assert numbers == [*range(0, MANY, 2), *range(1, MANY, 2)]
    assert sum(path.stat().st_size for path in Path(directory).rglob("*.log")) > MANY * 100
