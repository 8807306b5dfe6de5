"""Tables and JSON. On a terminal rich lays tables out; elsewhere columns are padded and rich is never loaded."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Sequence


def on_terminal() -> bool:
    """Whether a person looks at standard output."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


LONGEST = 4000
"""Characters of one line, or of one cell."""


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[str] = ()) -> None:
    """Write a table; what its cells quote cannot write to the terminal by itself.

    Args:
        headings: The columns' names.
        rows: The cells.
        numbers: Names of columns that stand at the right.
    """
    rows = [[_harmless(cell) for cell in row] for row in rows]
    if on_terminal():
        _on_terminal(headings, rows, numbers)
        return
    lines = [headings, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    for line in lines:
        cells = [
            f"{cell:>{width}}" if heading in numbers else f"{cell:<{width}}"
            for heading, cell, width in zip(headings, line, widths, strict=True)
        ]
        click.echo(f"  {'  '.join(cells)}".rstrip())


def _on_terminal(headings: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[str]) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        shown.add_column(heading, justify="right" if heading in numbers else "left", overflow="fold")
    for row in rows:
        shown.add_row(*(Text(cell, style="bold" if at == 0 else "") for at, cell in enumerate(row)))
    Console(highlight=False).print(Padding(shown, (0, 0, 0, 2)))


def write_json(value: Any) -> None:
    """Write a value as indented JSON."""
    import json

    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def write_json_line(value: Any) -> None:
    """Write a value as JSON on one line."""
    import json

    click.echo(json.dumps(value, ensure_ascii=False, default=str))


def tell(text: str, **style: Any) -> None:
    """Write one line that quotes what came from a topic, which cannot write to the terminal by itself."""
    click.secho(_harmless(text), **style)


def say(text: str, **style: Any) -> None:
    """Write to standard error what is not the answer itself."""
    click.secho("\n".join(map(_harmless, text.split("\n"))), err=True, **style)


def _harmless(text: str) -> str:
    from kafkaboot.message import printable

    return printable(text, LONGEST)
