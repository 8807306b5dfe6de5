"""The dead letters' workbench: list, show, edit, send again, park, resolve and purge letters, each with an audit."""

from kafkaboot.failure.replay.catalogue import Catalogue, Group
from kafkaboot.failure.replay.indexer import Indexer, refresh
from kafkaboot.failure.replay.jobs import MAX_ROUNDS, Action, Errand, Job
from kafkaboot.failure.replay.marks import DONE, NEW, STATES
from kafkaboot.failure.replay.plan import Plan
from kafkaboot.failure.replay.purge import Purge
from kafkaboot.failure.replay.selection import Place, Selection
from kafkaboot.failure.replay.work import Progress
from kafkaboot.failure.replay.workbench import Workbench, WorkbenchError

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
