"""A transactional producer's id on batches that belong to no transaction, and topics that are to go twice."""

import time
import uuid

import pytest
from kio.schema.errors import ErrorCode

from tests.conformance.operations import Run
from tests.conformance.protocol_client import WAIT, Peer, batch, schema

FITS, TOO_LATE, EARLY = "none", "invalid_producer_epoch", "out_of_order_sequence_number"
MIXED = "invalid_txn_state"


class Outsider:
    """A transactional producer with a transaction behind it, which now writes without one."""

    def __init__(self, peer):
        self.run = Run(peer, f"o-{uuid.uuid4().hex[:12]}", int(time.time() * 1000))

    async def begin(self, records):
        await self.run.create(1, "T")
        self.producer = await self.run._known("A")
        assert await self.run._announce("A", self.producer, "T", 0) == "none"
        if records:
            assert (await self.run._in_row(self.producer, "T", 0, records, f"{self.run.name}-A"))[0] == "none"

    async def end(self, commit):
        assert await self.run.end("A", commit) == "none"

    async def write(self, sequence, newer=0):
        raw = batch([b"x"], self.run.begin, self.producer.id, self.producer.epoch + newer, sequence)
        return (await self.run._store("T", 0, raw))[0]


@pytest.fixture
async def outsider(broker):
    async with Peer(broker.bootstrap_servers) as peer:
        one = Outsider(peer)
        yield one
        await one.run.delete("T")


@pytest.mark.parametrize("commit", [True, False])
async def test_after_a_transaction_its_producer_goes_on_in_the_same_row(outsider, commit):
    await outsider.begin(records=2)
    await outsider.end(commit)
    assert [await outsider.write(sequence) for sequence in (5, 0, 2, 3)] == [EARLY, EARLY, FITS, FITS]
    assert [await outsider.write(4, newer=-1), await outsider.write(4, newer=1)] == [TOO_LATE, EARLY]


@pytest.mark.parametrize("commit", [True, False])
async def test_after_a_transaction_without_records_its_producer_begins_with_the_first(outsider, commit):
    await outsider.begin(records=0)
    await outsider.end(commit)
    assert [await outsider.write(sequence) for sequence in (3, 0, 1)] == [EARLY, FITS, FITS]


async def test_inside_a_transaction_the_place_in_the_row_is_looked_at_first(outsider):
    await outsider.begin(records=2)
    assert await outsider.write(2) == MIXED
    assert await outsider.write(7) == EARLY
    assert await outsider.write(2, newer=-1) == TOO_LATE
    assert [await outsider.write(2, newer=1), await outsider.write(0, newer=1)] == [EARLY, MIXED]


TWICE = {"n": "Duplicate topic name.", "i": "Duplicate topic id."}
BOTH_WAYS = "The provided topic name maps to an ID that was already supplied."
NOT_CLEAR = {
    "b": "You may not specify both topic name and topic id.",
    "z": "Neither topic name nor id were specified.",
}


@pytest.mark.parametrize(
    ("asked", "answers", "stays"),
    [
        ("n", [None], False),
        ("i", [None], False),
        ("nn", [TWICE["n"]], True),
        ("ii", [TWICE["i"]], True),
        ("ni", [BOTH_WAYS], True),
        ("in", [BOTH_WAYS], True),
        ("nni", [TWICE["n"], None], False),
        ("nii", [TWICE["i"], BOTH_WAYS], True),
        ("b", [NOT_CLEAR["b"]], True),
        ("zz", [NOT_CLEAR["z"]] * 2, True),
        ("bn", [NOT_CLEAR["b"], None], False),
    ],
)
async def test_a_topic_that_is_to_go_twice_is_refused_and_stays(broker, asked, answers, stays):
    async with Peer(broker.bootstrap_servers) as peer:
        run = Run(peer, f"t-{uuid.uuid4().hex[:12]}", 0)
        await run.create(1, "T")
        name, named = run.topic("T"), schema("metadata").MetadataRequestTopic
        known = {"allow_auto_topic_creation": False, "include_topic_authorized_operations": False}
        found = await peer.ask("metadata", topics=(named(topic_id=None, name=name),), **known)
        topic_id = found.topics[0].topic_id
        ways = {"n": (name, None), "i": (None, topic_id), "b": (name, topic_id), "z": (None, None)}
        topics = tuple(schema("delete_topics").DeleteTopicState(name=n, topic_id=t) for n, t in map(ways.get, asked))
        answered = (await peer.ask("delete_topics", topics=topics, timeout=WAIT)).responses
        assert sorted(str(one.error_message) for one in answered) == sorted(map(str, answers))
        assert all((one.error_code is ErrorCode.none) == (one.error_message is None) for one in answered)
        # Whether it is still there: a real broker forgets it a moment later, but its controller knows at once.
        assert await run.delete("T") == ("none" if stays else "unknown_topic_or_partition")
