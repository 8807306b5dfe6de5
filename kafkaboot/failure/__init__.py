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
    from kafkaboot.failure.enclosed_letters import EnclosedLetters
    from kafkaboot.failure.fingerprints import fingerprint
    from kafkaboot.failure.guard import Holder, around
    from kafkaboot.failure.key_order import KeyOrder
    from kafkaboot.failure.letter import Letter, read
    from kafkaboot.failure.letter_headers import headers_of
    from kafkaboot.failure.letter_topics import LetterTopics
    from kafkaboot.failure.meaning import Meanings, exception_named
    from kafkaboot.failure.recovery import Elsewhere, Recovery
    from kafkaboot.failure.refusal import Refusing
    from kafkaboot.failure.retry_settings import RetrySettings
    from kafkaboot.failure.retry_topics import BackoffThenDelays, RetryTopics, batch_when_due, guarded, when_due
    from kafkaboot.failure.settings import CircuitSettings

_ROOMS = {
    "when_due": "retry_topics",
    "guarded": "retry_topics",
    "batch_when_due": "retry_topics",
    "BackoffThenDelays": "retry_topics",
    "RetryTopics": "retry_topics",
    "KeyOrder": "key_order",
    "Circuit": "circuit",
    "CircuitSettings": "settings",
    "Circuits": "circuits",
    "DeadLetterSettings": "dead_letter_settings",
    "DeadLetters": "dead_letter",
    "Elsewhere": "recovery",
    "EnclosedLetters": "enclosed_letters",
    "Holder": "guard",
    "Letter": "letter",
    "LetterFunction": "announcements",
    "LetterTopics": "letter_topics",
    "Meanings": "meaning",
    "Recovery": "recovery",
    "Refusing": "refusal",
    "RetrySettings": "retry_settings",
    "around": "guard",
    "exception_named": "meaning",
    "fingerprint": "fingerprints",
    "forget": "circuits",
    "headers_of": "letter_headers",
    "read": "letter",
}

__all__ = [
    "BackoffThenDelays",
    "Circuit",
    "CircuitSettings",
    "Circuits",
    "DeadLetterSettings",
    "DeadLetters",
    "Elsewhere",
    "EnclosedLetters",
    "Holder",
    "KeyOrder",
    "Letter",
    "LetterFunction",
    "LetterTopics",
    "Meanings",
    "Recovery",
    "Refusing",
    "RetrySettings",
    "RetryTopics",
    "around",
    "batch_when_due",
    "exception_named",
    "fingerprint",
    "forget",
    "guarded",
    "headers_of",
    "read",
    "when_due",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value
