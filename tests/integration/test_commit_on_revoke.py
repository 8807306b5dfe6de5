"""A partition that is given away is committed inside the rebalance callback, where librdkafka is particular."""

import time

from kafkaboot.client import TP, Committed
from kafkaboot.client.confluent.consumer import ConfluentConsumer
from kafkaboot.testing import eventually


class Giver:
    """Commits 7 on all that it gives away, and remembers how long that took."""

    def __init__(self, consumer):
        self.consumer, self.mine, self.took = consumer, set(), []

    def assigned(self, partitions):
        self.mine |= set(partitions)
        return {}

    def revoked(self, partitions):
        begin = time.monotonic()
        self.consumer.commit({tp: Committed(7, "said beside it") for tp in partitions}, None)
        self.took.append(time.monotonic() - begin)
        self.mine -= set(partitions)

    def lost(self, partitions):
        raise AssertionError("nobody was away")


def member(kafka, name, strategy):
    consumer = ConfluentConsumer(
        {
            "bootstrap.servers": kafka.bootstrap_servers,
            "group.id": name,
            "partition.assignment.strategy": strategy,
            "heartbeat.interval.ms": 200,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
        }
    )
    listener = Giver(consumer)
    consumer.subscribe([name], listener)
    return listener


def test_a_commit_is_answered_at_once_while_partitions_are_given_away(kafka, topic):
    for strategy in ("cooperative-sticky", "range"):
        name = topic(partitions=4)
        first = member(kafka, name, strategy)
        eventually(lambda first=first: first.consumer.poll_chunk(10, 0.05) or len(first.mine) == 4, 30)
        second = member(kafka, name, strategy)
        both = [first, second]

        def shared(both=both):
            for each in both:
                each.consumer.poll_chunk(10, 0.05)
            return [len(each.mine) for each in both] == [2, 2]

        eventually(shared, 30)
        assert first.took
        assert max(first.took) < 2
        given = first.consumer.committed([TP(name, p) for p in range(4)], 10)
        assert {given[tp] for tp in second.mine} == {Committed(7, "said beside it")}
        for each in both:
            each.consumer.close(10)
