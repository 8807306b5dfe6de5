from __future__ import annotations

from importlib import metadata

import pytest

from kafkaboot.boot import starters
from kafkaboot.boot.autoconfiguration import AutoConfiguration
from kafkaboot.boot.report import Outcome
from kafkaboot.errors import ConfigurationError

SAGA = AutoConfiguration("saga")


class Guest:
    """An entry point as `importlib.metadata` answers it."""

    def __init__(self, name, value, distribution="kafkaboot-saga", version="1.2"):
        self.name, self._value = name, value
        self.dist = type("Distribution", (), {"name": distribution, "version": version})

    def load(self):
        if isinstance(self._value, Exception):
            raise self._value
        return self._value


@pytest.fixture
def guests(monkeypatch):
    known: list[Guest] = []

    def entry_points(*, group):
        assert group == "kafkaboot.starters"
        return known

    monkeypatch.setattr(metadata, "entry_points", entry_points)
    return known


def test_an_installed_starter_is_used(guests):
    guests.append(Guest("saga", SAGA))

    found, left_out = starters.load([], house={})
    assert [(one.auto.name, one.distribution) for one in found] == [("saga", "kafkaboot-saga 1.2")]
    assert left_out == []


def test_an_excluded_starter_is_not_even_loaded(guests):
    guests.append(Guest("saga", RuntimeError("loaded all the same")))

    found, left_out = starters.load(["saga"], house={})
    assert found == []
    assert [(one.name, one.outcome) for one in left_out] == [("saga", Outcome.EXCLUDED)]


def test_a_feature_of_the_house_is_switched_off_by_name_as_well(guests):
    found, left_out = starters.load(["logging"], house={"logging": "kafkaboot.boot.wiring.logs:LOGGING"})
    assert (found, [one.name for one in left_out]) == ([], ["logging"])

    found, _ = starters.load([], house={"logging": "kafkaboot.boot.wiring.logs:LOGGING"})
    assert [one.auto.name for one in found] == ["logging"]


def test_a_starter_that_fails_to_load_is_named_with_its_distribution_and_the_cause(guests):
    guests.append(Guest("saga", ImportError("No module named 'sqlmagic'")))

    with pytest.raises(starters.StarterError) as raised:
        starters.load([], house={})
    assert str(raised.value) == (
        "the auto-configuration 'saga' of kafkaboot-saga 1.2 cannot be loaded: "
        "ImportError: No module named 'sqlmagic'\n"
        "  To do: repair or uninstall it, or leave it out: kafkaboot.autoconfigure.exclude: [saga]"
    )


def test_an_entry_point_that_is_no_auto_configuration_is_refused(guests):
    guests.append(Guest("saga", {"name": "saga"}))

    with pytest.raises(starters.StarterError) as raised:
        starters.load([], house={})
    assert raised.value.what == (
        "the auto-configuration 'saga' of kafkaboot-saga 1.2 is a dict, and an AutoConfiguration is expected"
    )


def test_excluding_what_is_not_there_is_a_mistake_that_is_told(guests):
    guests.append(Guest("saga", SAGA))

    with pytest.raises(ConfigurationError) as raised:
        starters.load(["sagga"], house={"logging": "kafkaboot.boot.wiring.logs:LOGGING"})
    assert str(raised.value) == (
        "kafkaboot.autoconfigure.exclude: there is no auto-configuration 'sagga'\n  To do: did you mean `saga`?"
    )
