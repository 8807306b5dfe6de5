"""`effect`: where a double of the world outside says what was done to it."""

from __future__ import annotations

from typing import Protocol


class EffectFailedError(ConnectionError):
    """The world outside did not do what it was asked to, or did not answer."""


class Observer(Protocol):
    """What hears of effects: the simulated run."""

    def effect(self, name: str, key: object, *, deduplicated: bool) -> None:
        """One is to be done; raises where it fails or its process dies."""


class _Running:
    observer: Observer | None = None


running = _Running()


def effect(name: str, key: object, *, deduplicated: bool = False) -> None:
    """Something is done to the world outside that claims to happen once for each key.

    It is called by a component's double, where the real component would write. The simulation lets the process die
    right before and right after it, lets it fail, and lets it be done without an answer.

    Args:
        name: What is done, for example `charge`.
        key: What it is done for, for example the order's id.
        deduplicated: Whether the world outside knows the key, and does nothing when it is asked a second time.

    Raises:
        EffectFailedError: In a simulated run, where that is its fault.
        RuntimeError: No simulation is running.
    """
    if running.observer is None:
        raise RuntimeError(
            "effect() is for doubles in a simulation, and none is running: see kafkaboot.testing.simulate"
        )
    running.observer.effect(name, key, deduplicated=deduplicated)
