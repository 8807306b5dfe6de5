"""When an auto-configuration, or one thing that it offers, applies. Each condition answers yes or no, and why."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from kafkaboot.boot.component import Dependency
from kafkaboot.boot.graph import Graph
from kafkaboot.declare import type_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.boot.component import Component
    from kafkaboot.config import Configuration
    from kafkaboot.declare import HandlerSpec


class Answer(NamedTuple):
    """What a condition said."""

    yes: bool
    why: str


@dataclass(slots=True)
class Surroundings:
    """What a condition may look at.

    Attributes:
        configuration: The application's configuration.
        components: What the application declares, and what was accepted before; it grows while conditions are asked.
        handlers: The declared handlers.
    """

    configuration: Configuration
    components: list[Component]
    handlers: Sequence[HandlerSpec]

    def providing(self, wanted: Any) -> list[Component]:
        """The components that fit a type."""
        return Graph(self.components).fitting(Dependency("", wanted, many=True))


class Condition(Protocol):
    """Yes or no, and why."""

    def __call__(self, here: Surroundings, /) -> Answer:
        """The answer, from what is known before anything is built."""


def on_property(key: str, *values: object, otherwise: bool = False) -> Condition:
    """Yes if the configuration's `key` is one of `values`, or `true` if none is named.

    Args:
        key: The key.
        values: What it may be, compared as text and in any case.
        otherwise: The answer where the key is not set.
    """
    wanted = {str(value).lower() for value in values or (True,)}

    def ask(here: Surroundings) -> Answer:
        if not here.configuration.mentions(key):
            return Answer(otherwise, f"{key} is not set")
        value = here.configuration.get(key)
        entry = here.configuration.explain(key)[0]
        return Answer(str(value).lower() in wanted, f"{key} is {entry.value} ({entry.origin})")

    return ask


def on_setting(key: str) -> Condition:
    """Yes if the configuration says anything of `key`, or of what stands below it."""

    def ask(here: Surroundings) -> Answer:
        said = here.configuration.mentions(key)
        return Answer(said, f"{key} is {'' if said else 'not '}set")

    return ask


def on_module(name: str) -> Condition:
    """Yes if the module can be imported. It is looked for, not imported."""

    def ask(_: Surroundings) -> Answer:
        try:
            found = importlib.util.find_spec(name) is not None
        except ModuleNotFoundError:  # a parent of the name is no package here
            found = False
        return Answer(found, f"module {name} is {'' if found else 'not '}installed")

    return ask


def on_missing(wanted: type) -> Condition:
    """Yes if nothing else provides the type: what the application declares itself wins."""

    def ask(here: Surroundings) -> Answer:
        found = here.providing(wanted)
        if found:
            return Answer(False, f"{found[0].source} has its own {type_name(wanted)}: {found[0]}")
        return Answer(True, f"nothing else provides {type_name(wanted)}")

    return ask


def on_component(wanted: type) -> Condition:
    """Yes if something provides the type."""

    def ask(here: Surroundings) -> Answer:
        found = here.providing(wanted)
        if found:
            return Answer(True, f"{found[0]} provides {type_name(wanted)}")
        return Answer(False, f"nothing provides {type_name(wanted)}")

    return ask


def on_handlers() -> Condition:
    """Yes if the application declares a handler."""

    def ask(here: Surroundings) -> Answer:
        count = len(here.handlers)
        return Answer(count > 0, f"{count} handler{'' if count == 1 else 's'} declared" if count else "no handlers")

    return ask
