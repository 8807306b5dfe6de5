from __future__ import annotations

import pytest

from kafkaboot.client import TopicSpec
from kafkaboot.errors import BrokerUnreachableError
from kafkaboot.topics import TopicUse
from tests.unit.topics.conftest import LETTERS, RETRY, TAKES


def steps(plan):
    return [(step.kind, step.topic, step.setting, step.old, step.new) for step in plan.steps]


def test_what_is_missing_is_created_sources_first_and_the_houses_own_as_large(plan_for, kafka):
    said = {"orders": {"partitions": 4, "replication": 3, "config": {"retention.ms": "7d"}}}
    plan = plan_for(said, LETTERS, RETRY, TAKES, places={"orders.partitions": "application.yaml:7"})
    assert [step.spec for step in plan.steps] == [
        TopicSpec("orders", 4, 3, {"retention.ms": "604800000"}),
        TopicSpec("orders.shop.dlt", 4, -1),
        TopicSpec("orders.shop.retry.5s", 4, -1),
    ]
    assert plan.steps[0].why == "kafkaboot.topics.orders; handler bill takes it"
    assert [step.where for step in plan.steps[:2]] == ["application.yaml:7", "shop/handlers.py:21"]
    assert kafka.topics == {}


def test_a_cluster_that_is_as_wanted_has_an_empty_plan(plan_for, kafka):
    kafka.create("orders", 4, {"retention.ms": "604800000"})
    for name in (LETTERS.topic, RETRY.topic):
        kafka.create(name, 4)
    plan = plan_for({"orders": {"partitions": 4, "config": {"retention.ms": "7d"}}}, TAKES, LETTERS, RETRY)
    assert (plan.steps, plan.differences, plan.unseen, plan.topics) == ([], [], [], 3)


def test_a_default_that_is_what_is_wanted_needs_no_change(plan_for, kafka):
    kafka.create("orders")
    assert plan_for({"orders": {"config": {"retention.ms": "7d", "cleanup.policy": "delete"}}}, TAKES).steps == []


def test_more_partitions_need_consent_and_the_plan_says_what_becomes_of_keys_and_who_counts_on_them(plan_for, kafka):
    kafka.create("orders", 4, {"cleanup.policy": "compact"})
    kafka.create(RETRY.topic, 4)
    by_key = TopicUse(
        "orders", "handler bill takes it", "x.py:1", keyed="handler bill handles a key's records in order"
    )
    plan = plan_for({"orders": {"partitions": 6}}, by_key, RETRY)
    [step] = plan.steps
    assert (step.kind, step.old, step.new, step.waits, step.ready) == ("partitions", "4", "6", True, False)
    assert step.warning == (
        "records of a key may go to another partition than those before them, and overtake them; "
        "handler bill handles a key's records in order; "
        "it is compacted, and the old record of a key stays in its old partition for good; "
        "these grow with it: orders.shop.retry.5s"
    )
    assert plan.waiting == [step]


def test_with_consent_what_follows_grows_first(plan_for, kafka):
    for name in ("orders", LETTERS.topic, RETRY.topic):
        kafka.create(name, 4)
    plan = plan_for({"orders": {"partitions": 6}}, TAKES, LETTERS, RETRY, consent=["orders"])
    assert steps(plan) == [
        ("partitions", LETTERS.topic, "partitions", "4", "6"),
        ("partitions", RETRY.topic, "partitions", "4", "6"),
        ("partitions", "orders", "partitions", "4", "6"),
    ]
    assert plan.ready == plan.steps


def test_a_retry_topic_that_is_smaller_than_its_source_grows_without_consent_its_records_have_no_choice(
    plan_for, kafka
):
    kafka.create("orders", 6)
    kafka.create(RETRY.topic, 4)
    plan = plan_for({}, TAKES, RETRY)
    assert steps(plan) == [("partitions", RETRY.topic, "partitions", "4", "6")]
    assert (plan.steps[0].waits, plan.steps[0].warning) == (False, "")


def test_letters_that_go_to_any_partition_are_made_as_large_and_not_let_grow(plan_for, kafka):
    kafka.create("orders", 6)
    anywhere = TopicUse("dead", "handler bill", "x.py:1", source="orders")
    assert plan_for({}, TAKES, anywhere).steps[0].spec == TopicSpec("dead", 6)
    kafka.create("dead", 1)
    assert plan_for({}, TAKES, anywhere).steps == []


def test_fewer_partitions_and_another_replication_are_left_alone_with_what_to_do(plan_for, kafka):
    kafka.create("orders", 8, replication=2)
    places = {"orders.partitions": "a.yaml:3", "orders.replication": "a.yaml:4"}
    plan = plan_for({"orders": {"partitions": 4, "replication": 3}}, TAKES, places=places)
    assert plan.steps == []
    assert [(one.setting, one.there, one.wanted, one.where) for one in plan.differences] == [
        ("partitions", "8", "4", "a.yaml:3"),
        ("replication", "2", "3", "a.yaml:4"),
    ]
    assert plan.differences[0].todo == "write partitions: 8"
    assert "kafka-reassign-partitions" in plan.differences[1].todo


def test_a_desk_holds_one_copy_and_does_not_ask_for_two_of_them_in_sync(plan_for, kafka):
    said = {"orders": {"replication": 3, "config": {"min.insync.replicas": 2}}}
    [step] = plan_for(said, TAKES, single_broker=True).steps
    assert step.spec == TopicSpec("orders", -1, 1)
    kafka.create("orders")
    plan = plan_for(said, TAKES, single_broker=True)
    assert (plan.steps, plan.differences) == ([], [])
    assert plan_for(said, TAKES).differences != []


