"""Hands a program's figures to the runner."""

from __future__ import annotations

import json
import os
from pathlib import Path


def report(**figures: float) -> None:
    """Into the file that the runner waits for, or on the terminal."""
    if result := os.environ.get("BENCH_RESULT"):
        Path(result).write_text(json.dumps(figures))
    else:
        print(json.dumps(figures))
