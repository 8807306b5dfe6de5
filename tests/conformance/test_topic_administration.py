"""Topics as administrators make, change and drop them."""

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin import NewTopic as AioTopic
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from kafkaboot.testing import eventually


def create(cluster, name, partitions=1, replicas=1, validate=False, **config):
    created = cluster.admin.create_topics([NewTopic(name, partitions, replicas, config=config)], validate_only=validate)
    return created[name].result(20)


def refusal(action, *arguments, **options):
    with pytest.raises(KafkaException) as refused:
        action(*arguments, **options)
    return refused.value.args[0].name()


def config_of(cluster, topic):
    resource = ConfigResource(ResourceType.TOPIC, topic)
    return cluster.admin.describe_configs([resource])[resource].result(20)


def alter(cluster, topic, name, value, kind=AlterConfigOpType.SET):
    entry = ConfigEntry(name, value, incremental_operation=kind)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    return cluster.admin.incremental_alter_configs([resource])[resource].result(20)


def test_a_topic_is_made_once(cluster):
    topic = cluster.topic(partitions=3)
    assert cluster.partitions(topic) == [0, 1, 2]
    assert refusal(create, cluster, topic) == "TOPIC_ALREADY_EXISTS"


@pytest.mark.parametrize(
    ("name", "replicas", "config", "error"),
    [
        ("no good!", 1, {}, "TOPIC_EXCEPTION"),
        ("x" * 250, 1, {}, "TOPIC_EXCEPTION"),
        ("many-replicas", 3, {}, "INVALID_REPLICATION_FACTOR"),
        ("odd-config", 1, {"retention.ms": "soon"}, "INVALID_CONFIG"),
        ("odd-name", 1, {"retention.months": "1"}, "INVALID_CONFIG"),
    ],
)
def test_what_cannot_be_made_is_refused_by_its_reason(cluster, name, replicas, config, error):
    assert refusal(create, cluster, name, 1, replicas, **config) == error


def test_a_check_makes_nothing(cluster):
    name = cluster.name("t")
    create(cluster, name, validate=True)
    assert cluster.partitions(name) == []


def test_a_deleted_topic_is_gone_and_its_name_is_free_again_and_empty(cluster):
    topic = cluster.topic(partitions=2)
    cluster.send(topic, b"old")
    cluster.admin.delete_topics([topic])[topic].result(20)
    eventually(lambda: cluster.partitions(topic) == [])
    assert refusal(cluster.admin.delete_topics([topic])[topic].result, 20) == "UNKNOWN_TOPIC_OR_PART"
    create(cluster, topic)
    eventually(lambda: cluster.partitions(topic) == [0])
    assert cluster.values(topic) == []


def test_partitions_are_added_and_never_taken_away(cluster):
    topic = cluster.topic(partitions=1)

    def grow(count):
        return cluster.admin.create_partitions([NewPartitions(topic, count)])[topic].result(20)

    grow(3)
    eventually(lambda: cluster.partitions(topic) == [0, 1, 2])
    cluster.send(topic, b"third", partition=2)
    assert cluster.values(topic) == [b"third"]
    assert refusal(grow, 2) == "INVALID_PARTITIONS"
    assert refusal(grow, 3) == "INVALID_PARTITIONS"


def test_settings_are_described_with_their_source(cluster):
    topic = cluster.topic(**{"retention.ms": "12345"})
    config = config_of(cluster, topic)
    assert config["retention.ms"].value == "12345"
    assert not config["retention.ms"].is_default
    assert config["cleanup.policy"].value == "delete"
    assert config["cleanup.policy"].is_default
    assert config["max.message.bytes"].value == "1048588"


def test_settings_are_set_and_taken_back_one_by_one(cluster):
    topic = cluster.topic(**{"retention.ms": "12345"})
    alter(cluster, topic, "cleanup.policy", "compact")
    eventually(lambda: config_of(cluster, topic)["cleanup.policy"].value == "compact")
    assert config_of(cluster, topic)["retention.ms"].value == "12345"
    alter(cluster, topic, "retention.ms", None, AlterConfigOpType.DELETE)
    eventually(lambda: config_of(cluster, topic)["retention.ms"].is_default)
    alter(cluster, topic, "cleanup.policy", "delete", AlterConfigOpType.APPEND)
    eventually(lambda: set(config_of(cluster, topic)["cleanup.policy"].value.split(",")) == {"compact", "delete"})
    assert refusal(alter, cluster, topic, "retention.ms", "soon") == "INVALID_CONFIG"


def test_settings_of_a_topic_that_is_not_there_are_not_told(cluster):
    assert refusal(config_of, cluster, cluster.name("never")) == "UNKNOWN_TOPIC_OR_PART"


def test_a_changed_limit_holds_for_the_next_record(cluster):
    topic = cluster.topic()
    cluster.send(topic, b"x" * 2_000)
    alter(cluster, topic, "max.message.bytes", "1000")

    def refused():
        failed = []
        producer = cluster.producer()
        producer.produce(topic, b"x" * 2_000, partition=0, on_delivery=lambda error, _: failed.append(error))
        assert producer.flush(20) == 0
        return failed[0] is not None and failed[0].name() == "MSG_SIZE_TOO_LARGE"

    eventually(refused)


def test_the_cluster_is_described(cluster):
    described = cluster.admin.describe_cluster(request_timeout=20).result(20)
    assert len(described.nodes) == 1
    assert described.cluster_id
    assert f"{described.controller.host}:{described.controller.port}" == cluster.address


async def test_aiokafka_makes_describes_and_drops_a_topic(cluster):
    name = cluster.name("t")
    admin = AIOKafkaAdminClient(bootstrap_servers=cluster.address)
    await admin.start()
    try:
        await admin.create_topics([AioTopic(name, 2, 1)])
        async with AIOKafkaConsumer(bootstrap_servers=cluster.address) as consumer:
            assert name in await consumer.topics()
        (described,) = await admin.describe_topics([name])
        assert len(described["partitions"]) == 2
        await admin.delete_topics([name])
        assert eventually(lambda: cluster.partitions(name) == [])
    finally:
        await admin.close()
