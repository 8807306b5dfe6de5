"""Topics as code on brokers: what is planned is done, a start keeps to its policy, and nothing is taken away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from kafkaboot.boot import analysis
from kafkaboot.boot.application import Application
from kafkaboot.boot.facts import Narrator
from kafkaboot.client import TP, TopicSetting, TopicSpec
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.dev.broker import NotInstalledError
from kafkaboot.dev.embedded import EmbeddedKafka
from kafkaboot.dev.local import LocalKafka
from kafkaboot.errors import ClientError
from kafkaboot.testing import eventually
from kafkaboot.testing.contract import Cluster
from kafkaboot.testing.contract.shaping import Shaping

AUTHORIZER = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "allow.everyone.if.no.acl.found": "true",
}
HANDLERS = """
from kafkaboot import event_handler, publisher

@event_handler("{orders}", id="bill", ordering="key", retry="later")
@publisher("{invoices}", key="id")
async def bill(order: dict) -> dict:
    return order
"""
YAML = """
kafkaboot:
  application: {{name: {name}, packages: [{name}]}}
  kafka: {{bootstrap-servers: "{servers}", topics: {policy}}}
  retry: {{later: {{attempts: 1, topics: [5s, 1m]}}}}
  topics:
    {orders}: {{partitions: {partitions}, config: {config}}}
    {invoices}: {{partitions: 2}}
"""
FIRST = "{retention.ms: 7d, max.message.bytes: 2MB}"
TIMEOUT = 20.0


@pytest.fixture(scope="module")
def kafka():
    """A real Kafka that asks for permission where there is an ACL."""
    broker = LocalKafka(heap="512m", properties=AUTHORIZER)
    try:
        broker.start()
    except NotInstalledError as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI must test against a real Kafka: {error}")
        pytest.skip(f"no real Kafka on this machine: {error}")
    with broker:
        yield broker


@pytest.fixture(scope="module")
def embedded():
    with EmbeddedKafka() as broker:
        yield broker


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.real_kafka)])
def broker(request):
    return request.getfixturevalue(request.param)


class TestEmbedded(Shaping):
    """The contract's part on topics; the others hold on the real Kafka and in memory."""

    @pytest.fixture
    def cluster(self, embedded):
        cluster = Cluster(ConfluentClients(KafkaSettings(), bootstrap_servers=embedded.bootstrap_servers))
        yield cluster
        cluster.close()


