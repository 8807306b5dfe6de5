"""The application's own types, by topic and by the name on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafkaboot.declare import Kind, event_name, event_spec, publishing_methods
from kafkaboot.message import without_none

if TYPE_CHECKING:
    from kafkaboot.boot.blueprint import Blueprint


def types_of(blueprint: Blueprint | None, topic: str) -> list[Any]:
    """The types that the application reads from the topic, else those that it writes to it; the declared ones first."""
    read, written = [], []
    for handler in blueprint.handlers if blueprint is not None else ():
        spec, signature = handler.spec, handler.signature
        if spec.takes(topic):
            read += [one.annotation for one in signature.parameters if one.kind in {Kind.PAYLOAD, Kind.BATCH}]
        if any(publisher.topic == topic for publisher in spec.publishers):
            written.append(signature.returns)
    for component in blueprint.declarations.components if blueprint is not None else ():
        if isinstance(component.provides, type):
            for name, publishers in publishing_methods(component.provides).items():
                if blueprint is not None and any(
                    blueprint.configuration.resolve(each.topic) == topic for each in publishers
                ):
                    written.append(_returned(component.provides, name))
    found = [without_none(one)[0] for one in read or written if one is not Any]
    return sorted({id(one): one for one in found}.values(), key=lambda one: event_name(one) is None)


def type_named(blueprint: Blueprint | None, name: str) -> Any:
    """The class of the declared event of that name, or `None`."""
    for spec in blueprint.declarations.events if blueprint is not None else ():
        if spec.name == name:
            return spec.payload
    return None


def names(blueprint: Blueprint | None) -> list[str]:
    """The names of all declared events."""
    return [spec.name for spec in blueprint.declarations.events] if blueprint is not None else []


def name_of(payload: Any) -> str:
    """How a type is called on the wire, or else in the code."""
    spec = event_spec(payload)
    return spec.name if spec is not None else getattr(payload, "__name__", str(payload))


def _returned(owner: type, name: str) -> Any:
    from typing import get_type_hints

    try:
        return get_type_hints(getattr(owner, name)).get("return", Any)
    except NameError:  # a name that only a type checker knows: the type is not known here
        return Any
