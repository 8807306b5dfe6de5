"""KIP-848: static members that come back, two of one name, and members that die without a word."""

import time

import pytest

from kafkaboot.testing import eventually
from tests.conformance.test_consumer_groups import NEXT, Members
from tests.conftest import CONSUMER_SESSION


def test_a_static_member_of_the_new_protocol_comes_back_to_its_partitions(cluster):
    members = Members(cluster, cluster.topic(partitions=4), NEXT)
    first, _ = members.join(group_instance_id="one"), members.join(group_instance_id="two")
    held = members.share([2, 2])
    members.leave(first)
    members.moved.clear()
    members.poll()
    members.join(group_instance_id="one")
    assert members.share([2, 2]) == [held[1], held[0]]
    assert members.moved == []


def test_a_dynamic_member_of_the_new_protocol_leaves_what_it_had_to_the_others(cluster):
    members = Members(cluster, cluster.topic(partitions=4), NEXT)
    first, _ = members.join(), members.join()
    members.share([2, 2])
    members.leave(first)
    members.share([4])


def test_of_two_static_members_of_one_name_the_newer_is_refused_while_the_older_lives(cluster):
    members = Members(cluster, cluster.topic(), NEXT)
    members.join(group_instance_id="one")
    members.share([1])
    second, errors = members.join(group_instance_id="one"), []
    members.all.remove(second)

    def refused():
        message = second.poll(0.1)
        members.poll()
        if message is not None and message.error() is not None:
            errors.append(message.error().name())
        return {"_FATAL", "UNRELEASED_INSTANCE_ID"} & set(errors)

    eventually(refused, deadline=15, saying=lambda: f"errors {errors}")
    assert members.partitions() == [{0}]


@pytest.mark.parametrize("instance", [{}, {"group_instance_id": "one"}], ids=["dynamic", "static"])
def test_a_member_of_the_new_protocol_that_dies_is_replaced_after_its_session(cluster, proxy, instance):
    members = Members(cluster, cluster.topic(partitions=2), NEXT)
    dead = members.join(bootstrap_servers=proxy.address, reconnect_backoff_ms=50, **instance)
    members.share([2])
    members.join()
    members.share([1, 1])
    members.all.remove(dead)
    proxy.close()
    begin = time.monotonic()
    members.share([2])
    assert time.monotonic() - begin > CONSUMER_SESSION / 2_000, "it was not given its time"
