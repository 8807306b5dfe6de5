"""One process of several: the same application, which tells its supervisor what happens instead of a terminal.

Standard input is a socket to the supervisor. What is told goes up as one JSON object a line; its end means that the
supervisor is gone, however it died, and that nobody is left to pass a signal on.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
import traceback
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kafkaboot.boot.facts import Narrator
from kafkaboot.cli.told import lag

if TYPE_CHECKING:
    from kafkaboot.boot.analysis import Analysis
    from kafkaboot.boot.application import Application
    from kafkaboot.boot.facts import Ready, Stopped, Wired
    from kafkaboot.cli.options import Choice

SUPERVISED = "KB_SUPERVISED"
"""Set in a worker's environment: its standard input is the supervisor's socket."""
SLOT = "KB_WORKER"
"""The worker's number, from 0; free to be used in placeholders. No KAFKABOOT_ name: those are keys."""

PERIOD = 0.5
"""Seconds between two reports of what was handled."""
LAST_PATIENCE = 60.0
"""Seconds that a worker without a supervisor has for its own orderly end."""


def work(choice: Choice, *, traceback: bool) -> int:
    """Run the application as a worker, and answer its exit code."""
    os.environ.pop(SUPERVISED)  # processes that the application starts are no workers
    link = Link(socket.socket(fileno=os.dup(0)))
    narrator = _Reporting(link, traceback=traceback)
    narrator.application = choice.application(narrator)
    threading.Thread(target=link.watch, name="kafkaboot-lifeline", daemon=True).start()
    return narrator.application.run()


class Link:
    """The way to the supervisor."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._lock = threading.Lock()

    def tell(self, **facts: Any) -> None:
        """Say something; nothing happens if nobody listens any more, since `watch` notices that."""
        line = json.dumps(facts, default=str).encode() + b"\n"
        with self._lock:
            try:
                self._end.sendall(line)
            except OSError:
                return

    def watch(self) -> None:
        """Stop this process, drained, when the supervisor is gone."""
        try:
            while self._end.recv(64):
                pass
        except OSError:
            pass  # a reset says the same as an end
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(LAST_PATIENCE)
        os._exit(1)


class _Reporting(Narrator):
    def __init__(self, link: Link, *, traceback: bool) -> None:
        self.application: Application | None = None
        self._link, self._traceback = link, traceback
        self._ending = threading.Event()

    def wired(self, wired: Wired) -> None:
        self._link.tell(
            wired=[asdict(row) for row in wired.handlers],
            name=wired.name,
            profiles=list(wired.profiles),
            sources=list(wired.sources),
            report=str(wired.report),
        )

    def ready(self, ready: Ready) -> None:
        self._link.tell(ready=ready.seconds, broker=ready.broker)
        threading.Thread(target=self._count, name="kafkaboot-reports", daemon=True).start()

    def stopping(self, reason: str) -> None:
        self._link.tell(stopping=reason)

    def stopped(self, stopped: Stopped) -> None:
        self._ending.set()
        self._link.tell(tallies=[asdict(one) for one in stopped.tallies], lag=None)

    def failed(self, analysis: Analysis, error: BaseException) -> None:
        told = "".join(traceback.format_exception(error)) if self._traceback else ""
        self._link.tell(failed=asdict(analysis), traceback=told)

    def _count(self) -> None:
        names = ("handled", "filtered", "retried", "failed")
        while not self._ending.wait(PERIOD):
            groups = self.application.groups if self.application is not None else None
            tallies = [
                {"id": route.id, **{name: getattr(route.counters, name) for name in names}}
                for group in (groups.groups if groups is not None else ())
                for route in group.routes
            ]
            self._link.tell(tallies=tallies, lag=lag(self.application))
