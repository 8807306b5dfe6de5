"""Rounds of two sides in turn, so that what the machine does meanwhile falls on both."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.testing.bench.figures import Round


def in_turn(count: int, ours: Callable[[], Round], bare: Callable[[], Round]) -> tuple[list[Round], list[Round]]:
    """So many pairs; who is first changes, since the first one finds another machine than the second."""
    found: tuple[list[Round], list[Round]] = ([], [])
    for number in range(count):
        for side in (0, 1) if number % 2 else (1, 0):
            gc.collect()
            found[side].append((ours, bare)[side]())
    return found
