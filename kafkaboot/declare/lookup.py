"""Reading back what a decorator wrote on an object.

A class's own `__dict__` is asked, never its bases: a subclass of a component is no component by accident. A method is
what the class's attribute resolves to: an override speaks for itself, and without a decorator it is an ordinary method.
"""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from kafkaboot.declare.annotations import resolve
from kafkaboot.declare.marks import COMPONENT, EVENT, HANDLER, HOOK, LETTERS, PUBLISHERS, SETTINGS, Mark
from kafkaboot.declare.spec import (
    ComponentSpec,
    EventSpec,
    HandlerSpec,
    LetterListenerSpec,
    PublisherSpec,
    SettingsSpec,
)
from kafkaboot.errors import DeclarationError
from kafkaboot.message import type_name, without_marks, without_none


def handler_spec(function: Any, owner: type | None = None) -> HandlerSpec | None:
    """What `@event_handler` and all `@publisher`s on the function say, or `None` without `@event_handler`."""
    spec: HandlerSpec | None = _own(function, HANDLER)
    if spec is None:
        return None
    # A decorator above ours that uses `functools.wraps` carries the spec along: what stands in the module is called.
    return dataclasses.replace(spec, function=function, owner=owner, publishers=publisher_specs(function))


def publisher_specs(function: Any) -> tuple[PublisherSpec, ...]:
    """What the `@publisher`s on the function say, in reading order."""
    specs: tuple[PublisherSpec, ...] = _own(function, PUBLISHERS) or ()
    return specs


def letter_listener_spec(function: Any) -> LetterListenerSpec | None:
    """What `@on_dead_letter` on the function says."""
    spec: LetterListenerSpec | None = _own(function, LETTERS)
    return None if spec is None else dataclasses.replace(spec, function=function)


def event_spec(payload: Any) -> EventSpec | None:
    """What `@event` on the class says."""
    mark = _mark(payload, EVENT)
    return EventSpec(mark.name, payload, mark.version, mark.where) if mark else None


def settings_spec(model: Any) -> SettingsSpec | None:
    """What `@settings` on the model says."""
    mark = _mark(model, SETTINGS)
    return SettingsSpec(mark.name, model, mark.where) if mark else None


def component_spec(target: Any) -> ComponentSpec | None:
    """What `@component` on the class or the factory says.

    Raises:
        DeclarationError: The factory's return annotation cannot be read, or names no single type.
    """
    mark = _mark(target, COMPONENT)
    if mark is None:
        return None
    provides = target
    if not isinstance(target, type):
        provides, _ = without_marks(resolve(target.__annotations__["return"], target, "return", mark.where))
        bare, optional = without_none(provides)
        if optional or bare is Any or bare is object:
            raise DeclarationError(
                f"@component: {target.__name__} provides {type_name(provides)}, which nothing can ask for",
                where=mark.where,
                todo="return one type; an optional component is left out by a condition, not by None",
            )
    return ComponentSpec(target, provides, mark.where, mark.name, mark.primary)


def handler_methods(owner: type) -> list[HandlerSpec]:
    """The handlers among the class's methods, inherited ones too, bases first, in the order of their definition."""
    specs = (handler_spec(function, owner) for _, function in _methods(owner))
    return [spec for spec in specs if spec is not None]


def publishing_methods(owner: type) -> dict[str, tuple[PublisherSpec, ...]]:
    """The methods that publish what they return when called through the container; handlers are not among them."""
    return {
        name: publisher_specs(function)
        for name, function in _methods(owner)
        if publisher_specs(function) and handler_spec(function) is None
    }


def hooks(owner: type) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the methods marked `@on_start`, and of those marked `@on_stop`, bases first."""
    marked = [(name, _own(function, HOOK) or frozenset()) for name, function in _methods(owner)]
    start, stop = ([name for name, kinds in marked if kind in kinds] for kind in ("on_start", "on_stop"))
    return tuple(start), tuple(stop)


def _methods(owner: type) -> list[tuple[str, Any]]:
    names = dict.fromkeys(name for base in reversed(owner.__mro__) for name in vars(base))
    found = []
    for name in names:
        attribute = inspect.getattr_static(owner, name)
        function = getattr(attribute, "__func__", attribute)
        marks = getattr(function, "__dict__", None)
        if not marks or isinstance(function, type) or marks.keys().isdisjoint({HANDLER, PUBLISHERS, HOOK, LETTERS}):
            continue
        if LETTERS in marks:
            raise DeclarationError(
                f"@on_dead_letter stands on the method {owner.__name__}.{name}, and on functions only it has an effect",
                where=marks[LETTERS].where,
                todo=f"write a function that takes the letter and {owner.__name__}, or the method "
                "on_dead_letter(handler, where, error, letter) without a decorator",
            )
        if isinstance(attribute, staticmethod | classmethod):
            raise DeclarationError(
                f"{owner.__name__}.{name} is a {type(attribute).__name__}, and only ordinary methods can be decorated",
                where=getattr(marks.get(HANDLER), "where", "") or f"{owner.__module__}.{owner.__qualname__}",
                todo=f"remove @{type(attribute).__name__} from {name}",
            )
        found.append((name, function))
    return found


def _own(target: Any, attribute: str) -> Any:
    return getattr(target, "__dict__", {}).get(attribute)


def _mark(target: Any, attribute: str) -> Mark | None:
    mark: Mark | None = _own(target, attribute)
    return mark
