"""Auto-configurations: what a feature offers to the container, and when. The house's own are made like any guest's."""

from __future__ import annotations

import inspect
import typing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kafkaboot.boot.component import Component
from kafkaboot.boot.report import Decision, Outcome
from kafkaboot.declare import type_name
from kafkaboot.errors import WiringError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from kafkaboot.boot.analysis import Analyzer
    from kafkaboot.boot.conditions import Answer, Condition, Surroundings
    from kafkaboot.config import Configuration


@dataclass(frozen=True, slots=True)
class Offer:
    """A component that an auto-configuration offers.

    Attributes:
        factory: A class, or a function whose return annotation is what it provides. Its parameters are injected.
        when: All of these must answer yes.
        provides: The type, where it is not the factory itself or its return annotation.
        name: Its name; the factory's name by default.
        starts: Called with the instance when it is built.
        stops: Called with the instance at the end.
        timeout: Seconds that each hook may take, where the application's settings are not right for it.
        named_only: Whether it is given only to those who ask for it by name, or for all of its type.
    """

    factory: Callable[..., Any]
    when: tuple[Condition, ...] = ()
    provides: Any = None
    name: str = ""
    starts: tuple[Callable[[Any], Any], ...] = ()
    stops: tuple[Callable[[Any], Any], ...] = ()
    timeout: float | None = None
    named_only: bool = False


@dataclass(frozen=True, slots=True)
class AutoConfiguration:
    """A feature of the house or of a starter.

    What it offers are components; one that has `@on_start` or `@on_stop` methods takes part in the lifecycle, one
    that fulfils `HealthIndicator` is asked for its health.

    Attributes:
        name: How it is switched off: `kafkaboot.autoconfigure.exclude: [name]`.
        sections: By section under `kafkaboot.`, the model of its settings. Each is bound, checked and injectable.
        when: All of these must answer yes, else nothing is offered.
        offers: What it offers: factories, or `Offer`s where one has conditions of its own.
        after: Names of auto-configurations whose offers are decided before this one's.
        prepare: Called once with the configuration unless it is excluded, before the packages are imported.
        analyzers: What it knows of failed starts.
        more: Further offers, one for each name in a section, say; asked for behind `offers`.
    """

    name: str
    sections: Mapping[str, Any] = field(default_factory=dict)
    when: tuple[Condition, ...] = ()
    offers: tuple[Offer | Callable[..., Any], ...] = ()
    after: tuple[str, ...] = ()
    prepare: Callable[[Configuration], object] | None = None
    analyzers: tuple[Analyzer, ...] = ()
    more: Callable[[Configuration], Iterable[Offer]] = lambda _: ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """An auto-configuration and the distribution that it came with."""

    auto: AutoConfiguration
    distribution: str


def in_order(found: Sequence[Loaded]) -> list[Loaded]:
    """Each behind those that it names in `after`; otherwise in the given order.

    Raises:
        WiringError: Two carry one name, or they wait for each other.
    """
    by_name: dict[str, Loaded] = {}
    for one in found:
        if one.auto.name in by_name:
            raise WiringError(
                f"two auto-configurations are named {one.auto.name!r}: "
                f"of {by_name[one.auto.name].distribution} and of {one.distribution}",
                todo="uninstall one of the two distributions",
            )
        by_name[one.auto.name] = one
    ordered: dict[str, Loaded] = {}

    def place(name: str, waiting: tuple[str, ...]) -> None:
        if name in waiting:
            circle = " -> ".join([*waiting[waiting.index(name) :], name])
            raise WiringError(f"auto-configurations wait for each other: {circle}", todo="take one `after` out")
        for earlier in by_name[name].auto.after:
            if earlier in by_name and earlier not in ordered:
                place(earlier, (*waiting, name))
        ordered.setdefault(name, by_name[name])

    for name in by_name:
        place(name, ())
    return list(ordered.values())


def decide(found: Iterable[Loaded], here: Surroundings) -> list[Decision]:
    """Ask all conditions, in order; what is accepted is added to `here.components`."""
    decisions = []
    for one in found:
        auto = one.auto
        answers = [condition(here) for condition in auto.when]
        decision = Decision(auto.name, one.distribution, Outcome.ON if _all(answers) else Outcome.OFF, answers)
        decisions.append(decision)
        if decision.outcome is Outcome.ON:
            for entry in (*auto.offers, *auto.more(here.configuration)):
                offer = entry if isinstance(entry, Offer) else Offer(entry)
                component = _component(offer, auto.name)
                answers = [condition(here) for condition in offer.when]
                decision.offers.append((component, answers))
                if _all(answers):
                    here.components.append(component)
    return decisions


def _all(answers: Iterable[Answer]) -> bool:
    return all(answer.yes for answer in answers)


def _component(offer: Offer, source: str) -> Component:
    factory = offer.factory
    where = f"auto-configuration {source}"
    provides = offer.provides or factory
    if not offer.provides and not isinstance(factory, type):
        try:
            provides = typing.get_type_hints(inspect.unwrap(factory)).get("return")
        except NameError as error:
            raise WiringError(
                f"{factory.__name__} offers {error.name!r}, which its module does not know at run time",
                where=where,
                todo=f"import {error.name} outside of `if TYPE_CHECKING:`",
            ) from error
        if provides in {None, type(None), Any}:
            raise WiringError(
                f"{factory.__name__} does not say what it provides", where=where, todo="annotate what it returns"
            )
    name = offer.name or type_name(factory)
    return Component(
        provides,
        factory,
        where,
        name,
        source=source,
        starts=offer.starts,
        stops=offer.stops,
        timeout=offer.timeout,
        named_only=offer.named_only,
    )
