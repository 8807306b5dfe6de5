"""What administrators ask of the embedded broker. Apache Kafka 4.1 was asked the same, and answered in these words."""

from __future__ import annotations

import time

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)

from kafkaboot.dev.embedded import EmbeddedKafka


@pytest.fixture(scope="module")
def broker():
    with EmbeddedKafka() as started:
        yield started


@pytest.fixture(scope="module")
def admin(broker):
    return AdminClient({"bootstrap.servers": broker.bootstrap_servers})


def told(futures):
    """The outcome of a request about one thing: its result, or the error's name and text."""
    (future,) = futures.values()
    try:
        return future.result(10)
    except KafkaException as error:
        return error.args[0].name(), error.args[0].str()


def created(admin, name, partitions=1, factor=1, *, validate_only=False, **config):
    settings = {key.replace("_", "."): value for key, value in config.items()}
    return told(admin.create_topics([NewTopic(name, partitions, factor, config=settings)], validate_only=validate_only))


def partitions_of(admin, name):
    return len(admin.list_topics(timeout=10).topics[name].partitions)


def config_of(admin, name, kind="topic"):
    return told(admin.describe_configs([ConfigResource(kind, name)]))


def changed(admin, name, operation, key, value):
    resource = ConfigResource("topic", name)
    resource.add_incremental_config(ConfigEntry(key, value, incremental_operation=operation))
    return told(admin.incremental_alter_configs([resource]))


def sent(broker, topic, value=b"v", key=b"k", **more):
    """The error and the message of one record."""
    outcome = []
    settings = {"bootstrap.servers": broker.bootstrap_servers, "message.max.bytes": 3_000_000}
    producer = Producer({**settings, **more.pop("settings", {})})
    producer.produce(
        topic, value, key, partition=0, on_delivery=lambda error, message: outcome.append((error, message)), **more
    )
    assert producer.flush(15) == 0
    error, message = outcome[0]
    return (error.name() if error else None), message


# --- topics


def test_a_topic_has_the_partitions_and_settings_it_was_made_with(admin):
    assert created(admin, "made", 3, retention_ms="1000") is None
    assert partitions_of(admin, "made") == 3
    entry = config_of(admin, "made")["retention.ms"]
    assert (entry.value, entry.source) == ("1000", 1)


def test_a_topic_of_no_given_size_has_the_brokers_default(admin):
    assert created(admin, "by-default", -1, -1) is None
    assert partitions_of(admin, "by-default") == 4


def test_nothing_is_made_when_it_is_only_to_be_checked(admin):
    assert created(admin, "checked", 3, validate_only=True) is None
    assert created(admin, "bad name", validate_only=True)[0] == "TOPIC_EXCEPTION"
    assert "checked" not in admin.list_topics(timeout=10).topics


@pytest.mark.parametrize(
    ("name", "partitions", "factor", "config", "error", "text"),
    [
        ("zero", 0, 1, {}, "INVALID_PARTITIONS", "Number of partitions was set to an invalid non-positive value."),
        ("wide", 1, 3, {}, "INVALID_REPLICATION_FACTOR", "only 1 broker(s) are registered"),
        ("none", 1, 0, {}, "INVALID_REPLICATION_FACTOR", "must be larger than 0, or -1"),
        ("many", 10_001, 1, {}, "POLICY_VIOLATION", "Excessively large number of partitions per request."),
        ("bad name", 1, 1, {}, "TOPIC_EXCEPTION", "other than ASCII alphanumerics"),
        ("..", 1, 1, {}, "TOPIC_EXCEPTION", "'..' is not allowed"),
        ("x" * 250, 1, 1, {}, "TOPIC_EXCEPTION", "longer than the max allowed length 249"),
        ("c", 1, 1, {"nope": "1"}, "INVALID_CONFIG", "Unknown topic config name: nope"),
        ("c", 1, 1, {"remote_storage_enable": "true"}, "INVALID_CONFIG", "Unknown topic config name"),
        ("c", 1, 1, {"retention_ms": "x"}, "INVALID_CONFIG", "retention.ms: Not a number of type LONG"),
        ("c", 1, 1, {"retention_ms": "-7"}, "INVALID_CONFIG", "Value must be at least -1"),
        ("c", 1, 1, {"segment_bytes": "14"}, "INVALID_CONFIG", "Value must be at least 1048576"),
        ("c", 1, 1, {"segment_bytes": "99999999999"}, "INVALID_CONFIG", "Not a number of type INT"),
        ("c", 1, 1, {"cleanup_policy": "x"}, "INVALID_CONFIG", "String must be one of: compact, delete"),
        ("c", 1, 1, {"preallocate": "x"}, "INVALID_CONFIG", "Expected value to be either true or false"),
        ("c", 1, 1, {"min_cleanable_dirty_ratio": "2"}, "INVALID_CONFIG", "Value must be no more than 1"),
        ("c", 1, 1, {"min_cleanable_dirty_ratio": "nan"}, "INVALID_CONFIG", "Value must be at least 0"),
    ],
)
def test_a_topic_that_kafka_would_refuse_is_refused(admin, name, partitions, factor, config, error, text):
    refused = created(admin, name, partitions, factor, **config)
    assert refused[0] == error
    assert text in refused[1]
    assert name not in admin.list_topics(timeout=10).topics


