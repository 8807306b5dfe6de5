from __future__ import annotations

import errno

import pytest

from kafkaboot.boot import analysis
from kafkaboot.boot.analysis import Analysis, analyze
from kafkaboot.boot.lifecycle import StartError
from kafkaboot.boot.settings import ApplicationSettings
from kafkaboot.config import load
from kafkaboot.declare import scan
from kafkaboot.errors import (
    BrokerUnreachableError,
    ClientError,
    ConfigurationError,
    DeclarationError,
    KafkabootError,
    WiringError,
)
from kafkaboot.topics import MissingTopicError


def raised(call):
    with pytest.raises(KafkabootError) as caught:
        call()
    return caught.value


def test_an_unknown_key_is_told_with_its_place_and_the_nearest_one(tmp_path):
    (tmp_path / "application.yaml").write_text("kafkaboot:\n  application: {nmae: shop}\n")
    configuration = load(environ={}, directory=tmp_path)
    error = raised(lambda: configuration.check({"kafkaboot.application": ApplicationSettings}))

    found = analyze(error)
    assert found.code == analysis.CONFIGURATION == 3
    assert str(found).startswith("The application did not start: the configuration cannot be used\n\nWhat happened\n")
    assert "application.yaml:2" in found.happened
    assert "nmae" in found.happened
    assert "name" in found.todo


def test_a_bad_value_is_told_with_its_place(tmp_path):
    (tmp_path / "application.yaml").write_text("kafkaboot:\n  application: {stop-timeout: soon}\n")
    configuration = load(environ={}, directory=tmp_path)
    found = analyze(raised(lambda: configuration.bind("kafkaboot.application", ApplicationSettings)))

    assert found.code == 3
    assert "application.yaml:2: `kafkaboot.application.stop-timeout` is 'soon'" in found.happened
    assert found.todo == "correct the configuration; `kafkaboot config check` says the same without starting"


def test_a_missing_component_keeps_its_drawing():
    drawn = "nothing provides Rates\n  bill (shop/handlers.py:21)\n  └─ rates: Rates   <- missing"

    assert str(analyze(WiringError(drawn, todo="decorate a class with @component"))) == (
        "The application did not start: the components do not fit together\n"
        "\n"
        "What happened\n"
        "  nothing provides Rates\n"
        "    bill (shop/handlers.py:21)\n"
        "    └─ rates: Rates   <- missing\n"
        "\n"
        "What to do\n"
        "  decorate a class with @component"
    )


def test_a_port_in_use_is_found_behind_the_component_that_could_not_start():
    cause = OSError(errno.EADDRINUSE, "Address already in use: 127.0.0.1:8080")
    error = StartError("starting Actuator failed: OSError", where="auto-configuration actuator")
    error.__cause__ = cause

    found = analyze(error)
    assert (found.title, found.code) == ("a port is in use", 1)
    assert found.happened == "Address already in use: 127.0.0.1:8080"
    assert "choose another port" in found.todo


def test_a_broker_that_does_not_answer_has_an_exit_code_of_its_own():
    error = BrokerUnreachableError("no broker answers at localhost:1", code="_TRANSPORT")

    assert str(analyze(error)) == (
        "The application did not start: no broker answers\n"
        "\n"
        "What happened\n"
        "  no broker answers at localhost:1\n"
        "\n"
        "What to do\n"
        "  start the broker, or correct kafkaboot.kafka.bootstrap-servers\n"
        "  without a broker of your own: kafkaboot.kafka.broker: local (or container, embedded)"
    )
    assert analyze(error).code == analysis.UNREACHABLE == 4


@pytest.mark.parametrize(
    ("error", "title"),
    [
        (ClientError("SASL failed", code="_AUTHENTICATION"), "the broker does not accept these credentials"),
        (
            BrokerUnreachableError(
                "Disconnected: the broker's listener speaks TLS or asks for SASL, and this client does not",
                code="_TRANSPORT",
            ),
            "the security settings do not match",
        ),
        (ClientError("refused", code="TOPIC_AUTHORIZATION_FAILED"), "permission denied"),
        (ClientError("refused", code="GROUP_AUTHORIZATION_FAILED"), "permission denied"),
        (ClientError("Unknown topic", code="UNKNOWN_TOPIC_OR_PART"), "a topic is missing"),
        (MissingTopicError("topic 'ordres' does not exist"), "a topic is missing"),
        (DeclarationError("shop.handlers cannot be imported: no module"), "a package cannot be imported"),
        (DeclarationError("two handlers have the id 'bill'"), "a declaration cannot be used"),
        (StartError("starting Store failed"), "start"),
    ],
)
def test_every_kind_of_failure_has_a_title_of_its_own(error, title):
    error.todo = "the advice of the error itself"

    found = analyze(error)
    assert found.title == title
    assert found.happened == error.what
    assert found.todo.startswith("the advice of the error itself")


def test_a_package_that_fails_to_import_is_told_with_the_line_of_the_user(tmp_path):
    package = tmp_path / "brokenshop"
    package.mkdir()
    (package / "__init__.py").write_text("import no_such_thing_at_all\n")

    found = analyze(raised(lambda: scan("brokenshop", root=tmp_path)))
    assert found.title == "a package cannot be imported"
    assert "brokenshop/__init__.py:1" in found.happened
    assert "no_such_thing_at_all" in found.happened


def test_what_nobody_knows_is_told_with_the_users_own_place():
    def shop_code():
        raise ZeroDivisionError("division by zero")

    try:
        shop_code()
    except ZeroDivisionError as error:
        found = analyze(error)

    assert found.title == "an unexpected error"
    assert found.happened.startswith("ZeroDivisionError: division by zero\nat ")
    assert __file__ in found.happened
    assert found.todo == "run again with --traceback to see where it comes from"
    assert found.code == 1


def test_a_guest_is_asked_first():
    def saga(error: BaseException) -> Analysis | None:
        return (
            Analysis("a saga is broken", str(error), "repair it", 1) if isinstance(error, ConfigurationError) else None
        )

    assert analyze(ConfigurationError("x"), [saga]).title == "a saga is broken"
    assert analyze(WiringError("x"), [saga]).title == "the components do not fit together"
