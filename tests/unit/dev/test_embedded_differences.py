"""What random operations on both brokers once found to be answered differently, each by itself as Kafka 4.1 answers."""

from importlib import import_module

import pytest

from kafkaboot.dev.embedded.node import Node, NodeSettings
from tests.unit.dev.test_embedded_transactions import Desk, batch


@pytest.fixture
def desk():
    node = Node(NodeSettings())
    node.topics.create("out", 2)
    return Desk(node)


def test_deleted_records_of_an_open_transaction_hold_no_reader_of_committed_data_back(desk):
    desk.open()
    desk.log.append(batch(-1, -1, -1, transactional=False))
    desk.log.delete_before(2)
    assert (desk.log.stable, desk.log.end) == (2, 2)


def test_no_record_of_an_open_transaction_is_shown_whose_first_records_were_deleted(desk):
    producer = desk.open()
    assert desk.produce(batch(*producer, 1)) == 1
    desk.log.delete_before(1)
    assert desk.log.read(1, 1 << 20, committed=True, at_least_one=True) == []
    assert len(desk.log.read(1, 1 << 20, committed=False, at_least_one=True)) == 1


def test_a_producer_that_asks_again_too_late_ends_what_its_successor_has_open(desk):
    _, first = desk.init()
    successor = desk.open()
    assert desk.init(producer=first)[0] == "producer_fenced"
    assert desk.log.open == {}
    assert [one.producer_id for one in desk.log.aborted] == [successor[0]]


def test_offsets_of_a_zombie_for_a_partition_that_is_not_there_are_refused_for_the_partition(desk):
    _, zombie = desk.init()
    desk.init()
    assert desk.commit_offset(zombie, index=7) == "unknown_topic_or_partition"
    assert desk.commit_offset(zombie) != "unknown_topic_or_partition"


def test_a_commit_for_a_partition_that_is_not_there_is_refused(desk):
    made = import_module("kio.schema.offset_commit.v8.request")

    def commit(index):
        part = made.OffsetCommitRequestPartition(
            partition_index=index, committed_offset=1, committed_leader_epoch=-1, committed_metadata=""
        )
        topic = made.OffsetCommitRequestTopic(name="out", partitions=(part,))
        given = {"group_id": "g", "generation_id_or_member_epoch": -1, "member_id": "", "group_instance_id": None}
        answer = desk.ask("offset_commit", 8, topics=(topic,), **given)
        return answer.topics[0].partitions[0].error_code.name

    assert (commit(1), commit(2)) == ("none", "unknown_topic_or_partition")