class Shop:
    """An application with topics of its own on a broker."""

    def __init__(self, broker, folder):
        self.servers, self.folder = broker.bootstrap_servers, folder
        self.name = f"shop_{os.urandom(4).hex()}"
        self.orders, self.invoices = f"{self.name}-orders", f"{self.name}-invoices"
        self.letters = f"{self.orders}.{self.name}.dlt"
        self.retries = [f"{self.orders}.{self.name}.retry.{delay}" for delay in ("5s", "1m")]
        self.all = [self.orders, self.invoices, self.letters, *self.retries]
        (folder / self.name).mkdir()
        (folder / self.name / "__init__.py").write_text(HANDLERS.format(orders=self.orders, invoices=self.invoices))
        self.clients = ConfluentClients(KafkaSettings(), bootstrap_servers=self.servers)
        self.admin = self.clients.admin()
        self.says()

    def says(self, partitions=4, config=FIRST, policy="auto"):
        said = {"name": self.name, "servers": self.servers, "orders": self.orders, "invoices": self.invoices}
        text = YAML.format(**said, partitions=partitions, config=config, policy=policy)
        (self.folder / "application.yaml").write_text(text)

    def topics(self, *arguments):
        done = subprocess.run(
            [sys.executable, "-m", "kafkaboot", "topics", *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def sizes(self):
        known = self.admin.topics(TIMEOUT)
        return [known[name].partitions if name in known else 0 for name in self.all]

    def setting(self, name):
        return self.admin.topic_settings([self.orders], TIMEOUT)[self.orders][name]

    def application(self):
        heard = Heard()
        return Application(directory=self.folder, environ={}, narrator=heard), heard


class Heard(Narrator):
    def failed(self, found, error):
        self.found = found


@pytest.fixture
def shop(broker, tmp_path):
    made = Shop(broker, tmp_path)
    yield made
    made.admin.close()


def test_from_an_empty_cluster_to_what_is_wanted_and_on_and_nothing_is_lost_on_the_way(shop):
    assert shop.topics("plan", "--detailed-exitcode")[0] == 2
    assert shop.sizes() == [0] * 5
    code, told = shop.topics("apply", "--yes")
    assert code == 0, told
    assert shop.sizes() == [4, 2, 4, 4, 4]
    assert shop.setting("retention.ms") == TopicSetting("604800000", own=True)
    code, told = shop.topics("plan", "--detailed-exitcode")
    assert (code, told) == (0, "5 topics looked at: nothing to change\n")

    producer = shop.clients.producer({"linger.ms": 0})
    for partition in range(4):
        producer.produce(shop.orders, b"{}", b"k", None, partition, None)
    assert producer.flush(TIMEOUT) == 0
    ends = {TP(shop.orders, at): 1 for at in range(4)}

    shop.says(partitions=6, config="{retention.ms: 14d, max.message.bytes: 1MB, segment.ms: 1h}")
    code, told = shop.topics("apply", "--yes")
    assert code == 1, told
    assert f"waits for consent: --add-partitions {shop.orders}" in told
    assert "handler bill handles a key's records in order" in told
    assert "max.message.bytes is 2097152, and 1048576 is wanted: left alone" in told
    assert shop.sizes() == [4, 2, 4, 4, 4]
    assert shop.setting("retention.ms").value == "1209600000"
    assert shop.setting("max.message.bytes").value == "2097152"
    assert shop.setting("segment.ms").value == "3600000"

    code, told = shop.topics("apply", "--yes", "--add-partitions", shop.orders, "--json")
    assert code == 0, told
    assert [one["topic"] for one in json.loads(told)["changes"]] == [shop.letters, *shop.retries, shop.orders]
    assert shop.sizes() == [6, 2, 6, 6, 6]
    code, told = shop.topics("plan", "--detailed-exitcode")
    assert code == 0, told
    assert "5 topics looked at: 1 difference left alone" in told

    shop.says(partitions=1, config="{retention.ms: 1s, cleanup.policy: compact}")
    assert shop.topics("apply", "--yes")[0] == 0
    assert shop.sizes() == [6, 2, 6, 6, 6]
    assert shop.setting("retention.ms").value == "1209600000"
    assert shop.setting("cleanup.policy").value == "delete"
    assert shop.admin.end_offsets(list(ends), TIMEOUT) == ends
    assert shop.admin.begin_offsets(list(ends), TIMEOUT) == dict.fromkeys(ends, 0)


def test_what_the_broker_refuses_is_known_before_and_does_not_stop_the_rest(shop):
    shop.says(config="{retention.mss: 1}")
    code, told = shop.topics("plan")
    assert code == 1
    assert "Unknown topic config name: retention.mss" in told
    assert "application.yaml:7" in told
    code, told = shop.topics("apply", "--yes")
    assert code == 1
    assert f"refused  {shop.orders}" in told
    assert shop.sizes() == [0, 2, 4, 4, 4]
    shop.says()
    assert shop.topics("apply", "--yes")[0] == 0
    assert shop.sizes() == [4, 2, 4, 4, 4]


def test_a_start_that_validates_refuses_topics_that_are_otherwise_with_file_and_line(shop):
    assert shop.topics("apply", "--yes")[0] == 0
    shop.says(partitions=6, config="{retention.ms: 14d}", policy="validate")
    application, heard = shop.application()
    assert application.run() == analysis.FAILED
    assert f"application.yaml:7: topic {shop.orders}: partitions is 4, and 6 is wanted" in heard.found.happened
    assert "retention.ms is 604800000, and 1209600000 is wanted" in heard.found.happened
    assert "kafkaboot topics apply" in heard.found.todo
    assert shop.sizes() == [4, 2, 4, 4, 4]


@pytest.mark.parametrize("policy", ["create", "auto", "off", "validate"])
async def test_a_start_by_policy_creates_only_and_changes_nothing(shop, policy, caplog):
    if policy != "create":
        assert shop.topics("apply", "--yes")[0] == 0
    if policy in {"off", "auto"}:
        shop.says(partitions=6, config="{retention.ms: 14d}", policy=policy)
    else:
        shop.says(policy=policy)
    application, _ = shop.application()
    ready = await application.start()
    await application.stop()
    assert sorted(ready.created_topics) == (sorted(shop.all) if policy == "create" else [])
    assert shop.sizes() == [4, 2, 4, 4, 4]
    assert shop.setting("retention.ms").value == "604800000"
    told = [record.message for record in caplog.records if "is wanted" in record.message]
    assert len(told) == (2 if policy == "auto" else 0), told


@contextmanager
def permitted(broker, name, *operations, kind=ResourceType.TOPIC):
    """Everybody may do this with the topic, and so nobody may do anything else."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    literal = ResourcePatternType.LITERAL
    rules = [AclBinding(kind, name, literal, "User:ANONYMOUS", "*", one, AclPermissionType.ALLOW) for one in operations]
    for future in admin.create_acls(rules).values():
        future.result(TIMEOUT)
    try:
        yield
    finally:
        every = AclBindingFilter(kind, name, literal, None, None, AclOperation.ANY, AclPermissionType.ANY)
        for future in admin.delete_acls([every]).values():
            future.result(TIMEOUT)


ALL_BUT_CREATE = [
    AclOperation.CLUSTER_ACTION,
    AclOperation.DESCRIBE,
    AclOperation.DESCRIBE_CONFIGS,
    AclOperation.ALTER,
    AclOperation.ALTER_CONFIGS,
    AclOperation.IDEMPOTENT_WRITE,
]


def refuses(admin, name):
    try:
        admin.create_topics([TopicSpec(name)], TIMEOUT, dry_run=True)
    except ClientError as error:
        return error.code == "TOPIC_AUTHORIZATION_FAILED"
    return False


@pytest.mark.real_kafka
def test_a_permission_that_is_missing_is_told_for_its_topic_and_the_rest_is_done(kafka, tmp_path):
    shop = Shop(kafka, tmp_path)
    shop.admin.create_topics([TopicSpec(shop.orders, 4, 1), TopicSpec(shop.invoices, 1, 1)], TIMEOUT)
    shop.says(config="{segment.ms: 1h}")
    describe, configs = AclOperation.DESCRIBE, AclOperation.DESCRIBE_CONFIGS
    with (
        permitted(kafka, shop.orders, describe, configs),
        permitted(kafka, shop.invoices, describe, configs),
        permitted(kafka, shop.letters, describe),
        permitted(kafka, "kafka-cluster", *ALL_BUT_CREATE, kind=ResourceType.BROKER),
    ):
        eventually(lambda: "ALTER" not in shop.admin.permissions([shop.orders], TIMEOUT)[shop.orders])
        eventually(lambda: refuses(shop.admin, shop.letters))
        code, told = shop.topics("plan", "--json", "--add-partitions", shop.invoices)
        refused = {(one["topic"], one["change"]): one for one in json.loads(told)["changes"] if one["refused"]}
        assert code == 1
        assert set(refused) == {
            (shop.orders, "setting"),
            (shop.invoices, "partitions"),
            (shop.letters, "create"),
        }
        assert all("AUTHORIZATION_FAILED" in one["refused"] for one in refused.values())
        assert all("kafka-acls" in one["todo"] for one in refused.values())
        assert shop.topics("apply", "--yes")[0] == 1
        assert shop.sizes() == [4, 1, 0, 4, 4]
    with permitted(kafka, shop.orders, describe):
        eventually(lambda: "ALTER" not in shop.admin.permissions([shop.orders], TIMEOUT)[shop.orders])
        code, told = shop.topics("plan")
        assert code == 1
        assert f"? {shop.orders}  cannot be looked at" in told
    assert shop.setting("segment.ms").own is False
    shop.admin.close()
