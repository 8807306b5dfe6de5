"""How a handler counts: `if next(taken) in watch.marks: watch.mark()`; the last record ends the application."""

from __future__ import annotations

import itertools

from benchmarks.measure import Stopwatch

taken = itertools.count(1)
watch = Stopwatch(terminate=True)
