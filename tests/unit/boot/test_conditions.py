from __future__ import annotations

from kafkaboot.boot.component import Component
from kafkaboot.boot.conditions import (
    Surroundings,
    on_component,
    on_handlers,
    on_missing,
    on_module,
    on_property,
)
from kafkaboot.config import load
from kafkaboot.declare import HandlerSpec


class Clock: ...


class ShopClock(Clock): ...


CLOCK = Component(ShopClock, ShopClock, "shop/clock.py:3", "clock")


def surroundings(tmp_path, *components, overrides=(), handlers=()):
    configuration = load(overrides=overrides, environ={}, directory=tmp_path)
    return Surroundings(configuration, list(components), handlers)


def test_a_property_answers_with_its_value_and_its_origin(tmp_path):
    here = surroundings(tmp_path, overrides=["kafkaboot.actuator.enabled=True"])

    assert on_property("kafkaboot.actuator.enabled")(here) == (
        True,
        "kafkaboot.actuator.enabled is True (--set kafkaboot.actuator.enabled)",
    )
    assert on_property("kafkaboot.actuator.enabled", "off")(here).yes is False
    assert on_property("kafkaboot.actuator.enabled", "off", "TRUE")(here).yes is True
    assert on_property("kafkaboot.tracing.on")(here) == (False, "kafkaboot.tracing.on is not set")
    assert on_property("kafkaboot.tracing.on", otherwise=True)(here) == (True, "kafkaboot.tracing.on is not set")


def test_a_module_is_looked_for_and_not_imported(tmp_path):
    here = surroundings(tmp_path)

    assert on_module("sqlite3")(here) == (True, "module sqlite3 is installed")
    assert on_module("no_such_thing")(here) == (False, "module no_such_thing is not installed")
    assert on_module("no_such_thing.below")(here) == (False, "module no_such_thing.below is not installed")


def test_the_applications_own_component_wins_over_what_is_offered(tmp_path):
    assert on_missing(Clock)(surroundings(tmp_path)) == (True, "nothing else provides Clock")
    assert on_missing(Clock)(surroundings(tmp_path, CLOCK)) == (
        False,
        "the application has its own Clock: ShopClock (shop/clock.py:3)",
    )


def test_a_component_may_be_asked_for(tmp_path):
    assert on_component(Clock)(surroundings(tmp_path)) == (False, "nothing provides Clock")
    assert on_component(Clock)(surroundings(tmp_path, CLOCK)) == (True, "ShopClock (shop/clock.py:3) provides Clock")


def test_handlers_may_be_asked_for(tmp_path):
    one = HandlerSpec(print, "bill")

    assert on_handlers()(surroundings(tmp_path)) == (False, "no handlers")
    assert on_handlers()(surroundings(tmp_path, handlers=[one])) == (True, "1 handler declared")
    assert on_handlers()(surroundings(tmp_path, handlers=[one, one])) == (True, "2 handlers declared")
