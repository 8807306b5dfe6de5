"""What becomes of a record whose handler raises, and of calls to what is down.

The names load when they are first used: `@circuit` stands in modules that pay for nothing else here.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kafkaboot.failure.circuit import Circuit
    from kafkaboot.failure.circuits import Circuits, forget
    from kafkaboot.failure.guard import Holder, around
    from kafkaboot.failure.meaning import exception_named
    from kafkaboot.failure.settings import CircuitSettings

_ROOMS = {
    "Circuit": "circuit",
    "CircuitSettings": "settings",
    "Circuits": "circuits",
    "Holder": "guard",
    "around": "guard",
    "exception_named": "meaning",
    "forget": "circuits",
}

__all__ = ["Circuit", "CircuitSettings", "Circuits", "Holder", "around", "exception_named", "forget"]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value
