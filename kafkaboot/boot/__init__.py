"""What puts an application together: container, auto-configuration, lifecycle, the answer to a failed start.

The names load when they are first used: the container's library costs a tenth of a second, which `kafkaboot --help`
need not pay.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kafkaboot.boot.analysis import Analysis, Analyzer, analyze
    from kafkaboot.boot.application import Application
    from kafkaboot.boot.autoconfiguration import AutoConfiguration, Offer
    from kafkaboot.boot.component import Component
    from kafkaboot.boot.conditions import (
        Answer,
        Condition,
        Surroundings,
        on_component,
        on_handlers,
        on_missing,
        on_module,
        on_property,
    )
    from kafkaboot.boot.container import Container
    from kafkaboot.boot.desk import DeskBroker
    from kafkaboot.boot.facts import HandlerTally, Narrator, Ready, Stopped, Wired
    from kafkaboot.boot.lifecycle import StartError
    from kafkaboot.boot.logs import escaped
    from kafkaboot.boot.pipeline import HandlerRow
    from kafkaboot.boot.report import Report
    from kafkaboot.boot.signals import exit_now
    from kafkaboot.boot.starters import StarterError

_FILES = {
    "Analysis": "analysis",
    "Analyzer": "analysis",
    "Answer": "conditions",
    "Application": "application",
    "AutoConfiguration": "autoconfiguration",
    "Component": "component",
    "Condition": "conditions",
    "Container": "container",
    "DeskBroker": "desk",
    "HandlerRow": "pipeline",
    "HandlerTally": "facts",
    "Narrator": "facts",
    "Offer": "autoconfiguration",
    "Ready": "facts",
    "Report": "report",
    "StartError": "lifecycle",
    "StarterError": "starters",
    "Stopped": "facts",
    "Surroundings": "conditions",
    "Wired": "facts",
    "analyze": "analysis",
    "escaped": "logs",
    "exit_now": "signals",
    "on_component": "conditions",
    "on_handlers": "conditions",
    "on_missing": "conditions",
    "on_module": "conditions",
    "on_property": "conditions",
}

__all__ = [
    "Analysis",
    "Analyzer",
    "Answer",
    "Application",
    "AutoConfiguration",
    "Component",
    "Condition",
    "Container",
    "DeskBroker",
    "HandlerRow",
    "HandlerTally",
    "Narrator",
    "Offer",
    "Ready",
    "Report",
    "StartError",
    "StarterError",
    "Stopped",
    "Surroundings",
    "Wired",
    "analyze",
    "escaped",
    "exit_now",
    "on_component",
    "on_handlers",
    "on_missing",
    "on_module",
    "on_property",
]


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_FILES[name]}"), name)
    globals()[name] = value
    return value
