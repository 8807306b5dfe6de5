"""`kafkaboot topics` on a cluster in memory."""

from __future__ import annotations

import json

import pytest

from kafkaboot.cli import examination
from kafkaboot.client.memory import MemoryClients

YAML = """
  topics:
    orders: {partitions: 4, config: {retention.ms: 14d}}
    invoices: {partitions: 2}
"""
RETRIES = "  retry: {default: {topics: [5s]}}\n"
ALL = ["orders", "invoices", "orders.shop.dlt", "orders.shop.retry.5s"]


@pytest.fixture
def kafka(monkeypatch):
    clients = MemoryClients()
    monkeypatch.setattr("kafkaboot.cli.connection.clients_of", lambda *_: clients)
    return clients.kafka


def test_a_plan_shows_what_is_to_be_created_by_whom_and_where_it_stands_and_changes_nothing(shop, call, kafka):
    shop(YAML + RETRIES)
    done = call("topics", "plan")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[:3] == [
        "  + orders  create with 4 partitions, retention.ms=1209600000",
        "      kafkaboot.topics.orders; handler bill takes it",
        "      application.yaml:5",
    ]
    assert "+ orders.shop.retry.5s  create with 4 partitions" in done.stdout
    assert done.stdout.splitlines()[-1] == "4 topics looked at: 4 to create"
    assert kafka.topics == {}


def test_the_detailed_exit_code_tells_changes_from_none(shop, call, kafka):
    shop(YAML)
    assert call("topics", "plan", "--detailed-exitcode").exit_code == 2
    assert call("topics", "apply", "--yes").exit_code == 0
    assert call("topics", "plan", "--detailed-exitcode").exit_code == 0
    assert "nothing to change" in call("topics", "apply", "--yes").stdout


def test_nothing_is_done_unless_it_is_agreed_to(shop, call, kafka):
    shop(YAML)
    done = call("topics", "apply", input="n\n")
    assert (done.exit_code, kafka.topics) == (1, {})
    done = call("topics", "apply", input="y\n")
    assert done.exit_code == 0, done.output
    assert "Make these 3 changes?" in done.output
    assert "done     orders  create" in done.output
    assert set(kafka.topics) == set(ALL[:3])


def test_more_partitions_are_waited_for_and_granted_by_name(shop, call, kafka):
    shop(YAML + RETRIES)
    for name in ALL:
        kafka.create(name, 2, {"retention.ms": "1209600000"})
    done = call("topics", "apply", "--yes")
    assert done.exit_code == 1
    assert "waits for consent: --add-partitions orders" in done.stdout
    assert "mind: records of a key may go to another partition" in done.stdout
    assert {len(kafka.topics[name]) for name in ALL} == {2}
    done = call("topics", "apply", "--yes", "--add-partitions", "orders")
    assert done.exit_code == 0, done.output
    assert {name: len(kafka.topics[name]) for name in ALL} == {name: 2 if name == "invoices" else 4 for name in ALL}


def test_consent_for_a_topic_that_the_application_has_not_is_a_mistake(shop, call, kafka):
    shop(YAML)
    done = call("topics", "plan", "--add-partitions", "ordres")
    assert done.exit_code == 2
    assert "no such topic; there are: orders, invoices" in done.output


def test_what_is_left_alone_is_told_and_fails_nothing(shop, call, kafka):
    shop(YAML)
    kafka.create("orders", 6, {"retention.ms": "-1", "segment.ms": "60000"})
    for name in ("invoices", "orders.shop.dlt"):
        kafka.create(name, 6)
    done = call("topics", "apply", "--yes")
    assert done.exit_code == 0, done.output
    assert "= orders  partitions is 6, and 4 is wanted: left alone, Kafka takes no partitions away" in done.stdout
    assert "= orders  retention.ms is -1, and 1209600000 (14d) is wanted: left alone, records" in done.stdout
    assert "= orders  segment.ms is 60000 (1m): left alone, the specification does not name it" in done.stdout
    assert done.stdout.splitlines()[-1] == "3 topics looked at: 3 differences left alone"
    assert kafka.topic_configs["orders"] == {"retention.ms": "-1", "segment.ms": "60000"}


