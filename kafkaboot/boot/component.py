"""A component and what it asks for, read once from its constructor's or factory's annotations."""

from __future__ import annotations

import inspect
import types
import typing
from dataclasses import dataclass, replace
from typing import Any

from kafkaboot.declare import NOTHING as ABSENT
from kafkaboot.declare import Named, resolve, type_name
from kafkaboot.errors import WiringError

if typing.TYPE_CHECKING:
    from collections.abc import Callable

APPLICATION = "the application"
"""The source of what the user's own packages declare."""


@dataclass(frozen=True, slots=True)
class Dependency:
    """One parameter that a component or a handler wants filled.

    Attributes:
        parameter: The parameter's name.
        wanted: The type asked for; for `list[T]` it is `T`.
        name: The component's name asked for with `Named`, or empty.
        many: Whether all components of the type are asked for.
        default: What the parameter takes when nothing provides it; `ABSENT` where that is an error.
    """

    parameter: str
    wanted: Any
    name: str = ""
    many: bool = False
    default: Any = ABSENT


@dataclass(frozen=True, slots=True, eq=False)
class Component:
    """Something that is built once and injected by type.

    Attributes:
        provides: The type that it is known by.
        factory: Called once with its dependencies.
        where: The file and line of its definition.
        name: Its name, for `Annotated[T, Named("...")]`.
        primary: Whether it wins where several fit.
        named_only: Whether it is given only to those who ask for it by name, or for all of its type.
        beside: What must be there before it without being passed to the factory.
        source: Who offers it: the application, or an auto-configuration's name.
        starts: Called with the instance when it is built, beside its own `@on_start` methods.
        stops: Called with the instance at the end, beside its own `@on_stop` methods.
        timeout: Seconds that each of its hooks may take; the application's two settings where it is `None`.
    """

    provides: Any
    factory: Callable[..., Any]
    where: str
    name: str
    primary: bool = False
    beside: tuple[Dependency, ...] = ()
    source: str = APPLICATION
    starts: tuple[Callable[[Any], Any], ...] = ()
    stops: tuple[Callable[[Any], Any], ...] = ()
    timeout: float | None = None
    named_only: bool = False

    @classmethod
    def holding(cls, instance: object, *, where: str, source: str, provides: Any = None, name: str = "") -> Component:
        """A component that exists already."""
        provided = provides or type(instance)
        return cls(provided, lambda: instance, where, name or type_name(provided), source=source)

    def __str__(self) -> str:
        return f"{type_name(self.provides)} ({self.where})"


def dependencies(factory: Callable[..., Any], where: str) -> tuple[Dependency, ...]:
    """What `factory` asks for.

    Raises:
        WiringError: A parameter has neither an annotation nor a default, or cannot be passed by name.
        DeclarationError: An annotation cannot be resolved.
    """
    title = getattr(factory, "__name__", repr(factory))
    if inspect.iscoroutinefunction(factory) or inspect.isasyncgenfunction(factory):
        raise WiringError(
            f"{title} is an async factory, and components are built before there is an event loop",
            where=where,
            todo="build the component in a plain function or class and open its connections in an @on_start method",
        )
    if isinstance(factory, type):
        function: Any = inspect.getattr_static(factory, "__init__")
        if function is object.__init__:
            return ()
    else:
        function = factory
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # a constructor written in C says nothing about itself: it takes no components
        return ()
    if isinstance(factory, type):
        parameters = parameters[1:]
    found = []
    for parameter in parameters:
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}:
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise WiringError(
                f"parameter {parameter.name!r} of {title} can only be passed by place, and components go by name",
                where=where,
                todo="take the `/` out of its signature",
            )
        if parameter.annotation is ABSENT:
            if parameter.default is not ABSENT:
                continue
            raise WiringError(
                f"parameter {parameter.name!r} of {title} has no annotation, so nothing can fill it",
                where=where,
                todo="annotate it with the type of a component or of a settings class, or give it a default",
            )
        annotation = resolve(parameter.annotation, function, parameter.name, where)
        found.append(dependency(parameter.name, annotation, parameter.default))
    return tuple(found)


def dependency(parameter: str, annotation: Any, default: Any = ABSENT) -> Dependency:
    """The dependency that a resolved annotation stands for."""
    name = ""
    if typing.get_origin(annotation) is typing.Annotated:
        name = next((mark.name for mark in annotation.__metadata__ if isinstance(mark, Named)), "")
        annotation = annotation.__origin__
    if typing.get_origin(annotation) in {typing.Union, types.UnionType}:
        members = [member for member in typing.get_args(annotation) if member is not types.NoneType]
        if len(members) == 1:
            default = None if default is ABSENT else default
            inner = dependency(parameter, members[0], default)
            return replace(inner, name=name or inner.name)
    if typing.get_origin(annotation) is list:
        return Dependency(parameter, typing.get_args(annotation)[0], name, many=True)
    return Dependency(parameter, annotation, name, default=default)
