"""What becomes of a record whose handler raises, and of calls to what is down.

The names load when they are first used: `@circuit` stands in modules that pay for nothing else here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kafkaboot.failure.announcements import LetterFunction
    from kafkaboot.failure.circuit import Circuit
    from kafkaboot.failure.circuits import Circuits, forget
    from kafkaboot.failure.dead_letter import DeadLetters
    from kafkaboot.failure.dead_letter_settings import DeadLetterSettings
    from kafkaboot.failure.fingerprints import fingerprint
    from kafkaboot.failure.guard import Holder, around
    from kafkaboot.failure.letter import Letter, read
    from kafkaboot.failure.letter_headers import headers_of
    from kafkaboot.failure.letter_topics import LetterTopics
    from kafkaboot.failure.meaning import exception_named
    from kafkaboot.failure.settings import CircuitSettings

_ROOMS = {
    "DeadLetterSettings": "dead_letter_settings",
    "DeadLetters": "dead_letter",
    "Letter": "letter",
    "LetterFunction": "announcements",
    "LetterTopics": "letter_topics",
    "fingerprint": "fingerprints",
    "headers_of": "letter_headers",
    "read": "letter",
    "Circuit": "circuit",
    "CircuitSettings": "settings",
    "Circuits": "circuits",
    "Holder": "guard",
    "around": "guard",
    "exception_named": "meaning",
    "forget": "circuits",
}

__all__ = [
    "Circuit",
    "CircuitSettings",
    "Circuits",
    "DeadLetterSettings",
    "DeadLetters",
    "Holder",
    "Letter",
    "LetterFunction",
    "LetterTopics",
    "around",
    "exception_named",
    "fingerprint",
    "forget",
    "headers_of",
    "read",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value
