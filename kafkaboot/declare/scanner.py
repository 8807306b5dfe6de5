"""Finding what the application declares. Only what is found here counts: no registry is filled by importing."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kafkaboot.declare.lookup import (
    component_spec,
    event_spec,
    handler_methods,
    handler_spec,
    hooks,
    letter_listener_spec,
    publisher_specs,
    publishing_methods,
    settings_spec,
)
from kafkaboot.declare.marks import COMPONENT, EVENT, HANDLER, HOOK, LETTERS, PUBLISHERS, SETTINGS
from kafkaboot.declare.modules import load
from kafkaboot.declare.place import code_place
from kafkaboot.declare.registry import EventRegistry
from kafkaboot.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kafkaboot.declare.spec import ComponentSpec, EventSpec, HandlerSpec, LetterListenerSpec, SettingsSpec


@dataclass(frozen=True, slots=True)
class Declarations:
    """What an application declares, in the order of its modules' names and of the definitions in them.

    Attributes:
        handlers: Functions, and methods of components (`owner` is set).
        components: Classes and factories.
        settings: Settings classes.
        events: Events, those of imported libraries too.
        modules: The names of the modules that were scanned.
        letter_listeners: Functions that are told of dead letters.
    """

    handlers: tuple[HandlerSpec, ...] = ()
    components: tuple[ComponentSpec, ...] = ()
    settings: tuple[SettingsSpec, ...] = ()
    events: tuple[EventSpec, ...] = ()
    modules: tuple[str, ...] = ()
    letter_listeners: tuple[LetterListenerSpec, ...] = ()


def scan(*apps: str | Path | ModuleType, root: Path | None = None) -> Declarations:
    """Import packages with everything below them, and collect what is decorated in them.

    Args:
        *apps: Dotted names of packages or modules, paths of folders or `.py` files, or modules.
        root: Where names are looked for first. Default: the working directory.

    Raises:
        DeclarationError: A module cannot be imported, or two declarations contradict each other.
    """
    base = root or Path.cwd()
    modules: dict[str, ModuleType] = {}
    for app in apps:
        for module in [app] if isinstance(app, ModuleType) else load(app, base):
            modules.setdefault(module.__name__, module)
    own = [
        value
        for module in modules.values()
        for value in vars(module).values()
        if _is_declared(value) and (_at_home(value, modules) or EVENT in vars(value))
    ]
    return collect(own, modules=modules)


def collect(objects: Iterable[Any], *, modules: Iterable[str] = ()) -> Declarations:
    """The declarations among functions and classes; one that comes twice counts once.

    Args:
        objects: Functions and classes.
        modules: The names of the modules that they were found in.

    Raises:
        DeclarationError: Two declarations contradict each other, or one has no effect where it stands.
    """
    # By identity: a class may define its own equality, and its own hash.
    found = list({id(value): value for value in objects}.values())
    homes = frozenset(modules)
    components = [spec for spec in map(component_spec, found) if spec]
    owners = list(dict.fromkeys(spec.provides for spec in components if inspect.isclass(spec.provides)))
    handlers = [spec for spec in map(handler_spec, found) if spec]
    for owner in owners:
        handlers += handler_methods(owner)
        hooks(owner)
    _refuse_idle(found, owners)
    _refuse_same_id(handlers)
    events = [spec for spec in map(event_spec, found) if spec]
    settings = [spec for spec in map(settings_spec, found) if spec]
    letters = [spec for spec in map(letter_listener_spec, found) if spec]
    return Declarations(
        tuple(handlers),
        tuple(components),
        tuple(settings),
        tuple(EventRegistry(events)),
        tuple(sorted(homes)),
        tuple(letters),
    )


def _is_declared(value: Any) -> bool:
    if not isinstance(value, type) and not inspect.isfunction(value):
        return False
    if not vars(value).keys().isdisjoint({HANDLER, PUBLISHERS, COMPONENT, EVENT, SETTINGS, HOOK, LETTERS}):
        return True
    return isinstance(value, type) and _speaks(value)


def _speaks(owner: type) -> bool:
    """Whether one of the class's own attributes carries a decorator of ours."""
    return any(
        not getattr(attribute, "__dict__", {}).keys().isdisjoint({HANDLER, PUBLISHERS, HOOK, LETTERS})
        for attribute in vars(owner).values()
        if inspect.isfunction(attribute)
    )


def _at_home(value: Any, modules: dict[str, ModuleType]) -> bool:
    """Whether it was declared in these modules, rather than imported into them from somewhere else.

    What a library's function made inside a module has the library's name on it, and is the module's all the same.
    """
    if value.__module__ in modules:
        return True
    elsewhere: Any = sys.modules.get(value.__module__)
    for step in value.__qualname__.split("."):
        elsewhere = getattr(elsewhere, step, None)
    return elsewhere is not value


def _refuse_same_id(handlers: list[HandlerSpec]) -> None:
    known: dict[str, HandlerSpec] = {}
    for spec in handlers:
        first = known.setdefault(spec.id, spec)
        if first is not spec:
            raise DeclarationError(
                f"two handlers have the id {spec.id!r}: {_title(first)} and {_title(spec)}",
                where=spec.where,
                todo='give one of them another name: @event_handler(..., id="...")',
            )


def _refuse_idle(found: list[Any], owners: list[type]) -> None:
    """Refuse decorators that nobody will ever read: silence would look like a handler that gets no records."""
    for value in found:
        if inspect.isfunction(value):
            if publisher_specs(value) and handler_spec(value) is None:
                raise DeclarationError(
                    f"@publisher on {value.__name__} has no effect: it is neither a handler nor a component's method",
                    where=publisher_specs(value)[0].where,
                    todo="add @event_handler, or inject Producer and publish in its body",
                )
            if HOOK in vars(value):
                kind = min(vars(value)[HOOK])
                raise DeclarationError(
                    f"@{kind} on {value.__name__} has no effect: it is no component's method",
                    where=code_place(value.__code__),
                    todo="make it a method of a class with @component",
                )
        elif _speaks(value) and not any(issubclass(owner, value) for owner in owners) and not inspect.isabstract(value):
            places = [spec.where for spec in handler_methods(value)]
            places += [spec.where for several in publishing_methods(value).values() for spec in several]
            raise DeclarationError(
                f"{value.__name__} has decorated methods and is no component, so that nobody calls them",
                where=places[0] if places else f"{value.__module__}.{value.__qualname__}",
                todo=f"decorate {value.__name__} with @component",
            )


def _title(spec: HandlerSpec) -> str:
    owner = f"{spec.owner.__name__}." if spec.owner else ""
    return f"{owner}{spec.function.__name__} ({spec.where})"
