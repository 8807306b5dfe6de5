"""The circuits of an application by name, and which application's a decorated function takes."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from kafkaboot.declare import on_start, on_stop
from kafkaboot.failure.blame import Blame
from kafkaboot.failure.circuit import Circuit
from kafkaboot.failure.guard import HOLDERS
from kafkaboot.failure.meaning import exception_named
from kafkaboot.failure.settings import CircuitSettings
from kafkaboot.health import Health, Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kafkaboot.clock import Clock
    from kafkaboot.failure.circuit import State
    from kafkaboot.hooks import OnCircuit

log = logging.getLogger("kafkaboot.circuits")


class Circuits:
    """Makes each circuit when it is first asked for. It is a `HealthIndicator`; any thread may use it.

    Its health is UP whatever its circuits say: starting the process again mends no dependency.

    Args:
        settings: `kafkaboot.circuits`; a name that is not among them has the defaults.
        clock: Time.

    Attributes:
        listeners: Hear of changes where they have the method; an application's components.
    """

    name = "circuits"

    def __init__(self, settings: Mapping[str, CircuitSettings], clock: Clock | None = None) -> None:
        self.settings = settings
        self.listeners: Sequence[object] = ()
        self._clock = clock
        self._made: dict[str, Circuit] = {}
        self._lock = threading.Lock()

    def get(self, name: str) -> Circuit:
        """The circuit of that name.

        Raises:
            LookupError: Its settings name an exception that does not exist; a start has checked that before.
        """
        with self._lock:
            if name not in self._made:
                settings = self.settings.get(name) or CircuitSettings()
                blame = Blame(map(exception_named, settings.failures), map(exception_named, settings.ignore))
                made = Circuit(name, settings, blame=blame, clock=self._clock, changed=self._changed)
                self._made[name] = made
            return self._made[name]

    def all(self) -> list[Circuit]:
        """Those that somebody has asked for, by name."""
        with self._lock:
            return [self._made[name] for name in sorted(self._made)]

    def health(self) -> Health:
        """See `HealthIndicator`."""
        details: dict[str, object] = {
            one.name: {
                "state": one.state,
                "reason": one.reason,
                "calls": one.calls,
                "failures": one.failures,
                "rejected": one.rejected,
            }
            for one in self.all()
        }
        return Health(Status.UP, details)

    @on_start
    def take_over(self) -> None:
        """Be the one whose circuits `@circuit` functions take."""
        _running.append(self)
        _hand_out()

    @on_stop
    def give_back(self) -> None:
        """Let them take those of the application that ran before, or of none."""
        if self in _running:
            _running.remove(self)
            _hand_out()

    def _changed(self, name: str, state: State, reason: str) -> None:
        log.log(logging.WARNING if state == "open" else logging.INFO, "circuit %s is %s: %s", name, state, reason)
        heard: list[Any] = [one for one in list(self.listeners) if hasattr(one, "on_circuit")]
        listeners: list[OnCircuit] = heard
        for listener in listeners:
            try:
                listener.on_circuit(name, state, reason)
            except Exception:
                log.exception("a circuit listener raised")


_running: list[Circuits] = []
_alone = Circuits({})


def current(name: str) -> Circuit:
    """The circuit of the application that runs in this process, or one with defaults where none does."""
    return (_running[-1] if _running else _alone).get(name)


def forget(instead: Circuits | None = None) -> None:
    """Begin anew with the circuits of functions that are called while no application runs: each test does.

    Args:
        instead: These rather than ones with default settings; for a simulated process.
    """
    global _alone  # noqa: PLW0603 - what is forgotten is the process's
    _alone = instead or Circuits({})
    _hand_out()


def _hand_out() -> None:
    """Let every decorated function look for its circuit again; a call at work keeps the one that it has."""
    for holder in list(HOLDERS.values()):
        holder.circuit = None
