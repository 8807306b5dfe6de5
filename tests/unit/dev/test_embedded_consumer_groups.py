"""Consumer groups (KIP-848) of the embedded broker. Apache Kafka 4.1 gave the same answers to the same requests."""

import random
import time
from datetime import timedelta
from types import SimpleNamespace

import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient
from kio.schema.consumer_group_heartbeat.v1 import request as asked
from kio.schema.consumer_group_heartbeat.v1 import response as answered
from kio.schema.errors import ErrorCode

from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.dev.embedded.assignors import Subscriber, by_range, uniform
from kafkaboot.dev.embedded.consumer_group_requests import consumer_group_heartbeat
from kafkaboot.dev.embedded.consumer_groups import Beat, ConsumerGroup
from kafkaboot.dev.embedded.node import Node, NodeSettings
from kafkaboot.testing import eventually

SESSION, REBALANCE = 10.0, 5.0
NOTHING = frozenset()


@pytest.fixture
def topics():
    topics = Node(NodeSettings()).topics
    topics.create("orders", 4)
    return topics


@pytest.fixture
def group(topics):
    return ConsumerGroup("g", topics, SESSION)


def joins(group, member, instance_id=None, **more):
    given = {"rebalance_timeout": REBALANCE, "topics": frozenset({"orders"}), "owned": NOTHING}
    return group.heartbeat(Beat(member, 0, instance_id, **given | more))


def beats(group, member, epoch, owned=None, **more):
    return group.heartbeat(Beat(member, epoch, owned=owned, **more))


def test_the_first_member_gets_everything_at_once(group, topics):
    answer = joins(group, "a")
    everything = {(topics.get("orders").id, index) for index in range(4)}
    assert (answer.error, answer.epoch, answer.assignment, group.state) == (ErrorCode.none, 1, everything, "Stable")


def test_an_assignment_is_told_once_and_again_when_the_member_says_everything(group):
    epoch, owned = joins(group, "a").epoch, group.members["a"].assigned
    assert beats(group, "a", epoch).assignment is None
    again = beats(group, "a", epoch, owned, rebalance_timeout=REBALANCE, topics=frozenset({"orders"}))
    assert again.assignment == owned


def test_a_partition_is_given_on_only_after_its_reader_let_go_of_it(group):
    first = joins(group, "a")
    assert joins(group, "b").assignment == NOTHING
    told = beats(group, "a", first.epoch, first.assignment)
    assert (told.epoch, len(told.assignment), group.state) == (1, 2, "Reconciling")
    # Until "a" says that it has let go, nothing moves.
    assert beats(group, "a", first.epoch, first.assignment).assignment is None
    assert beats(group, "b", 2, NOTHING).assignment is None
    assert beats(group, "a", first.epoch, told.assignment).epoch == 2
    given = beats(group, "b", 2, NOTHING).assignment
    assert given == first.assignment - told.assignment
    assert group.state == "Stable"


def test_whoever_keeps_what_it_should_give_back_is_out_after_the_rebalance_timeout(group):
    first = joins(group, "a")
    joins(group, "b")
    beats(group, "a", first.epoch, first.assignment)
    group.expire(time.monotonic() + REBALANCE - 1)
    assert "a" in group.members
    group.expire(time.monotonic() + REBALANCE + 1)
    assert list(group.members) == ["b"]
    assert beats(group, "b", 2, NOTHING).assignment == first.assignment
    assert beats(group, "a", first.epoch).error is ErrorCode.unknown_member_id


def test_whoever_falls_silent_is_out_after_its_session_and_only_then(group):
    everything = joins(group, "a").assignment
    joins(group, "b")
    group.members["b"].deadline += 5
    group.expire(time.monotonic() + SESSION - 1)
    assert list(group.members) == ["a", "b"]
    group.expire(time.monotonic() + SESSION + 1)
    assert beats(group, "b", 2, NOTHING).assignment == everything


def test_epochs_that_are_not_the_members_are_fenced(group):
    first = joins(group, "a")
    assert beats(group, "a", first.epoch + 1).error is ErrorCode.fenced_member_epoch
    assert beats(group, "stranger", 1).error is ErrorCode.unknown_member_id
    joins(group, "b")
    kept = beats(group, "a", 1, first.assignment).assignment
    assert beats(group, "a", 1, kept).epoch == 2
    # The answer may have been lost: whoever owns no more than it may is let on.
    assert beats(group, "a", 1, kept).epoch == 2
    assert beats(group, "a", 1, first.assignment).error is ErrorCode.fenced_member_epoch
    assert beats(group, "a", 1).error is ErrorCode.fenced_member_epoch
    assert beats(group, "a", 2).error is ErrorCode.none


def test_a_member_that_leaves_frees_its_partitions(group):
    everything = joins(group, "a").assignment
    joins(group, "b")
    assert beats(group, "a", -1).epoch == -1
    assert beats(group, "b", 2, NOTHING).assignment == everything
    assert beats(group, "b", -1).error is ErrorCode.none
    assert (group.state, group.empty) == ("Empty", True)


