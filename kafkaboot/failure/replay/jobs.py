"""What is to be done with letters, and how far it has come; and the record of what was done."""

from __future__ import annotations

import getpass
import re
import secrets
import socket
import time
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from kafkaboot.failure.replay.selection import Selection

MAX_ROUNDS = 3
"""How often a record is sent again before it is parked."""
RUNNING, STOPPED, FINISHED = "running", "stopped", "finished"

Deed = Literal["redrive", "park", "resolve"]
NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
"""What a job may be called: it is part of a consumer group's name."""


@dataclass(frozen=True, slots=True)
class Errand:
    """What is to be done.

    Attributes:
        deed: `redrive` sends the letters' records again, `park` moves them aside, `resolve` says that they are settled.
        selection: The letters that are meant.
        to: The topic to send to, in place of the one that each came from.
        max_rounds: A record that was sent again so often is parked.
    """

    deed: Deed
    selection: Selection
    to: str | None = None
    max_rounds: int = MAX_ROUNDS

    def as_json(self) -> dict[str, Any]:
        """As a row keeps it."""
        said = {"deed": self.deed, "selection": self.selection.as_json(), "max_rounds": self.max_rounds}
        return said if self.to is None else {**said, "to": self.to}

    @classmethod
    def of_json(cls, row: dict[str, Any]) -> Errand:
        """What `as_json` wrote."""
        return cls(row["deed"], Selection.of_json(row["selection"]), row.get("to"), row["max_rounds"])


@dataclass(frozen=True, slots=True)
class Job:
    """An errand under way. Its own consumer group says where it stands, so that it goes on after a kill.

    Attributes:
        name: Its name, once in a topic of letters.
        errand: What is to be done.
        by: Who began it.
        began: When, in milliseconds since the epoch.
        begins, ends: By partition the first letter that is meant and the offset behind the last, fixed at its start.
        selected: How many letters were meant then.
        state: `running`, also after a kill; `stopped` by hand or by an error; `finished`.
        counts: What became of them, by state, when it ended.
    """

    name: str
    errand: Errand
    by: str
    began: int
    begins: dict[int, int]
    ends: dict[int, int]
    selected: int
    state: str = RUNNING
    counts: dict[str, int] = field(default_factory=dict)

    def group(self, letters: str) -> str:
        """Its consumer group."""
        return f"{letters}.redrive.{self.name}"

    def ended(self, state: str, counts: dict[str, int]) -> Job:
        """The same at its end."""
        return replace(self, state=state, counts=counts)

    def as_json(self) -> dict[str, Any]:
        """As a row keeps it."""
        return {
            "name": self.name,
            "errand": self.errand.as_json(),
            "by": self.by,
            "began": self.began,
            "begins": self.begins,
            "ends": self.ends,
            "selected": self.selected,
            "state": self.state,
            "counts": self.counts,
        }

    @classmethod
    def of_json(cls, row: dict[str, Any]) -> Job:
        """What `as_json` wrote."""
        return cls(
            row["name"],
            Errand.of_json(row["errand"]),
            row["by"],
            row["began"],
            {int(partition): at for partition, at in row["begins"].items()},
            {int(partition): at for partition, at in row["ends"].items()},
            row["selected"],
            row["state"],
            row["counts"],
        )


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that somebody did.

    Attributes:
        at: When, in milliseconds since the epoch.
        by: Who.
        what: `redrive`, `park`, `resolve`, `edit` or `purge`, with how it ended.
        details: What was meant and what came of it.
    """

    at: int
    by: str
    what: str
    details: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """As a row keeps it."""
        return {"at": self.at, "by": self.by, "what": self.what, "details": self.details}

    @classmethod
    def of_json(cls, row: dict[str, Any]) -> Action:
        """What `as_json` wrote."""
        return cls(row["at"], row["by"], row["what"], row["details"])


def author() -> str:
    """Who works here: the system's user and host."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def new_name() -> str:
    """A name for a job that nobody named."""
    return f"{time.strftime('%Y%m%d-%H%M', time.gmtime())}-{secrets.token_hex(3)}"
