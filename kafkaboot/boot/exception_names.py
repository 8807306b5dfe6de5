"""Exceptions that the configuration names: each must exist once the application's packages are imported."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kafkaboot.config import InvalidConfigurationError, Problem, nearest
from kafkaboot.declare import RetryPolicy
from kafkaboot.errors import DeclarationError
from kafkaboot.failure import exception_named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kafkaboot.config import Configuration
    from kafkaboot.declare import HandlerSpec
    from kafkaboot.failure import CircuitSettings, RetrySettings


def check_circuits(configuration: Configuration, circuits: Mapping[str, CircuitSettings]) -> None:
    """Look for the exceptions that circuits name.

    Raises:
        InvalidConfigurationError: All that do not exist.
    """
    problems = []
    for name, settings in circuits.items():
        for option in ("failures", "ignore"):
            problems += unknown(configuration, f"kafkaboot.circuits.{name}.{option}", getattr(settings, option))
    if problems:
        raise InvalidConfigurationError(problems)


def check_policies(configuration: Configuration, policies: Mapping[str, RetrySettings]) -> None:
    """Look for the exceptions that retry policies name.

    Raises:
        InvalidConfigurationError: All that do not exist.
    """
    problems = []
    for name, settings in policies.items():
        for option in ("fatal", "retriable"):
            problems += unknown(configuration, f"kafkaboot.retry.{name}.{option}", getattr(settings, option))
    if problems:
        raise InvalidConfigurationError(problems)


def check_handlers(specs: Sequence[HandlerSpec]) -> None:
    """Look for the exceptions that retry policies in code name.

    Raises:
        DeclarationError: The first that does not exist.
    """
    for spec in specs:
        if not isinstance(spec.retry, RetryPolicy):
            continue
        for name in (*spec.retry.fatal, *spec.retry.retriable):
            if isinstance(name, str):
                try:
                    exception_named(name)
                except LookupError as error:
                    raise DeclarationError(
                        f"the retry policy of handler {spec.id} names the exception {name!r}: {error.args[0]}",
                        where=spec.where,
                        todo=_advice(name),
                    ) from error


def unknown(configuration: Configuration, key: str, names: Sequence[str]) -> list[Problem]:
    """A problem for each name of the list under `key` that is no exception's."""
    problems = []
    for name in names:
        try:
            exception_named(name)
        except LookupError as error:
            origin = configuration.explain(key)[0].origin
            text = f"`{key}` names the exception {name!r}: {error.args[0]}"
            problems.append(Problem(key, origin, text, _advice(name)))
    return problems


def _advice(name: str) -> str:
    near = _near(name)
    return f"did you mean `{near}`?" if near else "write the class's dotted name, for example shop.errors.Busy"


def _near(name: str) -> str | None:
    room, _, wrong = name.rpartition(".")
    there = getattr(sys.modules.get(room or "builtins"), "__dict__", {})
    exceptions = [one for one, it in there.items() if isinstance(it, type) and issubclass(it, BaseException)]
    found = nearest(wrong, exceptions)
    return f"{room}.{found}" if found and room else found
