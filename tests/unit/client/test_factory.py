"""The factory of real clients, without a broker."""

from __future__ import annotations

import pytest

from kafkaboot.client.confluent import librdkafka
from kafkaboot.client.confluent.factory import ConfluentClients
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.errors import ConfigurationError


def _clients(**properties: object) -> ConfluentClients:
    return ConfluentClients(KafkaSettings.model_validate({"properties": properties}))


def test_an_unknown_property_is_named_with_the_nearest_known_one():
    with pytest.raises(ConfigurationError, match=r"no property `linger.mss`") as caught:
        _clients(**{"linger.mss": 5}).validate()
    assert caught.value.todo == "did you mean `linger.ms`?"
    assert caught.value.where == "kafkaboot.kafka.properties"


def test_a_property_like_no_other_gets_no_suggestion():
    with pytest.raises(ConfigurationError) as caught:
        _clients(zzzz=5).validate()
    assert "did you mean" not in caught.value.todo


def test_a_value_that_cannot_be_is_named_by_the_name_it_was_written_under():
    with pytest.raises(ConfigurationError, match=r"value of `linger.ms`"):
        _clients(**{"linger.ms": "soon"}).validate()


def test_properties_that_contradict_each_other_are_refused_in_librdkafkas_words():
    with pytest.raises(ConfigurationError, match="`acks` must be set to `all`"):
        _clients(**{"enable.idempotence": True, "acks": 1}).validate()


def test_properties_of_one_client_are_validated_where_they_were_written():
    with pytest.raises(ConfigurationError) as caught:
        _clients().validate({"fetch.min.byte": 1}, "kafkaboot.consumer.properties")
    assert caught.value.where == "kafkaboot.consumer.properties"
    assert "fetch.min.bytes" in caught.value.todo


def test_every_kind_of_property_is_accepted():
    _clients(**{"linger.ms": 1.5, "enable.idempotence": True, "fetch.min.bytes": 1, "client.rack": "a"}).validate()


def test_a_started_brokers_address_replaces_the_configured_one():
    assert ConfluentClients(KafkaSettings(), bootstrap_servers="127.0.0.1:7").bootstrap_servers == "127.0.0.1:7"


def test_the_admin_client_refuses_what_librdkafka_refuses():
    with pytest.raises(ConfigurationError, match=r"no property `sasl.usernam`"):
        _clients(**{"sasl.usernam": "x"}).admin()


def test_a_flood_of_one_line_is_logged_once_and_other_lines_pass(monkeypatch):
    logger, heard = librdkafka.logger(), []
    monkeypatch.setattr(logger, "callHandlers", lambda record: heard.append(record.getMessage()))
    for milliseconds in range(5):
        logger.error(
            "FAIL [rdkafka#producer-1] test.flood: Connection refused (after %dms in state CONNECT)", milliseconds
        )
    logger.error("FAIL [rdkafka#producer-1] test.flood: something else")
    logger.warning("CONFWARN [rdkafka#producer-1] group.id is a consumer property and will be ignored by this producer")
    mine = [line for line in heard if "test.flood" in line or "CONFWARN" in line]
    assert [line.split(": ")[-1][:14] for line in mine] == ["Connection ref", "something else"]