def test_what_the_cluster_refuses_fails_plan_and_apply_and_the_rest_is_done(shop, call, kafka):
    shop(YAML.replace("{partitions: 2}", "{partitions: 2, config: {retention.mss: 1}}"))
    kafka.create("invoices", 2)
    planned = call("topics", "plan", "--detailed-exitcode")
    assert planned.exit_code == 1
    assert "refused: Unknown topic config name: retention.mss" in planned.stdout
    assert "to do: did you mean retention.ms?" in planned.stdout
    applied = call("topics", "apply", "--yes")
    assert applied.exit_code == 1
    assert "refused  invoices  retention.mss: not known -> 1" in applied.stdout
    assert set(kafka.topics) == set(ALL[:3])


def test_a_permission_that_is_missing_is_told_per_topic(shop, call, kafka):
    shop(YAML)
    kafka.denied = {"orders": {"CREATE"}, "invoices": {"DESCRIBE_CONFIGS"}}
    kafka.create("invoices", 2)
    done = call("topics", "plan")
    assert done.exit_code == 1
    assert "refused: CREATE is not permitted" in done.stdout
    assert "1 that the cluster would refuse" in done.stdout


def test_json_has_the_plan_and_what_became_of_it(shop, call, kafka):
    shop(YAML)
    kafka.create("orders", 2, {"retention.ms": "1209600000", "segment.ms": "5"})
    kafka.create("orders.shop.dlt", 2)
    planned = json.loads(call("topics", "plan", "--json").stdout)
    assert planned["topics"] == 3
    assert [(one["change"], one["topic"], one["needs_consent"]) for one in planned["changes"]] == [
        ("create", "invoices", False),
        ("partitions", "orders", True),
    ]
    assert planned["changes"][0]["spec"] == {"partitions": 2, "replication": -1, "config": {}}
    assert planned["changes"][1]["where"] == "application.yaml:5"
    assert [(one["setting"], one["there"], one["wanted"]) for one in planned["differences"]] == [
        ("segment.ms", "5", None)
    ]
    assert "became" not in planned["changes"][0]
    assert call("topics", "apply", "--json").exit_code == 2
    done = call("topics", "apply", "--json", "--yes")
    assert done.exit_code == 1
    assert [(one["topic"], one["became"]) for one in json.loads(done.stdout)["changes"]] == [
        ("invoices", "done"),
        ("orders", "waits"),
    ]


def test_without_an_application_nobody_says_what_is_wanted(call, kafka, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call("topics", "plan")
    assert done.exit_code == 1
    assert "there is no application here" in done.output
    (tmp_path / "application.yaml").write_text("kafkaboot:\n  application: {packages: [nowhere_at_all]}\n")
    done = call("topics", "apply", "--yes")
    assert done.exit_code == 1
    assert "nowhere_at_all" in done.output
    assert kafka.topics == {}


def test_doctor_names_a_topic_that_is_not_as_declared(shop, call, kafka, monkeypatch):
    shop(YAML)
    for name in ALL[:3]:
        kafka.create(name, 2)
    monkeypatch.setattr(examination, "clients_of", lambda *_: Looked(kafka))
    found = {one["subject"]: one for one in json.loads(call("doctor", "--json").stdout)}
    assert found["kafkaboot.topics.orders"]["verdict"] == "warn"
    assert (
        "application.yaml:5: topic orders: partitions is 2, and 4 is wanted" in found["kafkaboot.topics.orders"]["what"]
    )
    assert "kafkaboot.topics.invoices" not in found
    strict = call("doctor", "--json", "--set", "kafkaboot.kafka.topics=validate")
    assert strict.exit_code == 1
    assert {one["subject"]: one for one in json.loads(strict.stdout)}["kafkaboot.topics.orders"]["verdict"] == "fail"


class Looked(MemoryClients):
    """Clients as `doctor` asks for them."""

    bootstrap_servers = "memory"

    def __init__(self, kafka):
        super().__init__(kafka)

    def validate(self):
        """They are always fine."""


def test_the_schema_knows_what_is_said_of_topics(shop, call):
    shop(YAML)
    schema = json.loads(call("config", "schema").stdout)
    topic = schema["properties"]["kafkaboot"]["properties"]["topics"]["additionalProperties"]
    topic = schema["definitions"][topic["$ref"].rpartition("/")[2]]
    assert set(topic["properties"]) == {"partitions", "replication", "config"}
    wrong = call("config", "check", "--set", "kafkaboot.topics.orders.partition=3")
    assert wrong.exit_code == 3
    assert "did you mean `partitions`?" in wrong.output
