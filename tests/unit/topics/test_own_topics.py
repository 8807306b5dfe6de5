"""Topics of the house's own: made after their source, large enough, and open to be written to."""

from __future__ import annotations

import pytest

from kafkaboot.client import TopicInfo
from kafkaboot.client.memory import MemoryClients
from kafkaboot.errors import ClientError
from kafkaboot.topics import MissingTopicError, TopicSettings, TopicUse, UnfitTopicError, look_up

TAKES = TopicUse("orders", "handler bill takes it", "shop/handlers.py:21")
LETTERS = TopicUse(
    "orders.shop.dlt",
    "handler bill writes its dead letters to it",
    "shop/handlers.py:21",
    source="orders",
    aligned=True,
)


@pytest.fixture
def clients() -> MemoryClients:
    made = MemoryClients()
    made.kafka.create("orders", 4)
    return made


def look(clients, *uses, declared=None, action="validate", own="create"):
    return look_up(clients.admin(), uses, declared or {}, action, own=own)


def test_it_is_created_with_the_partitions_of_its_source_though_the_users_topics_are_only_validated(clients):
    assert look(clients, TAKES, LETTERS) == ["orders.shop.dlt"]
    assert len(clients.kafka.topics["orders.shop.dlt"]) == 4
    assert look(clients, TAKES, LETTERS) == []


def test_its_source_may_be_made_in_the_same_look(clients):
    new = TopicUse("new", "handler new takes it", "x.py:1")
    letters = TopicUse("new.shop.dlt", "handler new", "x.py:1", source="new", aligned=True)
    declared = {"new": TopicSettings(partitions=7)}
    assert look(clients, new, letters, declared=declared, action="create") == ["new", "new.shop.dlt"]
    assert len(clients.kafka.topics["new.shop.dlt"]) == 7


def test_one_topic_for_several_sources_is_as_large_as_the_largest(clients):
    clients.kafka.create("returns", 9)
    uses = [TopicUse("dead", "bill", "x.py:1", source=one, aligned=True) for one in ("orders", "returns")]
    look(clients, *uses)
    assert len(clients.kafka.topics["dead"]) == 9


def test_what_is_declared_of_it_wins_and_must_be_enough(clients):
    with pytest.raises(UnfitTopicError, match="has 3 partitions"):
        look(clients, LETTERS, declared={"orders.shop.dlt": TopicSettings(partitions=3)})
    clients.kafka.topics.pop("orders.shop.dlt")
    declared = {"orders.shop.dlt": TopicSettings(partitions=6, config={"retention.ms": "7d"})}
    assert look(clients, LETTERS, declared=declared) == ["orders.shop.dlt"]
    assert clients.kafka.topic_configs["orders.shop.dlt"] == {"retention.ms": "604800000"}


def test_where_it_is_not_to_be_created_it_must_exist(clients):
    with pytest.raises(MissingTopicError) as caught:
        look(clients, TAKES, LETTERS, own="validate")
    assert str(caught.value) == (
        "topic 'orders.shop.dlt' does not exist\n"
        "  handler bill writes its dead letters to it (shop/handlers.py:21)\n"
        "  To do: create it (orders.shop.dlt with 4 partitions), or let it be created: "
        "kafkaboot.kafka.topics: auto, or create"
    )


def test_too_few_partitions_are_told_with_both_numbers_the_handler_and_what_to_do(clients):
    clients.kafka.create("orders.shop.dlt", 1)
    with pytest.raises(UnfitTopicError) as caught:
        look(clients, TAKES, LETTERS)
    assert caught.value.what == (
        "topic 'orders.shop.dlt' has 1 partition and 'orders' has 4; a record keeps its partition's number there: "
        "handler bill writes its dead letters to it (shop/handlers.py:21)"
    )
    assert "--alter --partitions" in caught.value.todo
    anywhere = TopicUse("orders.shop.dlt", "handler bill", "x.py:1", source="orders")
    assert look(clients, TAKES, anywhere) == []


def test_a_topic_that_may_not_be_written_to_keeps_the_application_from_starting(clients):
    clients.kafka.create("orders.shop.dlt", 4)
    clients.kafka.denied["orders.shop.dlt"] = {"WRITE", "ALTER"}
    with pytest.raises(UnfitTopicError) as caught:
        look(clients, TAKES, LETTERS)
    assert "'orders.shop.dlt' may not be written to" in caught.value.what
    assert "shop/handlers.py:21" in caught.value.what
    assert "--operation Write" in caught.value.todo
    clients.kafka.denied.clear()
    assert look(clients, TAKES, LETTERS) == []


def test_a_broker_that_does_not_say_what_is_permitted_is_believed(clients):
    class Silent:
        def topics(self, timeout):
            return {name: TopicInfo(name, 4) for name in ("orders", "orders.shop.dlt")}

        def permissions(self, topics, timeout):
            return dict.fromkeys(topics)

    assert look_up(Silent(), [TAKES, LETTERS], {}, "validate") == []


def test_one_that_cannot_be_created_says_who_needs_it_and_how_large(clients):
    class Refusing:
        def topics(self, timeout):
            return {"orders": TopicInfo("orders", 4)}

        def create_topics(self, specs, timeout):
            raise ClientError("not permitted", code="TOPIC_AUTHORIZATION_FAILED")

    with pytest.raises(ClientError) as caught:
        look_up(Refusing(), [TAKES, LETTERS], {}, "validate", own="create")
    assert "shop/handlers.py:21" in caught.value.what
    assert "orders.shop.dlt with 4 partitions" in caught.value.todo
