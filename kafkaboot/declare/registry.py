"""Events by their name on the wire, and by their class."""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any

from kafkaboot.declare.lookup import event_spec
from kafkaboot.errors import DeclarationError
from kafkaboot.message import split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from kafkaboot.declare.spec import EventSpec


class EventRegistry:
    """What a type name on the wire may select: declared events and nothing else. A name never imports anything.

    Args:
        events: The events, as the scanner found them.

    Raises:
        DeclarationError: Two classes have one name.
    """

    def __init__(self, events: Iterable[EventSpec] = ()) -> None:
        self._by_name: dict[str, EventSpec] = {}
        for event in events:
            known = self._by_name.setdefault(event.name, event)
            if known.payload is not event.payload:
                raise DeclarationError(
                    f"two events are called {event.name!r}: {_title(known)} and {_title(event)}",
                    where=event.where,
                    todo="give one of them another name; two versions of one event are one class",
                )

    def by_name(self, name: str) -> EventSpec | None:
        """The event of that name."""
        return self._by_name.get(name)

    def by_class(self, payload: Any) -> EventSpec | None:
        """The event that the class carries, where it is one of these."""
        spec = event_spec(payload)
        return spec if spec and self._by_name.get(spec.name) == spec else None

    def __iter__(self) -> Iterator[EventSpec]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)


def event_name(annotation: Any) -> str | None:
    """The `@event` name of a payload's annotation: of `T`, `T | None`, `list[T]`; `None` where it has none."""
    bare, _ = split(annotation)
    if typing.get_origin(bare) is list:
        bare, _ = split(typing.get_args(bare)[0])
    spec = event_spec(bare)
    return spec.name if spec else None


def _title(event: EventSpec) -> str:
    return f"{event.payload.__qualname__} ({event.where})"
