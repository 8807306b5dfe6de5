"""Tests of an application, and of kafkaboot itself. The names load when they are first used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kafkaboot.testing.app import TestApp
    from kafkaboot.testing.broker_faults import fail, fail_commits, fail_produces, restart_broker
    from kafkaboot.testing.brokers import RunningBroker, SessionBrokers
    from kafkaboot.testing.chaos import Chaos, Worker
    from kafkaboot.testing.checker import Input, check
    from kafkaboot.testing.environment import create_test_environment
    from kafkaboot.testing.handler_probe import HandlerProbe
    from kafkaboot.testing.history import Event, History
    from kafkaboot.testing.probes import eventually, eventually_async
    from kafkaboot.testing.probing.probe import Probe
    from kafkaboot.testing.probing.probed import Probed
    from kafkaboot.testing.proxy import ChaosProxy
    from kafkaboot.testing.rebalance import force_rebalance
    from kafkaboot.testing.report import Report, Violation
    from kafkaboot.testing.samples import generate
    from kafkaboot.testing.simulation.effects import effect
    from kafkaboot.testing.simulation.simulate import Simulation, simulate
    from kafkaboot.testing.throughput import Throughput, measure_throughput
    from kafkaboot.testing.wiring import Wiring, wired

_FILES = {
    "Chaos": "chaos",
    "ChaosProxy": "proxy",
    "Event": "history",
    "HandlerProbe": "handler_probe",
    "History": "history",
    "Input": "checker",
    "Probe": "probing.probe",
    "Probed": "probing.probed",
    "Report": "report",
    "RunningBroker": "brokers",
    "SessionBrokers": "brokers",
    "Simulation": "simulation.simulate",
    "TestApp": "app",
    "Throughput": "throughput",
    "Violation": "report",
    "Wiring": "wiring",
    "Worker": "chaos",
    "check": "checker",
    "create_test_environment": "environment",
    "effect": "simulation.effects",
    "eventually": "probes",
    "fail": "broker_faults",
    "fail_commits": "broker_faults",
    "fail_produces": "broker_faults",
    "restart_broker": "broker_faults",
    "eventually_async": "probes",
    "force_rebalance": "rebalance",
    "generate": "samples",
    "measure_throughput": "throughput",
    "simulate": "simulation.simulate",
    "wired": "wiring",
}

__all__ = [
    "Chaos",
    "ChaosProxy",
    "Event",
    "HandlerProbe",
    "History",
    "Input",
    "Probe",
    "Probed",
    "Report",
    "RunningBroker",
    "SessionBrokers",
    "Simulation",
    "TestApp",
    "Throughput",
    "Violation",
    "Wiring",
    "Worker",
    "check",
    "create_test_environment",
    "effect",
    "eventually",
    "eventually_async",
    "fail",
    "fail_commits",
    "fail_produces",
    "force_rebalance",
    "generate",
    "measure_throughput",
    "restart_broker",
    "simulate",
    "wired",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_FILES[name]}"), name)
    globals()[name] = value
    return value