def test_settings_are_changed_where_it_costs_nothing_and_told_where_it_would(plan_for, kafka):
    kafka.create("orders", 1, {"retention.ms": "1000", "segment.ms": "5000", "max.message.bytes": "2000000"})
    said = {"config": {"retention.ms": "7d", "segment.ms": "1h", "max.message.bytes": "1MB"}}
    plan = plan_for({"orders": said}, TAKES, places={"orders.config.retention.ms": "a.yaml:5"})
    assert steps(plan) == [
        ("setting", "orders", "retention.ms", "1000", "604800000"),
        ("setting", "orders", "segment.ms", "5000", "3600000"),
    ]
    assert plan.steps[0].where == "a.yaml:5"
    [difference] = plan.differences
    assert (difference.setting, difference.why) == (
        "max.message.bytes",
        "records that are accepted today would be refused",
    )
    assert "kafka-configs --alter --entity-type topics --entity-name orders" in difference.todo


def test_a_setting_that_the_specification_does_not_name_is_told_and_no_difference_to_do_anything_about(plan_for, kafka):
    kafka.create("orders", 1, {"segment.ms": "5000"})
    assert plan_for({}, TAKES).differences == []
    [one] = plan_for({"orders": {}}, TAKES).differences
    assert (one.setting, one.there, one.wanted, one.todo) == ("segment.ms", "5000", "", "")


def test_the_cluster_is_asked_what_it_would_refuse_and_each_topic_is_told(plan_for, kafka):
    kafka.create("orders", 2)
    kafka.create("fixed", 2)
    kafka.denied["fixed"] = {"ALTER"}
    kafka.denied["secret"] = {"CREATE"}
    said = {
        "orders": {"config": {"retention.mss": "1", "segment.ms": "1h"}},
        "fixed": {"partitions": 4},
        "secret": {},
        "good": {},
    }
    plan = plan_for(said, consent=["fixed"])
    refused = {(step.topic, step.setting): step.refused for step in plan.refused}
    assert set(refused) == {
        ("orders", "retention.mss"),
        ("orders", "segment.ms"),
        ("fixed", "partitions"),
        ("secret", ""),
    }
    assert "Unknown topic config name: retention.mss" in refused["orders", "segment.ms"]
    assert "ALTER is not permitted" in refused["fixed", "partitions"]
    assert next(step.todo for step in plan.steps if step.setting == "retention.mss") == "did you mean retention.ms?"
    assert [step.topic for step in plan.ready] == ["good"]
    assert all(step.ready for step in plan_for(said, consent=["fixed"], dry_run=False).steps)


def test_settings_that_may_not_be_looked_at_are_told_and_not_changed(plan_for, kafka):
    kafka.create("orders", 2)
    kafka.denied["orders"] = {"DESCRIBE_CONFIGS"}
    plan = plan_for({"orders": {"config": {"segment.ms": "1h"}}}, TAKES)
    assert plan.steps == []
    [unseen] = plan.unseen
    assert "DESCRIBE_CONFIGS is not permitted" in unseen.what
    assert "DescribeConfigs" in unseen.todo
    assert plan_for({"orders": {"partitions": 2}}, TAKES).unseen == []


def test_a_topic_that_nobody_uses_names_those_that_are_called_nearly_so(plan_for):
    [orders, ordres] = plan_for({"ordres": {}}, TAKES).steps
    assert orders.why == "handler bill takes it"
    assert ordres.why == "kafkaboot.topics.ordres; nobody in this application uses it; near to it: orders"


def test_a_number_that_is_too_small_for_what_follows_is_told_and_the_source_s_is_taken(plan_for, kafka):
    plan = plan_for({"orders": {"partitions": 6}, RETRY.topic: {"partitions": 2}}, TAKES, RETRY)
    assert [step.spec.partitions for step in plan.steps] == [6, 6]
    assert [(one.topic, one.there, one.wanted) for one in plan.differences] == [(RETRY.topic, "6", "2")]


def test_dead_letters_of_dead_letters_come_behind_both(plan_for):
    again = TopicUse("orders.shop.dlt", "handler again takes it", "x.py:1")
    of_those = TopicUse("orders.shop.dlt.shop.dlt", "handler again", "x.py:1", source="orders.shop.dlt", aligned=True)
    plan = plan_for({"orders": {"partitions": 3}}, of_those, LETTERS, again, TAKES)
    assert [(step.topic, step.spec.partitions) for step in plan.steps] == [
        ("orders", 3),
        ("orders.shop.dlt", 3),
        ("orders.shop.dlt.shop.dlt", 3),
    ]


def test_in_a_chain_of_topics_the_last_one_grows_first(plan_for, kafka):
    again = TopicUse("orders.shop.dlt", "handler again takes it", "x.py:1")
    of_those = TopicUse("last", "handler again", "x.py:1", source="orders.shop.dlt", aligned=True)
    for name in ("orders", "orders.shop.dlt", "last"):
        kafka.create(name, 2)
    plan = plan_for({"orders": {"partitions": 3}}, again, of_those, LETTERS, TAKES, consent=["orders"])
    assert [step.topic for step in plan.steps] == ["last", "orders.shop.dlt", "orders"]


def test_a_broker_that_goes_away_while_it_is_asked_is_no_refusal(plan_for, admin, monkeypatch):
    def gone(*_, **__):
        raise BrokerUnreachableError("gone")

    monkeypatch.setattr(admin, "create_topics", gone)
    with pytest.raises(BrokerUnreachableError):
        plan_for({"orders": {}})
