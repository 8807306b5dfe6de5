"""A letter's value by the application's own types."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from kafkaboot.cli.payloads import name_of, type_named, types_of
from kafkaboot.declare import Kind
from kafkaboot.message import decoder, encode, event_type, explain, without_none

if TYPE_CHECKING:
    from kafkaboot.boot.blueprint import Blueprint
    from kafkaboot.errors import UndecodableError
    from kafkaboot.failure.letter import Letter


class Read(NamedTuple):
    """A value as a person sees it.

    Attributes:
        text: As indented JSON where it is JSON, else as text; `None` for a null value or bytes that are no text.
        json: Whether it is JSON.
        trouble: Why the application's type does not take it.
    """

    text: str | None
    json: bool
    trouble: str = ""


def annotation_of(blueprint: Blueprint | None, letter: Letter) -> Any:
    """What the handler takes that failed on it, else the event that its headers name, else the one type of its topic.

    `None` where the application knows none of them.
    """
    for handler in blueprint.handlers if blueprint is not None else ():
        if handler.spec.id == letter.handler:
            for one in handler.signature.parameters:
                if one.kind in {Kind.PAYLOAD, Kind.BATCH}:
                    return without_none(one.annotation)[0]
    named = event_type(letter.headers)
    payload = type_named(blueprint, named) if named is not None else None
    if payload is not None:
        return payload
    known = types_of(blueprint, letter.original.topic) if letter.original.topic else []
    return known[0] if len(known) == 1 else None


def called(annotation: Any) -> str:
    """The type's name, as errors tell it."""
    return "no type that the application knows" if annotation is None else name_of(annotation)


def shown(value: bytes | None, annotation: Any) -> Read:
    """The value, by that type where it takes it, else as JSON, else as text."""
    trouble, wanted = "", value
    if annotation is not None and value is not None:
        problem = refusal(value, annotation)
        if problem is None:
            wanted = encode(decoder(annotation)(value))
        else:
            trouble = problem.what
    if wanted is None:
        return Read(None, json=False, trouble=trouble)
    try:
        return Read(json.dumps(json.loads(wanted), indent=2, ensure_ascii=False), json=True, trouble=trouble)
    except ValueError:
        pass  # then it is text, or no text either
    try:
        return Read(wanted.decode(), json=False, trouble=trouble)
    except UnicodeDecodeError:
        return Read(None, json=False, trouble=trouble)


def refusal(value: bytes | None, annotation: Any, where: str = "") -> UndecodableError | None:
    """Why the type does not take the value; `None` where it does."""
    try:
        decoder(annotation)(value)
    except Exception as error:
        return explain(error, annotation, value, where=where, fate="nothing was sent; the letter stands as it stood")
    return None
