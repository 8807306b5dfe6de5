"""`kafkaboot.kafka`."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from kafkaboot.client.settings import KafkaSettings, is_loopback
from kafkaboot.errors import ConfigurationError

SASL = {"protocol": "SASL-SSL", "sasl": {"mechanism": "scram-sha-512", "username": "u", "password": "canary-1"}}


def test_the_defaults_are_an_external_broker_on_this_machine():
    settings = KafkaSettings()
    assert (settings.broker, settings.bootstrap_servers, settings.topics) == ("external", ["localhost:9092"], "auto")
    assert settings.client_properties() == {"bootstrap.servers": "localhost:9092", "security.protocol": "plaintext"}


def test_servers_are_a_list_or_a_text_with_commas():
    for written in ("a:1, b:2", ["a:1", "b:2"]):
        settings = KafkaSettings.model_validate({"bootstrap-servers": written})
        assert settings.client_properties()["bootstrap.servers"] == "a:1,b:2"


@pytest.mark.parametrize("written", ["", [], {"bootstrap_server": "a:1"}, {"bootstrap-servers": ""}])
def test_what_cannot_be_is_refused(written):
    with pytest.raises(ValidationError):
        KafkaSettings.model_validate(written if isinstance(written, dict) else {"bootstrap-servers": written})


def test_security_is_written_in_librdkafkas_words():
    security = SASL | {"ssl": {"ca": "/ca.pem", "cert": "/c.pem", "key": "/k.pem", "key-password": "canary-2"}}
    found = KafkaSettings.model_validate({"security": security}).client_properties()
    assert found == {
        "bootstrap.servers": "localhost:9092",
        "security.protocol": "sasl_ssl",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "u",
        "sasl.password": "canary-1",
        "ssl.ca.location": "/ca.pem",
        "ssl.certificate.location": "/c.pem",
        "ssl.key.location": "/k.pem",
        "ssl.key.password": "canary-2",
    }


def test_secrets_are_not_shown():
    settings = KafkaSettings.model_validate({"security": SASL, "properties": {"ssl.key.password": "canary-3"}})
    assert "canary" not in repr(settings) + str(settings)


@pytest.mark.parametrize(
    ("security", "said"),
    [
        ({"protocol": "ssl", "sasl": SASL["sasl"]}, "does not use it"),
        ({"protocol": "plaintext", "ssl": {"ca": "x"}}, "does not use it"),
        ({"protocol": "sasl_ssl", "sasl": {"mechanism": "PLAIN", "username": "u"}}, "needs a username and a password"),
        ({"protocol": "tls"}, "sasl_plaintext"),
        ({"protocoll": "ssl"}, "protocoll"),
    ],
)
def test_security_that_contradicts_itself_is_refused(security, said):
    with pytest.raises(ValidationError, match=said):
        KafkaSettings.model_validate({"security": security})


def test_properties_win_and_booleans_are_spelled_as_librdkafka_reads_them():
    settings = KafkaSettings.model_validate(
        {"client-id": "a", "properties": {"client.id": "b", "enable.idempotence": True}}
    )
    found = settings.client_properties("127.0.0.1:5", "c")
    assert (found["client.id"], found["enable.idempotence"], found["bootstrap.servers"]) == ("b", "true", "127.0.0.1:5")
    assert KafkaSettings().client_properties(client_id="c")["client.id"] == "c"


@pytest.mark.parametrize(
    "server", ["localhost:9092", "127.0.0.1:1", "127.8.8.8:1", "[::1]:9092", "PLAINTEXT://localhost:1"]
)
def test_the_loopback_is_known(server):
    assert is_loopback(server)


@pytest.mark.parametrize(
    "server", ["kafka:9092", "10.0.0.1:9092", "[fe80::1]:9092", "localhost.evil.org:1", "0.0.0.0:1"]
)
def test_what_is_not_the_loopback_is_known(server):
    assert not is_loopback(server)


FAR = {"bootstrap-servers": ["localhost:9092", "kafka.example:9092"]}


def test_plain_text_to_another_host_is_a_warning_in_prod_only():
    settings = KafkaSettings.model_validate(FAR)
    assert "unencrypted to kafka.example:9092" in settings.transport_warning(["prod"])
    assert settings.transport_warning(["dev"]) == ""
    assert KafkaSettings().transport_warning(["prod"]) == ""


def test_plain_text_to_another_host_is_an_error_when_security_is_required():
    with pytest.raises(ConfigurationError, match=r"security.require is true"):
        KafkaSettings.model_validate(FAR | {"security": {"require": True}}).transport_warning(["prod"])


@pytest.mark.parametrize("protocol", ["ssl", "sasl_ssl"])
def test_encrypted_ways_are_neither(protocol):
    security = {"protocol": protocol, "require": True} | ({"sasl": SASL["sasl"]} if protocol == "sasl_ssl" else {})
    assert KafkaSettings.model_validate(FAR | {"security": security}).transport_warning(["prod"]) == ""


def test_a_password_in_the_clear_and_a_protocol_among_the_properties_are_seen():
    security = {"protocol": "sasl_plaintext", "sasl": SASL["sasl"]}
    assert "unencrypted" in KafkaSettings.model_validate(FAR | {"security": security}).transport_warning(["prod"])
    encrypted = FAR | {"properties": {"security.protocol": "SSL"}}
    assert KafkaSettings.model_validate(encrypted).transport_warning(["prod"]) == ""
