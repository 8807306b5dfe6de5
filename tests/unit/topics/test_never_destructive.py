"""Whatever is wanted of whatever cluster: no plan that is carried out takes anything away."""

from __future__ import annotations

import copy
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kafkaboot.client.memory import MemoryClients
from kafkaboot.client.memory.topic_settings import DEFAULTS
from kafkaboot.topics import TopicSettings, TopicUse, carry_out, draw, plan, wanted_topics

NAMES = ["orders", "invoices", "orders.shop.dlt", "orders.shop.retry.5s"]
USES = [
    TopicUse("orders", "takes", "x.py:1"),
    TopicUse("orders.shop.dlt", "letters", "x.py:1", source="orders"),
    TopicUse("orders.shop.retry.5s", "retries", "x.py:1", source="orders", aligned=True),
]
NUMBER = st.sampled_from(["-1", "0", "1", "1000", "604800000", str(2**63 - 1)])
WORDS = {
    "cleanup.policy": ["delete", "compact", "compact,delete", "delete,compact"],
    "unclean.leader.election.enable": ["true", "false"],
    "compression.type": ["zstd", "producer"],
    "message.timestamp.type": ["CreateTime", "LogAppendTime"],
    "preallocate": ["true", "false"],
    "min.cleanable.dirty.ratio": ["0.1", "0.5"],
}
CONFIG = st.lists(st.sampled_from([*DEFAULTS, "vendor.magic"]), max_size=5, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({one: st.sampled_from(WORDS[one]) if one in WORDS else NUMBER for one in names})
)
SPEC = st.fixed_dictionaries(
    {},
    optional={
        "partitions": st.integers(1, 6),
        "replication": st.integers(1, 3),
        "config": CONFIG,
    },
)
CLUSTER = st.dictionaries(
    st.sampled_from(NAMES),
    st.tuples(st.integers(1, 6), CONFIG.map(lambda it: {k: v for k, v in it.items() if k in DEFAULTS})),
)
WORLD = st.tuples(CLUSTER, st.dictionaries(st.sampled_from(NAMES), SPEC), st.sets(st.sampled_from(NAMES)))


class Additive:
    """An admin client that can do nothing but what may be done: everything else is an AttributeError."""

    def __init__(self, admin):
        for name in ("topics", "create_topics", "add_partitions", "topic_settings", "set_topic_settings"):
            setattr(self, name, getattr(admin, name))


def state(kafka):
    return copy.deepcopy(
        (
            {name: [[record.value() for record in log.records] for log in logs] for name, logs in kafka.topics.items()},
            kafka.replications,
            kafka.topic_configs,
        )
    )


def as_number(text, endless):
    return math.inf if endless and int(text) < 0 else int(text)


def keeps_as_much(name, old, new):
    """Whether everything that the old value keeps, accepts and protects, the new one does too. Written anew here."""
    if name in {"retention.ms", "retention.bytes"}:
        return as_number(new, True) >= as_number(old, True)
    if name in {
        "delete.retention.ms", "min.compaction.lag.ms", "max.message.bytes", "message.timestamp.before.max.ms",
        "message.timestamp.after.max.ms", "min.insync.replicas",
    }:  # fmt: skip
        return int(new) >= int(old)
    if name in {"flush.ms", "flush.messages"}:
        return int(new) <= int(old)
    if name == "cleanup.policy":
        return set(new.split(",")) <= set(old.split(","))
    return name != "unclean.leader.election.enable" or new in {old, "false"}


def taken_away(before, after, consent):
    """What is less than it was."""
    records, replications, configs = before
    found = []
    for name, logs in records.items():
        if name not in after[0]:
            found.append(f"{name} is gone")
            continue
        if after[0][name][: len(logs)] != logs:
            found.append(f"{name} has lost records")
        if len(after[0][name]) > len(logs) and name not in consent and not name.startswith("orders.shop.retry"):
            found.append(f"{name} has grown without consent")
        if after[1][name] != replications[name]:
            found.append(f"{name} has other replicas")
        for key, old in configs[name].items():
            if key not in after[2][name]:
                found.append(f"{name} has lost {key}")
        for key, new in after[2][name].items():
            if not keeps_as_much(key, configs[name].get(key, DEFAULTS[key]), new):
                found.append(f"{name}: {key} keeps less")
    return found


def carried_out(world):
    cluster, said, consent = world
    clients = MemoryClients()
    for name, (partitions, config) in cluster.items():
        clients.kafka.create(name, partitions, config)
        for partition in range(partitions):
            clients.kafka.append(name, b"%d" % partition, partition=partition)
    wanted = wanted_topics(USES, {name: TopicSettings.model_validate(one) for name, one in said.items()})
    before, admin = state(clients.kafka), Additive(clients.admin())
    drawn = draw(admin, wanted, consent=consent)
    assert state(clients.kafka) == before, "a plan changes nothing"
    carry_out(admin, drawn)
    return taken_away(before, state(clients.kafka), consent), draw(admin, wanted, consent=consent), clients.kafka


@settings(max_examples=300, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
@given(WORLD)
def test_nothing_is_ever_taken_away_and_nothing_is_done_twice(world):
    taken, again, kafka = carried_out(world)
    assert taken == []
    refused = {step.topic for step in again.refused}
    held = {source for step in again.refused for source in step.aligned}  # they may not grow beyond what follows them
    assert [step for step in again.ready if step.topic not in held and not refused & {*step.sources}] == []
    if "orders" in kafka.topics and "orders.shop.retry.5s" in kafka.topics:
        assert len(kafka.topics["orders.shop.retry.5s"]) >= len(kafka.topics["orders"])


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (("cost", lambda *_: ""), "keeps less"),
        (("frozenset", lambda _: NAMES), "without consent"),
    ],
)
def test_a_plan_that_took_something_away_would_be_found(wrong, found, monkeypatch):
    monkeypatch.setattr(plan, wrong[0], wrong[1], raising=False)
    cluster = {"orders": (2, {"retention.ms": "1000"})}
    taken, _, _ = carried_out((cluster, {"orders": {"partitions": 3, "config": {"retention.ms": "10"}}}, set()))
    assert [line for line in taken if found in line] != []


@pytest.mark.parametrize("what", ["gone", "lost records", "other replicas", "lost segment.ms"])
def test_what_is_gone_is_seen(what):
    before = ({"orders": [[b"1"], [b"2"]]}, {"orders": 2}, {"orders": {"segment.ms": "1000"}})
    after = copy.deepcopy(before)
    if what == "gone":
        after[0].clear()
    elif what == "lost records":
        after[0]["orders"].pop()
    elif what == "other replicas":
        after[1]["orders"] = 1
    else:
        after[2]["orders"].clear()
    assert [line for line in taken_away(before, after, set()) if what in line] != []
