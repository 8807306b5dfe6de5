"""The decorators of classes. Each writes down what was said and gives back the very class that it was given."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Any, TypeVar, overload

from kafkaboot.declare import checks
from kafkaboot.declare.marks import COMPONENT, EVENT, SETTINGS, Mark
from kafkaboot.declare.place import caller, frame_place, remember_local_names
from kafkaboot.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Callable

    C = TypeVar("C", bound=type[Any])
    T = TypeVar("T", bound=Callable[..., Any])


def event(name: str, version: int = 1) -> Callable[[C], C]:
    """Give a payload class its stable name on the wire.

    Args:
        name: The logical name, for example `order.placed`. It outlives renamed classes and moved modules.
        version: The schema's version, from 1.

    Raises:
        DeclarationError: At once, when the name or the decorated object cannot be used.
    """
    where = frame_place(caller())
    checks.text("event", "the name", name, where, example='@event("order.placed")')
    checks.whole("event", "version", version, where, least=1)

    def decorate(payload: C) -> C:
        _only_on_class("event", payload, where)
        _once("event", payload, EVENT, where)
        setattr(payload, EVENT, Mark(where, name, version))
        return payload

    return decorate


@overload
def component(target: T, /) -> T: ...
@overload
def component(*, name: str | None = None, primary: bool = False) -> Callable[[T], T]: ...
def component(target: Any = None, /, *, name: str | None = None, primary: bool = False) -> Any:
    """Let a class, or a function that builds something, be built once and injected by type.

    A function provides what its return annotation says. Its parameters, like a class's, are filled with components and
    settings. Methods marked `@on_start` and `@on_stop` are called around the application's life.

    Args:
        target: The class or the factory, when written without parentheses.
        name: A name for `Annotated[T, Named("...")]`. Default: the name of the class or function.
        primary: Whether it wins where several provide one type.

    Raises:
        DeclarationError: At once, when nothing can be built from the object.
    """
    frame = caller()
    where = frame_place(frame)
    if name is not None:
        checks.text("component", "name", name, where, example='name="fast"')

    def decorate(target: T) -> T:
        if isinstance(target, type):
            _once("component", target, COMPONENT, where)
            remember_local_names(vars(target).get("__init__"), caller())
        else:
            _check_factory(target, where)
            remember_local_names(target, caller())
        setattr(target, COMPONENT, Mark(where, name or target.__name__, primary=primary))
        return target

    return decorate if target is None else decorate(target)


def _check_factory(factory: Any, where: str) -> None:
    todo = "decorate a class, or a def with a return annotation"
    if not inspect.isfunction(factory):
        raise DeclarationError(f"@component cannot stand on {factory!r}", where=where, todo=todo)
    checks.plain_function("component", factory, where)
    _once("component", factory, COMPONENT, where)
    if inspect.iscoroutinefunction(factory):
        raise DeclarationError(
            f"@component: {factory.__name__} is async, and components are built before there is an event loop",
            where=where,
            todo="build it in a plain def or class, and open its connections in an @on_start method",
        )
    if factory.__annotations__.get("return") in {None, "None"}:
        raise DeclarationError(
            f"@component: {factory.__name__} does not say what it provides",
            where=where,
            todo=f"annotate what it returns: def {factory.__name__}(...) -> Clock",
        )


def settings(prefix: str) -> Callable[[C], C]:
    """Bind a section of the application's own configuration to a pydantic model, which is then injectable.

    Args:
        prefix: The section, for example `shop` or `shop.billing`.

    Raises:
        DeclarationError: At once, when the prefix or the class cannot be used.
    """
    where = frame_place(caller())
    checks.text("settings", "the prefix", prefix, where, example='@settings("shop")')
    if prefix.partition(".")[0] == "kafkaboot":
        raise DeclarationError(
            f"@settings: the section {prefix!r} belongs to kafkaboot",
            where=where,
            todo='take a section of your own, for example @settings("shop")',
        )

    def decorate(model: C) -> C:
        _only_on_class("settings", model, where)
        # A model exists only where pydantic is loaded already; importing it here would cost every other application.
        pydantic = sys.modules.get("pydantic")
        if pydantic is None or not issubclass(model, pydantic.BaseModel):
            raise DeclarationError(
                f"@settings: {model.__name__} is no pydantic model",
                where=where,
                todo=f"write class {model.__name__}(BaseModel)",
            )
        _once("settings", model, SETTINGS, where)
        setattr(model, SETTINGS, Mark(where, prefix))
        return model

    return decorate


def _only_on_class(decorator: str, target: object, where: str) -> None:
    if not isinstance(target, type):
        raise DeclarationError(f"@{decorator} stands on a class, not on {target!r}", where=where)


def _once(decorator: str, target: Any, attribute: str, where: str) -> None:
    if attribute in vars(target):
        raise DeclarationError(f"@{decorator} stands twice on {target.__name__}", where=where, todo="keep one of them")
