"""What an application says of dead letters: functions that are told of them, and topics that they go to."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

from kafkaboot.boot.component import Component
from kafkaboot.declare import resolve
from kafkaboot.errors import DeclarationError
from kafkaboot.topics import TopicUse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kafkaboot.boot.pipeline import Handler
    from kafkaboot.declare import LetterListenerSpec
    from kafkaboot.failure import DeadLetterSettings, Letter, LetterFunction


def letter_function(spec: LetterListenerSpec) -> Component:
    """The function as a component, waiting only for its letter: whoever writes letters asks for all of them.

    Raises:
        DeclarationError: None of its parameters takes the letter, or one cannot be passed by name.
    """
    from kafkaboot.failure import Letter, LetterFunction

    function = spec.function
    signature = inspect.signature(function)
    takes = [
        one.name
        for one in signature.parameters.values()
        if one.annotation is not one.empty and resolve(one.annotation, function, one.name, spec.where) is Letter
    ]
    if len(takes) != 1:
        raise DeclarationError(
            f"@on_dead_letter: {function.__name__} has {len(takes) or 'no'} parameters annotated Letter",
            where=spec.where,
            todo=f"take the letter once: def {function.__name__}(letter: Letter), with Letter from kafkaboot",
        )

    @functools.wraps(function)  # whose names its annotations mean
    def filled(**components: Any) -> LetterFunction:
        def call(letter: Letter) -> Any:
            return function(**components, **{takes[0]: letter})

        return LetterFunction(function.__name__, spec.where, call, inspect.iscoroutinefunction(function))

    rest = [one for one in signature.parameters.values() if one.name != takes[0]]
    filled.__signature__ = signature.replace(parameters=rest)  # type: ignore[attr-defined]
    return Component(LetterFunction, filled, spec.where, function.__name__)


def letter_topics(handler: Handler, settings: DeadLetterSettings) -> list[str]:
    """The topics of a handler's dead letters, one for each that it takes; none where it writes none.

    What it takes by a pattern stands in it as `{topic}`.
    """
    if handler.spec.on_exhausted != "dead-letter":
        return []
    return [settings.topic_for(source, handler.group) for source in handler.spec.topics or ["{topic}"]]


def letter_uses(handlers: Sequence[Handler], settings: DeadLetterSettings) -> list[TopicUse]:
    """The topics of the handlers' dead letters; that of a handler with a pattern is made at its first letter.

    Raises:
        DeclarationError: A handler's letters would go to the very topic that it takes.
    """
    uses = []
    for handler in handlers:
        spec = handler.spec
        for source, topic in zip(spec.topics, letter_topics(handler, settings), strict=False):
            if topic == source:
                raise DeclarationError(
                    f"handler {spec.id} takes {source!r}, and its dead letters would go there: it would take them "
                    "again and again",
                    where=spec.where,
                    todo="put {topic} in kafkaboot.dead-letter.topic, or say what else becomes of its records: "
                    f"kafkaboot.handlers.{spec.id}.on-exhausted: skip, or stop",
                )
            by = f"handler {spec.id} writes its dead letters to it"
            uses.append(TopicUse(topic, by, spec.where, source=source, aligned=settings.partition == "same"))
    return uses
