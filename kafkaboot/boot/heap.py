"""The interpreter's garbage collector, set up for a process that holds thousands of records for a moment.

At its defaults it looks through the whole heap again and again: each record that is alive when it comes makes the next
full look sooner, and none of them is garbage. Modules, models and components, built once, are put aside for good.
"""

from __future__ import annotations

import gc

THRESHOLDS = (50_000, 20, 50)
"""New objects before a look at the young ones, and how many of those before the next older generation's."""


def settle() -> None:
    """Call it once, when everything is built."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
