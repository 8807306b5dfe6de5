"""A component and what it asks for, read once from its constructor's or factory's annotations."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from dataclasses import dataclass, replace
from typing import Any

from kafkaboot.errors import WiringError

if typing.TYPE_CHECKING:
    from collections.abc import Callable

APPLICATION = "the application"
"""The source of what the user's own packages declare."""

ABSENT: Any = inspect.Parameter.empty
"""The default of a parameter that has none."""


@dataclass(frozen=True, slots=True)
class Named:
    """Ask for a component by its name too: `Annotated[Store, Named("archive")]`."""

    name: str


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
        source: Who offers it: the application, or an auto-configuration's name.
    """

    provides: Any
    factory: Callable[..., Any]
    where: str
    name: str
    primary: bool = False
    source: str = APPLICATION

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
        WiringError: A parameter has neither an annotation nor a default, or an annotation that cannot be resolved.
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
        annotation = _resolved(parameter.annotation, function, title, parameter.name, where)
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


def _resolved(annotation: Any, function: Any, title: str, parameter: str, where: str) -> Any:
    """The annotation as an object; one that is text is read in the module of the function."""
    if not isinstance(annotation, str):
        holder: dict[str, Any] = {parameter: annotation}
    else:
        holder = {parameter: typing.ForwardRef(annotation, is_argument=False)}
    module = sys.modules.get(getattr(function, "__module__", "") or "")
    scope = getattr(inspect.unwrap(function), "__globals__", None) or vars(module or typing)
    stand_in = types.SimpleNamespace(__annotations__=holder)
    try:
        return typing.get_type_hints(stand_in, globalns=scope, include_extras=True)[parameter]
    except NameError as error:
        raise WiringError(
            f"the annotation of parameter {parameter!r} of {title} names {error.name!r}, "
            "which its module does not know at run time",
            where=where,
            todo=f"import {error.name} outside of `if TYPE_CHECKING:`",
        ) from error
    except Exception as error:
        raise WiringError(
            f"the annotation {annotation!r} of parameter {parameter!r} of {title} cannot be read: {error}",
            where=where,
            todo="annotate it with the type of a component or of a settings class",
        ) from error


def type_name(provided: Any) -> str:
    """A type as a reader writes it, without the module's path."""
    arguments = typing.get_args(provided)
    if arguments:
        origin = type_name(typing.get_origin(provided))
        return f"{origin}[{', '.join(type_name(argument) for argument in arguments)}]"
    return getattr(provided, "__name__", None) or str(provided)
