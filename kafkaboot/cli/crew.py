"""A worker as its supervisor sees it: a process, a socket, and what it last said."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from typing import IO, TYPE_CHECKING, Any

from kafkaboot.cli.worker import SLOT, STANDBY, SUPERVISED

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
STEADY = 60.0
"""Seconds after which a worker that dies is restarted as if for the first time."""


class Worker:
    """One slot: its process dies and is replaced, its number stays.

    Args:
        slot: Its number, from 0.
        arguments: Those of `kafkaboot run`.
        piped: Take what it writes, to show it above a live line; else it writes where this process does.
    """

    def __init__(self, slot: int, arguments: Sequence[str], *, piped: bool) -> None:
        self.slot = slot
        self.process: subprocess.Popen[bytes] | None = None
        self.link: socket.socket | None = None
        self.was_ready = False
        self.due = 0.0
        self.tallies: list[dict[str, Any]] = []
        self.lag: int | None = None
        self._arguments = [sys.executable, "-m", "kafkaboot", "run", *arguments]
        self._piped = piped
        self._output: IO[bytes] | None = None
        self._deaths = 0
        self._began = 0.0
        self._rest = self._unwritten = b""

    def start(self, *, stand_by: bool = False) -> None:
        """Start a fresh process; one that stands by waits to be told to wire, and then to go.

        It is a process group of its own, so that Ctrl-C on the terminal reaches the supervisor only: a worker that
        heard it twice would take the second one for an order to end at once.
        """
        ours, theirs = socket.socketpair()
        environ = {**os.environ, SLOT: str(self.slot), SUPERVISED: "1"}
        if stand_by:
            environ[STANDBY] = "1"
        self._let_go()
        with theirs:
            self.process = subprocess.Popen(
                self._arguments,
                stdin=theirs.fileno(),
                stdout=subprocess.PIPE if self._piped else None,
                stderr=subprocess.STDOUT if self._piped else None,
                env=environ,
                process_group=0,
            )
        self._output = self.process.stdout
        if self._output is not None:
            os.set_blocking(self._output.fileno(), False)
        ours.setblocking(False)
        self.link, self._rest, self._began = ours, b"", time.monotonic()
        self.tallies, self.lag = [], None

    def heard(self) -> list[dict[str, Any]]:
        """What it said since the last call."""
        if self.link is None:
            return []
        try:
            while data := self.link.recv(65536):
                self._rest += data
            self._hang_up()
        except BlockingIOError:
            pass  # nothing more just now
        except OSError:
            self._hang_up()
        *lines, self._rest = self._rest.split(b"\n")
        said = [json.loads(line) for line in lines if line]
        for facts in said:
            if "tallies" in facts:
                self.tallies, self.lag = facts["tallies"], facts["lag"]
            self.was_ready |= "ready" in facts
        return said

    @property
    def sources(self) -> list[Any]:
        """What becomes readable when it says or writes something."""
        return [source for source in (self.link, self._output) if source is not None]

    def written(self) -> str:
        """What it wrote since the last call, in whole lines while it runs."""
        if self._output is None:
            return ""
        try:
            while data := os.read(self._output.fileno(), 65536):
                self._unwritten += data
        except BlockingIOError:
            lines, newline, self._unwritten = self._unwritten.rpartition(b"\n")
            return (lines + newline).decode("utf-8", "replace")
        self._let_go()
        rest, self._unwritten = self._unwritten, b""
        return rest.decode("utf-8", "replace")

    def tell(self, order: bytes) -> None:
        """Give an order, one of `cli.worker`; a process that has just ended does not hear it."""
        if self.link is not None:
            with contextlib.suppress(OSError):
                self.link.send(order)

    def signal(self, number: int) -> None:
        """Pass a signal on, if it runs."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)

    def ended(self) -> int | None:
        """Its exit code once it has ended, negative after a signal; once only."""
        if self.process is None or self.process.poll() is None:
            return None
        code, self.process = self.process.returncode, None
        return code

    def restart_later(self) -> float:
        """Set the time of the next start; answers the pause, which grows while it keeps dying."""
        self._deaths = 1 if time.monotonic() - self._began > STEADY else self._deaths + 1
        pause = min(FIRST_PAUSE * 2.0 ** (self._deaths - 1), LONGEST_PAUSE)
        self.due = time.monotonic() + pause
        return pause

    def close(self) -> None:
        """Let go of the socket and the pipe."""
        self._hang_up()
        self._let_go()

    def _let_go(self) -> None:
        if self._output is not None:
            self._output.close()
            self._output = None

    def _hang_up(self) -> None:
        if self.link is not None:
            self.link.close()
            self.link = None
