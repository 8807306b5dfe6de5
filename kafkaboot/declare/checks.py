"""What a decorator refuses, each with a text that says how to write it instead."""

from __future__ import annotations

import inspect
import math
import re
from typing import Any

from kafkaboot.errors import DeclarationError

_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_ID = re.compile(r"\w[\w-]*")


def closest(wrong: object, known: tuple[str, ...]) -> str:
    """`did you mean 'x'?`, or the list of what is known."""
    import difflib

    near = difflib.get_close_matches(str(wrong).lower(), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"write one of {', '.join(map(repr, known))}"


def one_of(decorator: str, option: str, value: object, known: tuple[str, ...], where: str) -> None:
    """Refuse a word that is not among the known ones."""
    if value not in known:
        raise DeclarationError(
            f"@{decorator}: {option}={value!r} is not known", where=where, todo=closest(value, known)
        )


def text(decorator: str, option: str, value: object, where: str, *, example: str) -> None:
    """Refuse what is not a text, is empty, or holds blanks."""
    if not isinstance(value, str) or not value or re.search(r"\s", value):
        raise DeclarationError(
            f"@{decorator}: {option} must be a text without blanks, not {value!r}",
            where=where,
            todo=f"for example {example}",
        )


def topic(decorator: str, name: object, where: str) -> None:
    """Refuse what Kafka refuses as a topic's name. With a `${placeholder}` in it that is only known at start."""
    if isinstance(name, str) and "${" in name:
        return
    if isinstance(name, str) and name.startswith("^"):
        raise DeclarationError(
            f"@{decorator}: {name!r} is a pattern, not a topic's name", where=where, todo=f"write pattern={name!r}"
        )
    if not isinstance(name, str):
        raise DeclarationError(
            f"@{decorator}: a topic's name is a text, not {name!r}",
            where=where,
            todo=f'write @{decorator}("orders"); several names stand side by side, not in a list',
        )
    if not _TOPIC.fullmatch(name) or name in {".", ".."}:
        raise DeclarationError(
            f"@{decorator}: {name!r} cannot be a topic's name",
            where=where,
            todo="use letters, digits, '.', '_' and '-', at most 249 of them",
        )


def pattern(value: object, where: str) -> None:
    """Refuse what is no regular expression."""
    if not isinstance(value, str) or not value:
        raise DeclarationError(
            f"@event_handler: pattern must be a regular expression as text, not {value!r}",
            where=where,
            todo='for example pattern="^orders\\\\..*"',
        )
    if "${" in value:
        return
    try:
        re.compile(value)
    except re.error as error:
        raise DeclarationError(
            f"@event_handler: pattern={value!r} is no regular expression: {error}", where=where
        ) from error


def handler_id(value: object, where: str) -> None:
    """Refuse an id that could not stand in YAML, in `--set` and in a metric's label alike."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise DeclarationError(
            f"@event_handler: id={value!r} cannot be a handler's id",
            where=where,
            todo="use letters, digits, '_' and '-': it is a key under kafkaboot.handlers",
        )


def circuit(decorator: str, value: object, where: str) -> None:
    """Refuse a circuit's name that could not stand in YAML, in `--set` and in a metric's label alike."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise DeclarationError(
            f"@{decorator}: {value!r} cannot be a circuit's name",
            where=where,
            todo="use letters, digits, '_' and '-': it is a key under kafkaboot.circuits",
        )


def whole(decorator: str, option: str, value: object, where: str, *, least: int) -> None:
    """Refuse what is not a whole number of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise DeclarationError(
            f"@{decorator}: {option} must be a whole number of at least {least}, not {value!r}", where=where
        )


def seconds(option: str, value: object, where: str) -> float:
    """Seconds, from a number or a text such as `5s`, `200ms` or `1m`."""
    if isinstance(value, str):
        # Loaded with the first text: it brings pydantic along.
        from kafkaboot.config import parse_duration

        try:
            parsed = parse_duration(value)
        except ValueError:
            parsed = 0.0
    else:
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        parsed = float(value) if number else 0.0  # type: ignore[arg-type]
    if parsed <= 0:
        raise DeclarationError(
            f"@event_handler: {option} must be a duration longer than nothing, not {value!r}",
            where=where,
            todo=f'give seconds, or a text: {option}="5s" ("200ms", "1m", "1h")',
        )
    return parsed


def plain_function(decorator: str, target: Any, where: str) -> None:
    """Refuse what is not an ordinary `def` or `async def` with a name."""
    if isinstance(target, staticmethod | classmethod):
        kind = type(target).__name__
        raise DeclarationError(
            f"@{decorator} cannot stand on a {kind}",
            where=where,
            todo="use a component's ordinary method or a function of the module",
        )
    if isinstance(target, type):
        raise DeclarationError(
            f"@{decorator} cannot stand on the class {target.__name__}",
            where=where,
            todo="decorate one of its methods, and the class with @component",
        )
    if not inspect.isfunction(target):
        raise DeclarationError(f"@{decorator} stands on a function, not on {_short(target)}", where=where)
    if target.__name__ == "<lambda>":
        raise DeclarationError(
            f"@{decorator} cannot stand on a lambda", where=where, todo="give it a name: write a def"
        )
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        raise DeclarationError(
            f"@{decorator}: {target.__name__} is a generator, and a record is settled when its function returns",
            where=where,
            todo="return instead of yielding",
        )


def _short(target: object) -> str:
    shown = repr(target)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
