"""Topics of a measurement: refused where they could not be deleted, deleted whatever happens, named where they stay."""

from __future__ import annotations

import pytest

from kafkaboot.errors import BrokerUnreachableError, ClientError
from kafkaboot.testing.bench import PREFIX, BenchError, Ground
from kafkaboot.testing.bench.diverted import DivertedClients, Places


class Admin:
    """A cluster in a set; `denied` holds the calls that are refused."""

    def __init__(self):
        self.there, self.known_groups, self.denied = {"orders"}, set(), {}
        self.allowed = frozenset({"READ", "WRITE", "DELETE"})
        self.deleted_groups = 0

    def _ask(self, call):
        if call in self.denied:
            raise self.denied[call]

    def topics(self, timeout):
        self._ask("topics")
        return dict.fromkeys(self.there)

    def create_topics(self, specs, timeout):
        self._ask("create_topics")
        self.there |= {spec.name for spec in specs}

    def permissions(self, topics, timeout):
        return dict.fromkeys(topics, self.allowed)

    def delete_topics(self, names, timeout):
        self._ask("delete_topics")
        self.there -= set(names)

    def delete_groups(self, names, timeout):
        self.deleted_groups += 1
        if self.deleted_groups < 3:
            raise ClientError("not empty", code="NON_EMPTY_GROUP")
        self.known_groups -= set(names)

    def close(self):
        pass


class Clients:
    def __init__(self):
        self.cluster = Admin()

    def admin(self):
        return self.cluster

    def producer(self, overrides):
        return Port()


class Port:
    def __init__(self):
        self.sent = []

    def produce(self, topic, *rest):
        self.sent.append((topic, rest))


@pytest.fixture
def clients():
    return Clients()


def test_what_was_made_is_deleted_whatever_happened_and_nothing_else(clients):
    told = []
    with pytest.raises(ZeroDivisionError), Ground(clients, told.append) as ground:
        made = ground.topic("produce-100", 2)
        clients.cluster.known_groups = {ground.group("g"), "theirs"}
        assert made.startswith(PREFIX)
        assert clients.cluster.there == {"orders", made}  # the control
        raise ZeroDivisionError
    assert clients.cluster.there == {"orders"}
    assert clients.cluster.known_groups == {"theirs"}  # its members had left at the third attempt
    assert (ground.left, told) == ([], [])


def test_a_topic_that_came_back_by_a_clients_question_is_deleted_again(clients):
    with Ground(clients) as ground:
        made = ground.topic("a")
        ground.group("g")
        before = clients.cluster.delete_groups

        def asked_for_once_more(names, timeout):
            clients.cluster.there.add(made)
            before(names, timeout)

        clients.cluster.delete_groups = asked_for_once_more
    assert clients.cluster.there == {"orders"}


def test_what_may_not_be_deleted_afterwards_is_not_measured_with(clients):
    clients.cluster.allowed = frozenset({"READ", "WRITE"})
    with pytest.raises(BenchError, match="could not be deleted") as caught, Ground(clients) as ground:
        ground.topic("a")
    assert "Delete on topics kafkaboot-bench-*" in caught.value.todo
    clients.cluster.allowed = None  # a broker that does not say
    with Ground(clients) as ground:
        assert ground.topic("a")


def test_a_refused_topic_says_which_permissions_are_needed(clients):
    clients.cluster.denied["create_topics"] = ClientError("no", code="TOPIC_AUTHORIZATION_FAILED")
    with pytest.raises(BenchError, match="cannot be made") as caught, Ground(clients) as ground:
        ground.topic("a")
    assert "Create" in caught.value.todo
    assert "kafka-acls" in caught.value.todo


def test_what_could_not_be_deleted_is_named(clients):
    told = []
    with Ground(clients, told.append) as ground:
        made, group = ground.topic("a"), ground.group("g")
        clients.cluster.denied["delete_topics"] = ClientError("no", code="TOPIC_AUTHORIZATION_FAILED")
    assert ground.left == [group, made] or ground.left == [made, group]
    assert made in told[-1]
    assert group in told[-1]


def test_a_broker_that_is_gone_leaves_the_names_behind(clients):
    with Ground(clients) as ground:
        made = ground.topic("a")
        clients.cluster.denied["topics"] = BrokerUnreachableError("gone")
    assert ground.left == [made]


def test_ctrl_c_while_deleting_names_what_is_left(clients):
    told = []
    with pytest.raises(KeyboardInterrupt), Ground(clients, told.append) as ground:
        made = ground.topic("a")
        clients.cluster.denied["delete_topics"] = KeyboardInterrupt()
    assert ground.left == [made]
    assert made in told[-1]


def test_what_an_application_publishes_goes_to_topics_of_the_measurement(clients):
    with Ground(clients) as ground:
        diverted = DivertedClients(ground, Places(ground, {"orders": 3}, 1))
        port = diverted.producer({})
        port.produce("orders", b"v", None, None, -1, None)
        port.produce("orders", b"w", None, None, 2, None)
        dead = f"{ground.prefix}-in.{ground.prefix}-handler.dlt"
        port.produce(dead, b"x", None, None, -1, None)
        assert [topic for topic, _ in port.sent] == [f"{ground.prefix}-out-orders"] * 2 + [dead]
        assert port.sent[1][1] == (b"w", None, None, 2, None, 0)
        assert {f"{ground.prefix}-out-orders", dead} <= clients.cluster.there
        for call in (diverted.admin, lambda: diverted.consumer("shop", {})):
            with pytest.raises(BenchError, match="must not touch the application's own groups"):
                call()
    assert clients.cluster.there == {"orders"}
