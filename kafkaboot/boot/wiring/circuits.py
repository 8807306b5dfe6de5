"""The application's circuits: `kafkaboot.circuits`."""

from __future__ import annotations

from kafkaboot.boot.autoconfiguration import AutoConfiguration, Offer
from kafkaboot.boot.conditions import on_missing
from kafkaboot.clock import Clock
from kafkaboot.failure import Circuits, CircuitSettings


def circuits(settings: dict[str, CircuitSettings], clock: Clock | None) -> Circuits:
    """The circuits that handlers and `@circuit` functions share, by name."""
    return Circuits(settings, clock)


CIRCUITS = AutoConfiguration(
    "circuits",
    sections={"circuits": dict[str, CircuitSettings]},
    offers=(Offer(circuits, when=(on_missing(Circuits),)),),
)
