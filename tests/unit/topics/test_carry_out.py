from __future__ import annotations

import pytest

from kafkaboot.errors import BrokerUnreachableError, ClientError
from kafkaboot.topics import TopicUse, carry_out
from tests.unit.topics.conftest import LETTERS, RETRY, TAKES

SAID = {"orders": {"partitions": 4, "config": {"retention.ms": "14d", "segment.ms": "1h"}}}


def fates(outcomes):
    return [(one.step.kind, one.step.topic, one.became) for one in outcomes]


def test_a_plan_is_carried_out_and_then_there_is_nothing_left(plan_for, kafka, admin):
    heard = []
    outcomes = carry_out(admin, plan_for(SAID, TAKES, LETTERS, RETRY), told=heard.append)
    assert fates(outcomes) == [("create", name, "done") for name in ("orders", LETTERS.topic, RETRY.topic)]
    assert heard == outcomes
    assert {name: len(logs) for name, logs in kafka.topics.items()} == dict.fromkeys(
        ("orders", LETTERS.topic, RETRY.topic), 4
    )
    assert kafka.topic_configs["orders"] == {"retention.ms": "1209600000", "segment.ms": "3600000"}
    again = plan_for(SAID, TAKES, LETTERS, RETRY)
    assert (again.steps, again.differences) == ([], [])


def test_settings_of_one_topic_are_set_together_and_others_stay(plan_for, kafka, admin):
    kafka.create("orders", 4, {"max.message.bytes": "5"})
    outcomes = carry_out(admin, plan_for(SAID, TAKES))
    assert fates(outcomes) == [("setting", "orders", "done")] * 2
    assert kafka.topic_configs["orders"] == {
        "max.message.bytes": "5",
        "retention.ms": "1209600000",
        "segment.ms": "3600000",
    }


def test_what_waits_for_consent_is_not_done_and_the_rest_is(plan_for, kafka, admin):
    kafka.create("orders", 2)
    kafka.create(RETRY.topic, 2)
    outcomes = carry_out(admin, plan_for(SAID, TAKES, RETRY))
    assert fates(outcomes) == [("partitions", "orders", "waits"), *[("setting", "orders", "done")] * 2]
    assert (len(kafka.topics["orders"]), len(kafka.topics[RETRY.topic])) == (2, 2)
    outcomes = carry_out(admin, plan_for(SAID, TAKES, RETRY, consent=["orders"]))
    assert fates(outcomes) == [("partitions", RETRY.topic, "done"), ("partitions", "orders", "done")]
    assert (len(kafka.topics["orders"]), len(kafka.topics[RETRY.topic])) == (4, 4)


def test_a_source_does_not_grow_beyond_what_follows_it(plan_for, kafka, admin):
    kafka.create("orders", 2)
    kafka.create(RETRY.topic, 2)
    kafka.denied[RETRY.topic] = {"ALTER"}
    outcomes = carry_out(admin, plan_for({"orders": {"partitions": 4}}, TAKES, RETRY, consent=["orders"]))
    assert fates(outcomes) == [("partitions", RETRY.topic, "refused"), ("partitions", "orders", "waits")]
    assert RETRY.topic in outcomes[1].what
    assert len(kafka.topics["orders"]) == 2


def test_what_follows_a_topic_of_the_broker_s_own_size_is_made_when_that_is_known(plan_for, kafka, admin, monkeypatch):
    create = kafka.create
    monkeypatch.setattr(kafka, "create", lambda name, n, *rest: create(name, 5 if name == "orders" else n, *rest))
    plan = plan_for({}, TAKES, RETRY)
    assert plan.steps[1].new == "the partitions of orders"
    carry_out(admin, plan)
    assert len(kafka.topics[RETRY.topic]) == 5


def test_what_follows_a_topic_that_could_not_be_made_waits(plan_for, kafka, admin):
    kafka.denied["orders"] = {"CREATE"}
    outcomes = carry_out(admin, plan_for({}, TAKES, RETRY))
    assert fates(outcomes) == [("create", "orders", "refused"), ("create", RETRY.topic, "waits")]
    assert "CREATE is not permitted" in outcomes[0].what
    assert kafka.topics == {}


def test_what_another_did_meanwhile_is_done(plan_for, kafka, admin):
    kafka.create("orders", 2)
    grows, creates = plan_for(SAID, TAKES, consent=["orders"]), plan_for({"new": {"partitions": 3}})
    kafka.grow("orders", 4)
    kafka.create("new", 7)
    assert {one.became for one in carry_out(admin, grows) + carry_out(admin, creates)} == {"done"}
    assert (len(kafka.topics["orders"]), len(kafka.topics["new"])) == (4, 7)


def test_what_the_cluster_refuses_after_all_is_told_and_the_rest_is_done(plan_for, kafka, admin):
    kafka.create("orders", 4)
    plan = plan_for({**SAID, "new": {}}, TAKES)
    kafka.denied["orders"] = {"ALTER_CONFIGS"}
    outcomes = carry_out(admin, plan)
    assert fates(outcomes) == [("create", "new", "done"), *[("setting", "orders", "refused")] * 2]
    assert "ALTER_CONFIGS is not permitted" in outcomes[1].what


def test_a_growth_that_is_refused_for_another_reason_is_no_growth(plan_for, kafka, admin, monkeypatch):
    kafka.create("orders", 2)
    plan = plan_for({"orders": {"partitions": 4}}, TAKES, consent=["orders"])

    def refuse(*_, **__):
        raise ClientError("too many", code="INVALID_PARTITIONS")

    monkeypatch.setattr(admin, "add_partitions", refuse)
    assert [one.became for one in carry_out(admin, plan)] == ["refused"]


def test_a_setting_is_awaited_until_the_broker_tells_it(plan_for, kafka, admin, monkeypatch):
    kafka.create("orders", 4)
    plan, tell, looks = plan_for(SAID, TAKES), admin.topic_settings, []
    old = tell(["orders"], 1)

    def late(topics, timeout):
        looks.append(topics)
        return old if len(looks) < 4 else tell(topics, timeout)

    monkeypatch.setattr(admin, "topic_settings", late)
    carry_out(admin, plan)
    assert len(looks) == 4


def test_a_broker_that_goes_away_ends_it(plan_for, admin, monkeypatch):
    plan = plan_for({"orders": {}})

    def gone(*_, **__):
        raise BrokerUnreachableError("gone")

    monkeypatch.setattr(admin, "create_topics", gone)
    with pytest.raises(BrokerUnreachableError):
        carry_out(admin, plan)


def test_what_follows_a_topic_that_cannot_be_looked_at_is_left_alone(plan_for, kafka, admin, monkeypatch):
    from kafkaboot.client import TopicInfo

    hidden = {"orders": TopicInfo("orders", 0, "TOPIC_AUTHORIZATION_FAILED")}
    monkeypatch.setattr(admin, "topics", lambda _: hidden)
    plan = plan_for({}, TAKES, RETRY, TopicUse("free", "somebody", ""))
    assert [step.topic for step in plan.steps] == ["free"]
    assert [one.topic for one in plan.unseen] == ["orders", RETRY.topic]


def test_letters_that_go_to_any_partition_hold_their_source_up_by_nothing(plan_for, kafka, admin):
    kafka.create("orders", 2)
    kafka.denied["dead"] = {"CREATE"}
    anywhere = TopicUse("dead", "handler bill", "x.py:1", source="orders")
    outcomes = carry_out(admin, plan_for({"orders": {"partitions": 4}}, TAKES, anywhere, consent=["orders"]))
    assert fates(outcomes) == [("create", "dead", "refused"), ("partitions", "orders", "done")]
