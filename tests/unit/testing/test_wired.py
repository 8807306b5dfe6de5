"""What was auto-configured, asserted without a broker."""

from __future__ import annotations

import logging

import pytest

from kafkaboot.errors import ConfigurationError
from kafkaboot.producer import Producer
from kafkaboot.testing import wired

NAMED = {"kafkaboot": {"application": {"name": "kitshop", "packages": ["kitshop"]}}}


def test_what_is_on_and_off_and_why(kitshop):
    found = wired(NAMED, directory=kitshop)
    found.assert_on("kafka", "consumer", "producer")
    found.assert_off("broker", because="kafkaboot.kafka.broker")
    assert found.provides(Producer)
    found.assert_component(Producer, source="producer")
    assert found.handlers["bill"].topics == ("orders",)
    assert found.name == "kitshop"


def test_a_wrong_expectation_is_told_with_the_reasons(kitshop):
    found = wired(NAMED, directory=kitshop)
    with pytest.raises(AssertionError, match="broker is expected on\nbroker is off\n  no: "):
        found.assert_on("broker")
    with pytest.raises(AssertionError, match="kafka is expected off"):
        found.assert_off("kafka")
    with pytest.raises(AssertionError, match="not because of 'the moon'"):
        found.assert_off("broker", because="the moon")
    with pytest.raises(LookupError, match="no auto-configuration 'producr'; did you mean 'producer'"):
        found.assert_on("producr")
    with pytest.raises(AssertionError, match="Producer is expected of nobody"):
        found.assert_component(Producer, source="nobody")


def test_an_excluded_one_is_off(kitshop):
    text = "kafkaboot:\n  application: {packages: [kitshop]}\n  autoconfigure: {exclude: [logging]}\n"
    found = wired(text, directory=kitshop)
    found.assert_off("logging")
    found = wired(text.replace("[logging]", "[]"), directory=kitshop)
    found.assert_on("logging")


def test_a_file_a_profile_and_settings_are_read(kitshop, tmp_path):
    shop = __import__("kitshop.handlers", fromlist=["ShopSettings"])
    found = wired(kitshop / "application.yaml", directory=kitshop, overrides=["kitshop.tax-rate=0.5"])
    assert str(found.settings(shop.ShopSettings).tax_rate) == "0.5"
    found.assert_on("broker")
    assert any(one.provides is shop.Tax for one in found.components)


def test_it_touches_no_log_and_no_variable_of_this_process(kitshop, monkeypatch):
    monkeypatch.setenv("KAFKABOOT_APPLICATION_NAME", "elsewhere")
    before = list(logging.getLogger().handlers)
    assert wired(NAMED, directory=kitshop).name == "kitshop"
    assert list(logging.getLogger().handlers) == before
    assert wired(NAMED, directory=kitshop, environ={"KAFKABOOT_APPLICATION_NAME": "here"}).name == "here"


def test_what_does_not_fit_together_is_raised_as_at_a_start(kitshop):
    with pytest.raises(ConfigurationError):
        wired({"kafkaboot": {"applicaton": {}}}, directory=kitshop)