def test_a_static_member_that_goes_for_a_while_finds_its_partitions_under_a_new_id(group):
    first = joins(group, "a", "one")
    assert joins(group, "a2", "one").error is ErrorCode.unreleased_instance_id
    assert beats(group, "a", -2, instance_id="one").epoch == -2
    back = joins(group, "a2", "one")
    assert (back.epoch, back.assignment) == (first.epoch, first.assignment)
    assert beats(group, "a", first.epoch, instance_id="one").error is ErrorCode.fenced_instance_id
    assert group.leave("", "one") is ErrorCode.none
    assert group.empty


def test_a_static_member_that_stays_away_loses_its_place(group):
    joins(group, "a", "one")
    beats(group, "a", -2, instance_id="one")
    group.expire(time.monotonic() + SESSION + 1)
    assert group.empty


def test_new_partitions_and_topics_that_match_are_given_out(group, topics):
    epoch = joins(group, "a", topics=None, regex="or.*s").epoch
    topics.get("orders").grow(6)
    grown = beats(group, "a", epoch, group.members["a"].assigned)
    assert (grown.epoch, len(grown.assignment)) == (2, 6)
    topics.create("orients", 1)
    topics.create("orient", 1)
    assert len(beats(group, "a", 2, grown.assignment).assignment) == 7


def test_a_topic_that_is_made_anew_is_assigned_anew(group, topics):
    first = joins(group, "a")
    topics.delete("orders")
    topics.create("orders", 4)
    told = beats(group, "a", first.epoch, first.assignment)
    assert told.assignment == NOTHING
    again = beats(group, "a", first.epoch, NOTHING)
    assert (
        {topic for topic, _ in again.assignment}
        == {topics.get("orders").id}
        != {topic for topic, _ in first.assignment}
    )


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"group_id": ""}, ErrorCode.invalid_request),
        ({"member_id": ""}, ErrorCode.invalid_request),
        ({"member_epoch": -3}, ErrorCode.invalid_request),
        ({"member_epoch": -2}, ErrorCode.invalid_request),
        ({"instance_id": ""}, ErrorCode.invalid_request),
        ({"topic_partitions": None}, ErrorCode.invalid_request),
        ({"subscribed_topic_names": None}, ErrorCode.invalid_request),
        ({"server_assignor": "magic"}, ErrorCode.unsupported_assignor),
        ({"subscribed_topic_regex": "("}, ErrorCode.invalid_regular_expression),
        ({"member_epoch": 4}, ErrorCode.group_id_not_found),
        ({}, ErrorCode.none),
    ],
)
def test_a_heartbeat_that_makes_no_sense_is_refused(wrong, error):
    fields = {
        "group_id": "g",
        "member_id": "m",
        "member_epoch": 0,
        "rebalance_timeout": timedelta(seconds=5),
        "subscribed_topic_names": ("orders",),
        "subscribed_topic_regex": None,
        "topic_partitions": (),
    }
    connection = SimpleNamespace(client_id="probe", peer="127.0.0.1:1")
    request = asked.ConsumerGroupHeartbeatRequest(**fields | wrong)
    assert consumer_group_heartbeat(Node(NodeSettings()), request, answered, connection).error_code is error


class Client:
    """A member as a client plays it: it reads what it was told last, after letting go of the rest a beat later."""

    def __init__(self, group, member_id):
        self.group, self.id = group, member_id
        self.epoch, self.owned, self.told = 0, NOTHING, NOTHING
        self.unsure = self.gone = False

    def beat(self, *, loses_answer=False):
        # After an answer that never came a client says everything again, and so is told everything.
        whole = {"rebalance_timeout": REBALANCE, "topics": frozenset({"orders"})} if self.unsure else {}
        answer = (
            beats(self.group, self.id, self.epoch, self.owned, **whole) if self.epoch else joins(self.group, self.id)
        )
        self.unsure = loses_answer
        if loses_answer:
            return
        if answer.error is ErrorCode.fenced_member_epoch:
            # Too many answers were lost: it lets go of all, and is in again when its session has run out.
            self.group.members[self.id].deadline = 0.0
            self.group.expire(time.monotonic())
            self.epoch, self.owned, self.told = 0, NOTHING, NOTHING
        else:
            assert answer.error is ErrorCode.none
            self.epoch = answer.epoch
            if answer.assignment is not None:
                self.told = answer.assignment
            self.owned = self.told

    def leave(self):
        beats(self.group, self.id, -1)
        self.owned, self.gone = NOTHING, True