def test_a_topic_is_not_made_twice_nor_one_whose_metrics_would_be_anothers(admin):
    assert created(admin, "twice.a") is None
    assert created(admin, "twice.a") == ("TOPIC_ALREADY_EXISTS", "Topic 'twice.a' already exists.")
    assert created(admin, "twice_a") == ("TOPIC_EXCEPTION", "Topic 'twice_a' collides with existing topic: twice.a")


def test_a_deleted_topic_is_gone_and_can_be_made_anew_with_another_id(admin, broker):
    assert created(admin, "gone") is None
    assert sent(broker, "gone")[0] is None
    before = admin.describe_topics(_names("gone"))["gone"].result(10).topic_id
    assert told(admin.delete_topics(["gone"])) is None
    assert "gone" not in admin.list_topics(timeout=10).topics
    assert told(admin.delete_topics(["gone"]))[0] == "UNKNOWN_TOPIC_OR_PART"
    assert created(admin, "gone") is None
    assert str(admin.describe_topics(_names("gone"))["gone"].result(10).topic_id) != str(before)
    ends = admin.list_offsets({TopicPartition("gone", 0): OffsetSpec.latest()})
    assert told(ends).offset == 0


def _names(*names):
    from confluent_kafka import TopicCollection

    return TopicCollection(list(names))


def test_partitions_are_added_and_never_taken_away(admin):
    assert created(admin, "growing", 2) is None
    grow = lambda count, **more: told(admin.create_partitions([NewPartitions("growing", count)], **more))
    assert grow(2) == ("INVALID_PARTITIONS", "Topic already has 2 partition(s).")
    assert grow(1)[1] == "The topic growing currently has 2 partition(s); 1 would not be an increase."
    assert grow(5, validate_only=True) is None
    assert partitions_of(admin, "growing") == 2
    assert grow(3) is None
    assert partitions_of(admin, "growing") == 3
    assert told(admin.create_partitions([NewPartitions("missing", 3)]))[0] == "UNKNOWN_TOPIC_OR_PART"


def test_records_are_deleted_up_to_an_offset_and_readers_begin_there(admin, broker):
    assert created(admin, "shortened") is None
    for value in (b"a", b"b", b"c"):
        assert sent(broker, "shortened", value)[0] is None
    assert told(admin.delete_records([TopicPartition("shortened", 0, 2)])).low_watermark == 2
    assert told(admin.delete_records([TopicPartition("shortened", 0, 9)]))[0] == "OFFSET_OUT_OF_RANGE"
    consumer = Consumer(
        {"bootstrap.servers": broker.bootstrap_servers, "group.id": "s", "auto.offset.reset": "earliest"}
    )
    try:
        consumer.assign([TopicPartition("shortened", 0, 0)])
        assert consumer.poll(10).value() == b"c"
    finally:
        consumer.close()
    assert told(admin.delete_records([TopicPartition("shortened", 0, -1)])).low_watermark == 3


def test_records_of_a_compacted_topic_cannot_be_deleted(admin):
    assert created(admin, "compacted-only", cleanup_policy="compact") is None
    assert told(admin.delete_records([TopicPartition("compacted-only", 0, 0)]))[0] == "POLICY_VIOLATION"


# --- settings


def test_settings_are_described_with_where_they_come_from(admin):
    assert created(admin, "described", retention_bytes="7") is None
    config = config_of(admin, "described")
    assert (config["retention.bytes"].value, config["retention.bytes"].source) == ("7", 1)
    assert (config["retention.ms"].value, config["retention.ms"].source) == ("604800000", 5)
    synonyms = {one.name: one.value for one in config["retention.bytes"].synonyms.values()}
    assert synonyms == {"retention.bytes": "7", "log.retention.bytes": "-1"}
    assert config_of(admin, "nowhere")[0] == "UNKNOWN_TOPIC_OR_PART"


