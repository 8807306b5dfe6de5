from __future__ import annotations

import pytest

from kafkaboot.boot.autoconfiguration import AutoConfiguration, Loaded, Offer, decide, in_order
from kafkaboot.boot.component import Component
from kafkaboot.boot.conditions import Surroundings, on_handlers, on_missing, on_module
from kafkaboot.boot.report import Decision, Outcome, Override, Report
from kafkaboot.config import load
from kafkaboot.errors import WiringError


class Clock: ...


class Metrics: ...


def clock() -> Clock:
    return Clock()


def loaded(*autos):
    return [Loaded(auto, "kafkaboot") for auto in autos]


def surroundings(tmp_path, *components):
    return Surroundings(load(environ={}, directory=tmp_path), list(components), [])


def test_what_is_accepted_is_there_for_the_next_condition(tmp_path):
    here = surroundings(tmp_path)
    first = AutoConfiguration("first", offers=(Offer(clock, when=(on_missing(Clock),)),))
    second = AutoConfiguration("second", offers=(Offer(clock, when=(on_missing(Clock),)), Metrics))

    decisions = decide(loaded(first, second), here)

    assert [(one.provides, one.source) for one in here.components] == [(Clock, "first"), (Metrics, "second")]
    assert decisions[1].offers[0][1] == [(False, "first has its own Clock: Clock (auto-configuration first)")]


def test_one_no_leaves_the_whole_auto_configuration_out(tmp_path):
    here = surroundings(tmp_path)
    off = AutoConfiguration("off", when=(on_module("sqlite3"), on_handlers()), offers=(Metrics,))

    (decision,) = decide(loaded(off), here)

    assert decision.outcome is Outcome.OFF
    assert decision.answers == [(True, "module sqlite3 is installed"), (False, "no handlers")]
    assert here.components == []


def test_those_named_in_after_are_decided_before():
    a, b, c = (
        AutoConfiguration("a", after=("c", "not-here")),
        AutoConfiguration("b"),
        AutoConfiguration("c", after=("b",)),
    )
    assert [one.auto.name for one in in_order(loaded(a, b, c))] == ["b", "c", "a"]


def test_a_circle_of_after_and_a_name_taken_twice_are_refused():
    with pytest.raises(WiringError) as circle:
        in_order(loaded(AutoConfiguration("a", after=("b",)), AutoConfiguration("b", after=("a",))))
    assert circle.value.what == "auto-configurations wait for each other: a -> b -> a"

    twice = [*loaded(AutoConfiguration("a")), Loaded(AutoConfiguration("a"), "guest 1.0")]
    with pytest.raises(WiringError) as named:
        in_order(twice)
    assert named.value.what == "two auto-configurations are named 'a': of kafkaboot and of guest 1.0"


def test_an_offer_that_does_not_say_what_it_provides_is_refused(tmp_path):
    def silent():
        return Clock()

    with pytest.raises(WiringError) as raised:
        decide(loaded(AutoConfiguration("a", offers=(silent,))), surroundings(tmp_path))
    assert str(raised.value) == (
        "auto-configuration a: silent does not say what it provides\n  To do: annotate what it returns"
    )


def test_the_report_says_what_was_decided_and_why(tmp_path):
    own = Component(Clock, Clock, "shop/clock.py:3", "clock")
    here = surroundings(tmp_path, own)
    metrics = AutoConfiguration(
        "metrics", when=(on_module("sqlite3"),), offers=(Offer(clock, when=(on_missing(Clock),)), Metrics)
    )
    tracing = AutoConfiguration("tracing", when=(on_module("no_such_thing"),), offers=(Metrics,))

    decisions = [*decide(loaded(metrics, tracing), here), Decision("saga", "kafkaboot-saga 1.2", Outcome.EXCLUDED)]
    override = Override("bill", "concurrency", 32, 8, "config/application.yaml:7")

    assert str(Report(decisions, here.components, [override])) == (
        "Auto-configurations\n"
        "  metrics (kafkaboot): on\n"
        "    yes  module sqlite3 is installed\n"
        "    - Clock\n"
        "        no   the application has its own Clock: Clock (shop/clock.py:3)\n"
        "    + Metrics\n"
        "  tracing (kafkaboot): off\n"
        "    no   module no_such_thing is not installed\n"
        "  saga (kafkaboot-saga 1.2): excluded\n"
        "    no   kafkaboot.autoconfigure.exclude names it\n"
        "Components, in the order in which they are built\n"
        "  Clock (shop/clock.py:3), of the application\n"
        "  Metrics (auto-configuration metrics), of metrics\n"
        "Options of handlers that the configuration decides\n"
        "  bill: concurrency = 32 (config/application.yaml:7); the code says 8"
    )
