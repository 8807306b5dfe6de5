"""`.kafkaboot/broker.json`: how another terminal finds the broker that runs for this folder."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from kafkaboot.cli.output import say

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(slots=True)
class Running:
    """A broker of the desk that runs now.

    Attributes:
        pid: The process that holds it.
        kind: `embedded`, `local` or `container`.
        address: `host:port`.
        command: Whose it is: `run` or `dev` (it ends with the application), or `broker`.
        profiles: The profiles of the application that it was started for.
    """

    pid: int
    kind: str
    address: str
    command: Literal["run", "dev", "broker"]
    profiles: tuple[str, ...] = ()

    @property
    def bootstrap_servers(self) -> str:
        """The address, as boot asks a broker of the desk for it."""
        return self.address

    def describe(self) -> str:
        """One line."""
        return str(self)

    def __str__(self) -> str:
        return f"{self.kind} at {self.address}, of `kafkaboot {self.command}` (process {self.pid})"


class RunFile:
    """The file in one folder; one whose process is gone counts as absent."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / ".kafkaboot" / "broker.json"

    def read(self) -> Running | None:
        """The broker that runs, if any."""
        try:
            found = json.loads(self.path.read_text(encoding="utf-8"))
            running = Running(**{**found, "profiles": tuple(found.get("profiles", ()))})
        except (OSError, ValueError, TypeError):
            return None  # absent, half written by a crash, or of another version: nobody runs here
        return running if _alive(running.pid) else None

    def write(self, running: Running) -> None:
        """Say where the broker is. A folder that cannot be written to is told, and nothing else fails."""
        fresh = self.path.with_suffix(f".{running.pid}")
        try:
            self.path.parent.mkdir(exist_ok=True)
            fresh.write_text(json.dumps(asdict(running)), encoding="utf-8")
            fresh.replace(self.path)
        except OSError as error:
            say(f"other terminals will not find this broker by themselves: {error}", fg="yellow")

    def remove(self, pid: int) -> None:
        """Take the file away, if it is still this process's."""
        running = self.read()
        if running is not None and running.pid == pid:
            self.path.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