def test_the_broker_describes_what_it_was_started_with(admin):
    config = config_of(admin, "1", "broker")
    assert config["num.partitions"].value == "4"
    assert config["auto.create.topics.enable"].value == "true"
    assert all(entry.is_read_only for entry in config.values())


def test_single_settings_are_set_unset_and_lists_grow_and_shrink(admin):
    assert created(admin, "changing", retention_ms="1000") is None
    change = lambda *what: changed(admin, "changing", *what)
    value = lambda key: config_of(admin, "changing")[key].value
    assert change(AlterConfigOpType.APPEND, "cleanup.policy", "compact") is None
    assert value("cleanup.policy") == "delete,compact"
    assert change(AlterConfigOpType.SUBTRACT, "cleanup.policy", "delete") is None
    assert value("cleanup.policy") == "compact"
    assert change(AlterConfigOpType.DELETE, "retention.ms", None) is None
    assert value("retention.ms") == "604800000"
    assert change(AlterConfigOpType.APPEND, "retention.ms", "5") == (
        "INVALID_CONFIG",
        "Can't APPEND to key retention.ms because its type is not LIST.",
    )
    assert change(AlterConfigOpType.SET, "nope", "5") == ("INVALID_CONFIG", "Unknown topic config name: nope")
    assert changed(admin, "missing", AlterConfigOpType.SET, "retention.ms", "5")[1] == (
        "The topic 'missing' does not exist."
    )


@pytest.mark.filterwarnings("ignore:alter_configs has been deprecated")
def test_settings_are_replaced_by_those_that_are_named(admin):
    assert created(admin, "replaced", retention_ms="1000") is None
    assert told(admin.alter_configs([ConfigResource("topic", "replaced", set_config={"retention.bytes": "7"})])) is None
    config = config_of(admin, "replaced")
    assert {name: entry.value for name, entry in config.items() if entry.source == 1} == {"retention.bytes": "7"}


# --- what settings mean for producers


def test_a_batch_that_is_too_large_for_its_topic_is_refused(admin, broker):
    assert created(admin, "small", max_message_bytes="1000") is None
    assert sent(broker, "small", bytes(900))[0] is None
    assert sent(broker, "small", bytes(1000))[0] == "MSG_SIZE_TOO_LARGE"
    assert created(admin, "usual") is None
    assert sent(broker, "usual", bytes(1_100_000), settings={"compression.type": "none"})[0] == "MSG_SIZE_TOO_LARGE"


def test_a_compacted_topic_takes_no_record_without_a_key(admin, broker):
    assert created(admin, "keyed", cleanup_policy="compact") is None
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        settings = {"compression.type": codec}
        assert sent(broker, "keyed", b"v" * 500, b"k", settings=settings)[0] is None
        assert sent(broker, "keyed", b"v" * 500, None, settings=settings)[0] == "INVALID_RECORD"


def test_records_go_by_the_brokers_clock_where_the_topic_says_so(admin, broker):
    assert created(admin, "appended", message_timestamp_type="LogAppendTime") is None
    error, message = sent(broker, "appended", timestamp=1000)
    assert error is None
    kind, at = message.timestamp()
    assert (kind, abs(at / 1000 - time.time()) < 60) == (2, True)
    consumer = Consumer({"bootstrap.servers": broker.bootstrap_servers, "group.id": "a"})
    try:
        consumer.assign([TopicPartition("appended", 0, 0)])
        assert consumer.poll(10).timestamp() == (2, at)
    finally:
        consumer.close()


def test_records_too_far_ahead_or_behind_the_clock_are_refused(admin, broker):
    now = int(time.time() * 1000)
    assert created(admin, "timely", message_timestamp_before_max_ms="60000") is None
    assert sent(broker, "timely", timestamp=now)[0] is None
    assert sent(broker, "timely", timestamp=now - 120_000)[0] == "INVALID_TIMESTAMP"
    assert sent(broker, "timely", timestamp=now + 7_200_000)[0] == "INVALID_TIMESTAMP"


def test_more_replicas_in_sync_than_there_are_refuse_only_who_waits_for_all(admin, broker):
    assert created(admin, "safe", min_insync_replicas="2") is None
    settings = {"retries": 0, "enable.idempotence": False}
    assert sent(broker, "safe", settings={**settings, "acks": "all"})[0] == "NOT_ENOUGH_REPLICAS"
    assert sent(broker, "safe", settings={**settings, "acks": "1"})[0] is None