@pytest.mark.parametrize("seed", range(60))
def test_whatever_members_do_no_partition_has_two_readers_and_in_the_end_each_has_one(topics, seed):
    chance = random.Random(seed)
    group = ConsumerGroup("g", topics, SESSION)
    clients = []
    for step in range(60):
        living = [one for one in clients if not one.gone]
        what = chance.random()
        if not living or (what < 0.15 and len(living) < 5):
            clients.append(Client(group, f"m{step}"))
            clients[-1].beat()
        elif what < 0.2:
            chance.choice(living).leave()
        elif what < 0.25:
            topics.get("orders").grow(len(topics.get("orders").partitions) + 1)
        else:
            chance.choice(living).beat(loses_answer=chance.random() < 0.1)
        held = [partition for one in clients for partition in one.owned]
        assert len(held) == len(set(held))
    living = [one for one in clients if not one.gone] or [Client(group, "last")]
    for _ in range(6):
        for one in living:
            one.beat()
    everything = {(topics.get("orders").id, index) for index in range(len(topics.get("orders").partitions))}
    assert set.union(*(set(one.owned) for one in living)) == everything
    assert group.state == "Stable"
    sizes = [len(one.owned) for one in living]
    assert max(sizes) - min(sizes) <= 1


# --- assignors


def subscriber(member, *topics, held=(), instance_id=None):
    return Subscriber(member, instance_id, frozenset(topics), frozenset(held))


def test_uniform_is_even_whole_and_moves_as_little_as_that_allows():
    chance = random.Random(848)
    for _ in range(200):
        partitions = {f"t{number}": chance.randint(1, 8) for number in range(chance.randint(1, 4))}
        everything = {(topic, index) for topic, count in partitions.items() for index in range(count)}
        members = [f"m{number}" for number in range(chance.randint(1, 6))]
        before = uniform([subscriber(one, *partitions) for one in members], partitions)
        assert set().union(*before.values()) == everything
        assert sum(map(len, before.values())) == len(everything)
        after = uniform(
            [subscriber(one, *partitions, held=before.get(one, ())) for one in [*members, "new"]], partitions
        )
        sizes = [len(one) for one in after.values()]
        assert (max(sizes) - min(sizes) <= 1, sum(sizes)) == (True, len(everything))
        assert sum(len(after[one] - before[one]) for one in members) == 0, "only the new one takes"


def test_uniform_gives_a_topic_to_those_who_read_it_only():
    given = uniform([subscriber("a", "x"), subscriber("b", "x", "y")], {"x": 2, "y": 2, "z": 1})
    assert given == {"a": {("x", 0), ("x", 1)}, "b": {("y", 0), ("y", 1)}}


def test_range_puts_equal_partitions_of_two_topics_together():
    given = by_range([subscriber("b", "x", "y"), subscriber("a", "x", "y")], {"x": 3, "y": 3})
    assert given == {"a": {("x", 0), ("x", 1), ("y", 0), ("y", 1)}, "b": {("x", 2), ("y", 2)}}


# --- with a client


@pytest.fixture(scope="module")
def broker():
    with EmbeddedKafka() as broker:
        yield broker


class Reader:
    """A consumer of the new protocol."""

    def __init__(self, broker, group, topic, **more):
        self.revoked = []
        self.consumer = Consumer(
            {
                "bootstrap.servers": broker.bootstrap_servers,
                "group.id": group,
                "group.protocol": "consumer",
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                **{name.replace("_", "."): value for name, value in more.items()},
            }
        )
        self.consumer.subscribe([topic], on_revoke=lambda _, partitions: self.revoked.extend(partitions))

    def has(self):
        self.consumer.poll(0.05)
        return {one.partition for one in self.consumer.assignment()}


def share(*readers):
    """Until all partitions are with somebody, and everybody has some."""

    def shared():
        parts = [reader.has() for reader in readers]
        return all(parts) and sum(map(len, parts)) == len(set.union(*parts)) == 4 and parts

    return eventually(shared, deadline=20)


@pytest.mark.parametrize("assignor", ["uniform", "range"])
def test_two_consumers_share_a_topic_and_one_takes_over(broker, assignor):
    broker.create_topic(assignor, 4)
    one = Reader(broker, assignor, assignor, group_remote_assignor=assignor)
    share(one)
    two = Reader(broker, assignor, assignor, group_remote_assignor=assignor)
    share(one, two)
    assert len(one.revoked) == 2
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    described = admin.describe_consumer_groups([assignor])[assignor].result(10)
    assert (described.type.name, described.partition_assignor, len(described.members)) == ("CONSUMER", assignor, 2)
    two.consumer.close()
    assert share(one) == [{0, 1, 2, 3}]
    one.consumer.close()


def test_a_static_consumer_comes_back_to_its_partitions(broker):
    broker.create_topic("stays", 4)
    one = Reader(broker, "stays", "stays", group_instance_id="one")
    share(one)
    two = Reader(broker, "stays", "stays", group_instance_id="two")
    _, had = share(one, two)
    one.revoked.clear()
    two.consumer.close()
    two = Reader(broker, "stays", "stays", group_instance_id="two")
    assert share(one, two)[1] == had
    assert one.revoked == []
    one.consumer.close()
    two.consumer.close()


def test_a_pattern_takes_in_topics_that_come_later(broker):
    broker.create_topic("wide-1", 2)
    reader = Reader(broker, "wide", "^wide-.*")
    eventually(lambda: reader.has() and len(reader.consumer.assignment()) == 2, deadline=20)
    broker.create_topic("wide-2", 2)
    eventually(lambda: reader.has() and len(reader.consumer.assignment()) == 4, deadline=20)
    reader.consumer.close()
