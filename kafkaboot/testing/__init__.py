"""Tests of an application, and of kafkaboot itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kafkaboot.testing.probes import eventually, eventually_async

__all__ = ["eventually", "eventually_async"]

_ROOM = dict.fromkeys(__all__, "kafkaboot.testing.probes")


def __getattr__(name: str) -> object:
    import importlib

    if name in _ROOM:
        return getattr(importlib.import_module(_ROOM[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
