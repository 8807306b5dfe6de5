"""One process of several: the same application, which tells its supervisor what happens instead of a terminal.

Standard input is a socket to the supervisor. What is told goes up as one JSON object a line; its end means that the
supervisor is gone, however it died, and that nobody is left to pass a signal on. Down come orders, a byte each.

A worker that stands by (`kafkaboot dev`) has loaded what takes time and nothing of the application. Told to wire, it
reads the application as it is now; told to go, it runs it. Its predecessor works on in the meantime.
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
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from kafkaboot.boot.facts import HandlerTally, Narrator
from kafkaboot.cli.told import lag
from kafkaboot.errors import KafkabootError

if TYPE_CHECKING:
    from kafkaboot.boot.analysis import Analysis
    from kafkaboot.boot.application import Application
    from kafkaboot.boot.facts import Ready, Stopped, Wired
    from kafkaboot.cli.options import Choice

SUPERVISED = "KB_SUPERVISED"
"""Set in a worker's environment: its standard input is the supervisor's socket."""
SLOT = "KB_WORKER"
"""The worker's number, from 0; free to be used in placeholders. No KAFKABOOT_ name: those are keys."""
STANDBY = "KB_STANDBY"
"""Set for a worker that waits for orders before it wires, and before it runs."""

WIRE, GO, EVENT = b"w", b"g", b"e"
"""Orders: read the application and wire it; run it; publish an event to its first handler."""

PERIOD = 0.5
"""Seconds between two reports of what was handled."""
LAST_PATIENCE = 60.0
"""Seconds that a worker without a supervisor has for its own orderly end."""


def work(choice: Choice, *, traceback: bool) -> int:
    """Run the application as a worker, and answer its exit code."""
    os.environ.pop(SUPERVISED)  # processes that the application starts are no workers
    stands_by = os.environ.pop(STANDBY, None) is not None
    link = Link(socket.socket(fileno=os.dup(0)))
    narrator = _Reporting(link, traceback=traceback, waits=stands_by)
    threading.Thread(target=link.watch, name="kafkaboot-lifeline", daemon=True).start()
    threading.Thread(target=narrator.send_events, name="kafkaboot-events", daemon=True).start()
    if stands_by:
        _load_ahead()
        link.orders.get()
    narrator.application = choice.application(narrator)
    return narrator.application.run()


def _load_ahead() -> None:
    """Load what every application needs, and nothing that belongs to this one."""
    import kafkaboot.boot.application
    import kafkaboot.client.confluent.factory
    import kafkaboot.producer  # noqa: F401
    from kafkaboot.boot.starters import load

    try:
        load(())
    except KafkabootError:
        return  # a starter is broken: the wiring meets the same error, and tells it


class Link:
    """The way to the supervisor.

    Attributes:
        orders: To wire and to go, as they come.
        events: Orders to publish an event.
    """

    def __init__(self, end: socket.socket) -> None:
        self.orders: SimpleQueue[int] = SimpleQueue()
        self.events: SimpleQueue[int] = SimpleQueue()
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
        """Take orders, and stop this process, drained, when the supervisor is gone."""
        try:
            while heard := self._end.recv(64):
                for order in heard:
                    (self.events if order == EVENT[0] else self.orders).put(order)
        except OSError:
            pass  # a reset says the same as an end
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(LAST_PATIENCE)
        os._exit(1)


class _Reporting(Narrator):
    def __init__(self, link: Link, *, traceback: bool, waits: bool) -> None:
        self.application: Application | None = None
        self._link, self._traceback, self._waits = link, traceback, waits
        self._ending = threading.Event()

    def wired(self, wired: Wired) -> None:
        self._link.tell(
            wired=[asdict(row) for row in wired.handlers],
            name=wired.name,
            profiles=list(wired.profiles),
            sources=list(wired.sources),
            report=str(wired.report),
        )
        if self._waits:
            self._link.orders.get()

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

    def send_events(self) -> None:
        """Publish an event for each order to do so."""
        from kafkaboot.cli.first_event import publish_to_first_handler

        while True:
            self._link.events.get()
            assert self.application is not None
            try:
                self._link.tell(event=publish_to_first_handler(self.application))
            except Exception as error:  # a payload that cannot be made or sent costs the event, never the application
                self._link.tell(no_event=str(error))

    def _count(self) -> None:
        while not self._ending.wait(PERIOD):
            groups = self.application.groups if self.application is not None else None
            tallies = [
                asdict(HandlerTally.of(route))
                for group in (groups.groups if groups is not None else ())
                for route in group.routes
            ]
            self._link.tell(tallies=tallies, lag=lag(self.application))
