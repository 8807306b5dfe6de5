"""The dead letters' workbench: list, show, edit, send again, park, resolve and purge letters, each with an audit.

The names load when they are first used: an application that writes no letter pays for the `Indexer` alone.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kafkaboot.failure.replay.catalogue import Catalogue, Group
    from kafkaboot.failure.replay.indexer import Indexer
    from kafkaboot.failure.replay.jobs import MAX_ROUNDS, Action, Errand, Job
    from kafkaboot.failure.replay.keeper import refresh
    from kafkaboot.failure.replay.marks import DONE, NEW, STATES
    from kafkaboot.failure.replay.plan import Plan
    from kafkaboot.failure.replay.purge import Purge
    from kafkaboot.failure.replay.selection import Place, Selection
    from kafkaboot.failure.replay.work import Progress
    from kafkaboot.failure.replay.workbench import Workbench, WorkbenchError

_ROOMS = {
    "Catalogue": "catalogue",
    "Group": "catalogue",
    "Indexer": "indexer",
    "MAX_ROUNDS": "jobs",
    "Action": "jobs",
    "Errand": "jobs",
    "Job": "jobs",
    "refresh": "keeper",
    "DONE": "marks",
    "NEW": "marks",
    "STATES": "marks",
    "Plan": "plan",
    "Purge": "purge",
    "Place": "selection",
    "Selection": "selection",
    "Progress": "work",
    "Workbench": "workbench",
    "WorkbenchError": "workbench",
}

__all__ = [
    "DONE",
    "MAX_ROUNDS",
    "NEW",
    "STATES",
    "Action",
    "Catalogue",
    "Errand",
    "Group",
    "Indexer",
    "Job",
    "Place",
    "Plan",
    "Progress",
    "Purge",
    "Selection",
    "Workbench",
    "WorkbenchError",
    "refresh",
]


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_ROOMS[name]}"), name)
    globals()[name] = value
    return value
