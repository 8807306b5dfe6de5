"""Finds auto-configurations: the house's by its list, a guest's by the entry point group `kafkaboot.starters`."""

from __future__ import annotations

import importlib
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING

from kafkaboot.boot.autoconfiguration import AutoConfiguration, Loaded
from kafkaboot.boot.report import Decision, Outcome
from kafkaboot.config import nearest
from kafkaboot.errors import ConfigurationError, KafkabootError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

GROUP = "kafkaboot.starters"

HOUSE = {
    "kafka": "kafkaboot.boot.wiring.kafka:KAFKA",
    "producer": "kafkaboot.boot.wiring.producer:PRODUCER",
    "requests": "kafkaboot.boot.wiring.requests:REQUESTS",
    "consumer": "kafkaboot.boot.wiring.consumer:CONSUMER",
    "circuits": "kafkaboot.boot.wiring.circuits:CIRCUITS",
    "databases": "kafkaboot.boot.wiring.sql:DATABASES",
    "outbox": "kafkaboot.boot.wiring.sql:OUTBOX",
    "workbench": "kafkaboot.boot.wiring.workbench:WORKBENCH",
    "dead-letter": "kafkaboot.boot.wiring.dead_letter:DEAD_LETTERS",
    "topics": "kafkaboot.boot.wiring.topics:TOPICS",
    "logging": "kafkaboot.boot.wiring.logs:LOGGING",
    "metrics": "kafkaboot.boot.wiring.metrics:METRICS",
    "broker": "kafkaboot.dev.autoconfigure:BROKER",
}
"""The house's own features, by name. Text: `boot` imports no floor above it, and nothing that is switched off."""


class StarterError(KafkabootError):
    """A starter is installed and cannot be loaded."""


def load(excluded: Sequence[str], house: dict[str, str] = HOUSE) -> tuple[list[Loaded], list[Decision]]:
    """All auto-configurations that are not excluded, and the excluded ones for the report.

    Raises:
        StarterError: One cannot be loaded; it is named with its distribution and the cause.
        ConfigurationError: `excluded` names one that is not there.
    """
    found: list[Loaded] = []
    left_out: list[Decision] = []
    for name, target in house.items():
        if name in excluded:
            left_out.append(Decision(name, "kafkaboot", Outcome.EXCLUDED))
        else:
            found += _load(name, "kafkaboot", partial(_import, target))
    guests = sorted(metadata.entry_points(group=GROUP), key=lambda entry: entry.name)
    for entry in guests:
        distribution = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unnamed distribution"
        if entry.name in excluded:
            left_out.append(Decision(entry.name, distribution, Outcome.EXCLUDED))
        else:
            found += _load(entry.name, distribution, entry.load)
    kept = [one for one in found if one.auto.name not in excluded]
    known = {*house, *(entry.name for entry in guests), *(one.auto.name for one in found)}
    for name in excluded:
        if name not in known:
            near = nearest(name, known)
            raise ConfigurationError(
                f"there is no auto-configuration {name!r}",
                where="kafkaboot.autoconfigure.exclude",
                todo=f"did you mean `{near}`?" if near else f"those that exist: {', '.join(sorted(known))}",
            )
    left_out += [Decision(one.auto.name, one.distribution, Outcome.EXCLUDED) for one in found if one not in kept]
    return kept, left_out


def _load(name: str, distribution: str, read: Callable[[], object]) -> Iterable[Loaded]:
    advice = f"repair or uninstall it, or leave it out: kafkaboot.autoconfigure.exclude: [{name}]"
    try:
        value = read()
    except Exception as error:
        raise StarterError(
            f"the auto-configuration {name!r} of {distribution} cannot be loaded: {type(error).__name__}: {error}",
            todo=advice,
        ) from error
    loaded = []
    for one in value if isinstance(value, list | tuple) else [value]:
        if not isinstance(one, AutoConfiguration):
            raise StarterError(
                f"the auto-configuration {name!r} of {distribution} is a {type(one).__name__}, "
                "and an AutoConfiguration is expected",
                todo=advice,
            )
        loaded.append(Loaded(one, distribution))
    return loaded


def _import(target: str) -> object:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
