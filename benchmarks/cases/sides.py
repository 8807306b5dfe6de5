"""How each program is started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.run import APPS, QUIX_PYTHON, Side

if TYPE_CHECKING:
    from benchmarks.backlog import Shape


def kafkaboot(app: str, shape: Shape, label: str = "kafkaboot", **more: Any) -> Side:
    """An application of `benchmarks/apps`, started as a user starts it."""
    command = ("-m", "kafkaboot", "run", str(APPS))
    return Side(label, command, shape, environ={"BENCH_APP": f"benchmarks.apps.{app}"}, **more)


def bare(loop: str, kind: str, shape: Shape, label: str = "bare", **more: Any) -> Side:
    """A loop of `benchmarks/bare`."""
    return Side(label, ("-m", f"benchmarks.bare.{loop}", kind), shape, **more)


def peer(name: str, shape: Shape, label: str, records: int | None = None) -> Side:
    """A program of `benchmarks/peers`."""
    more = {"interpreter": QUIX_PYTHON} if name == "quix" else {}
    return Side(label, ("-m", f"benchmarks.peers.with_{name}"), shape, records, **more)
