import pytest
from confluent_kafka import Producer
from pydantic import ValidationError

from kafkaboot.producer import ProducerSettings


@pytest.mark.parametrize("preset", ["high-throughput", "low-latency", "safe"])
def test_every_preset_is_idempotent_with_all_acknowledgements_and_librdkafka_takes_it(preset):
    properties = ProducerSettings(preset=preset).client_properties()
    assert properties["enable.idempotence"] is True
    assert properties["acks"] == "all"
    Producer({**properties, "bootstrap.servers": "127.0.0.1:1", "log_level": 0})


def test_the_default_is_safe():
    assert ProducerSettings().client_properties() == ProducerSettings(preset="safe").client_properties()


def test_yaml_names_become_librdkafka_properties():
    settings = ProducerSettings.model_validate(
        {
            "compression": "zstd",
            "linger": "20ms",
            "batch-size": "64KB",
            "max-buffered": 1000,
            "delivery-timeout": "30s",
            "properties": {"message.max.bytes": 2_000_000},
        }
    )
    properties = settings.client_properties()
    assert properties["compression.type"] == "zstd"
    assert properties["linger.ms"] == 20
    assert properties["batch.size"] == 65536
    assert properties["queue.buffering.max.messages"] == 1000
    assert properties["message.timeout.ms"] == 30_000
    assert properties["message.max.bytes"] == 2_000_000
    Producer({**properties, "bootstrap.servers": "127.0.0.1:1", "log_level": 0})


def test_a_librdkafka_property_wins_also_under_its_other_name():
    settings = ProducerSettings.model_validate(
        {"linger": "20ms", "properties": {"queue.buffering.max.ms": 3, "acks": "1", "enable.idempotence": False}}
    )
    properties = settings.client_properties()
    assert "linger.ms" not in properties
    assert properties["queue.buffering.max.ms"] == 3
    assert (properties["acks"], properties["enable.idempotence"]) == ("1", False)


@pytest.mark.parametrize(
    "wrong", [{"presett": "safe"}, {"preset": "fast"}, {"linger": "soon"}, {"max-buffered": 0}, {"envelope": "avro"}]
)
def test_what_cannot_be_meant_is_refused(wrong):
    with pytest.raises(ValidationError):
        ProducerSettings.model_validate(wrong)


def test_the_clients_of_transactions_give_a_record_no_longer_than_its_transaction():
    properties = ProducerSettings().transaction_properties()
    assert (properties["transaction.timeout.ms"], properties["message.timeout.ms"]) == (10_000, 10_000)
    assert properties["retry.backoff.ms"] == 2
    given = {"delivery-timeout": "3s", "transaction": {"timeout": "5s"}, "properties": {"retry.backoff.ms": 7}}
    properties = ProducerSettings.model_validate(given).transaction_properties()
    assert (properties["transaction.timeout.ms"], properties["message.timeout.ms"]) == (5000, 3000)
    assert properties["retry.backoff.ms"] == 7
    for name in ("message.timeout.ms", "delivery.timeout.ms"):
        for value, used in ((2000, 2000), (0, 10_000), (300_000, 10_000)):
            properties = ProducerSettings(properties={name: value}).transaction_properties()
            assert properties["message.timeout.ms"] == used
            config = {**properties, "transactional.id": "x", "bootstrap.servers": "127.0.0.1:1", "log_level": 0}
            Producer(config)  # librdkafka refuses the pair otherwise


@pytest.mark.parametrize(
    ("section", "says"),
    [
        ({"delivery-timeout": "30s", "transaction": {"timeout": "20s"}}, "lower the one or raise the other"),
        ({"properties": {"transactional.id": "mine"}}, "transactional.id is not a property"),
        ({"properties": {"transaction.timeout.ms": 5}}, "kafkaboot.producer.transaction"),
        ({"transaction": {"pool": 0}}, "greater than or equal to 1"),
        ({"transaction": {"timeout": "10ms"}}, "greater than or equal to 1"),
        ({"transaction": {"slot": ""}}, "at least 1 character"),
        ({"transaction": {"id": "x"}}, "Extra inputs"),
    ],
)
def test_what_cannot_hold_together_is_refused(section, says):
    with pytest.raises(ValidationError, match=says):
        ProducerSettings.model_validate(section)
    ProducerSettings.model_validate({"delivery-timeout": "30s"})  # the control: without transactions it is nobody's
