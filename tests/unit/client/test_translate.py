"""librdkafka's errors in the house's words."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError, KafkaException

from kafkaboot.client.confluent.translate import client_error, kafka_exception
from kafkaboot.errors import BrokerUnreachableError, ClientError, PublishError


@pytest.mark.parametrize(
    ("code", "retriable", "fatal", "todo"),
    [
        ("_TRANSPORT", True, False, "bootstrap-servers"),
        ("_ALL_BROKERS_DOWN", True, False, "bootstrap-servers"),
        ("_RESOLVE", True, False, "host name"),
        ("_AUTHENTICATION", False, False, "password"),
        ("SASL_AUTHENTICATION_FAILED", False, False, "password"),
        ("_SSL", False, False, "certificate"),
        ("TOPIC_AUTHORIZATION_FAILED", False, False, "kafka-acls"),
        ("GROUP_AUTHORIZATION_FAILED", False, False, "kafka-acls"),
        ("UNKNOWN_TOPIC_OR_PART", True, False, "create the topic"),
        ("MSG_SIZE_TOO_LARGE", False, False, "max.message.bytes"),
        ("_MSG_TIMED_OUT", True, False, "message.timeout.ms"),
        ("_FENCED", False, True, "same id"),
        ("FENCED_INSTANCE_ID", False, True, "same id"),
        ("NOT_COORDINATOR", True, False, "may succeed later"),
    ],
)
def test_well_known_codes_say_what_may_be_done(code, retriable, fatal, todo):
    for error in (KafkaError(getattr(KafkaError, code)), KafkaException(KafkaError(getattr(KafkaError, code)))):
        made = client_error(error, where="orders[1]@7", fate="kept")
        assert (made.code, made.retriable, made.fatal, made.where, made.fate) == (
            code,
            retriable,
            fatal,
            "orders[1]@7",
            "kept",
        )
        assert todo in made.todo
        assert code in made.what


@pytest.mark.parametrize("code", ["_TRANSPORT", "_ALL_BROKERS_DOWN", "_RESOLVE"])
def test_brokers_that_cannot_be_reached_have_a_class_of_their_own(code):
    assert type(client_error(KafkaError(getattr(KafkaError, code)))) is BrokerUnreachableError
    assert type(client_error(KafkaError(KafkaError._SSL))) is ClientError


def test_the_class_can_be_chosen():
    assert type(client_error(KafkaError(KafkaError._TRANSPORT), kind=PublishError)) is PublishError


def test_a_fatal_flag_makes_an_error_fatal_and_not_retriable():
    made = client_error(KafkaError(KafkaError._TRANSPORT, "gone", True))
    assert (made.fatal, made.retriable) == (True, False)


def test_a_security_mismatch_is_named_and_not_worth_a_retry():
    made = client_error(KafkaError(KafkaError._SSL, "SSL handshake failed: wrong version number: connecting to ..."))
    assert "speaks plain text and this client TLS" in made.what
    assert "security.protocol" in made.todo
    other = client_error(
        KafkaError(
            KafkaError._TRANSPORT, "... incorrect security.protocol configuration (connecting to a SSL listener?)"
        )
    )
    assert "speaks TLS" in other.what
    assert not other.retriable


def test_an_exception_without_an_error_inside_keeps_its_words():
    assert client_error(KafkaException("odd")).what == "odd"


def test_what_librdkafka_said_is_found_behind_the_error_that_a_callback_made_of_it():
    said = KafkaException(KafkaError(KafkaError._FATAL))
    wrapped = SystemError("<method 'name'> returned a result with an exception set")
    wrapped.__cause__ = said
    assert kafka_exception(said) is kafka_exception(wrapped) is said
    assert kafka_exception(ValueError("a callback's own")) is None
