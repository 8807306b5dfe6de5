"""A failure as people read it: what happened, what to do."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from kafkaboot.boot.analysis import Analysis


def tell(error: BaseException) -> int:
    """Write what a failed command comes to, and answer its exit code."""
    from kafkaboot.boot.analysis import analyze

    found = analyze(error)
    click.echo(f"{click.style('Error', fg='red')}: {found.title}", err=True)
    click.echo("\n".join(f"  {line}" for line in found.happened.splitlines()), err=True)
    for at, line in enumerate(found.todo.splitlines()):
        click.echo(f"  {'To do: ' if at == 0 else '       '}{line}", err=True)
    return found.code


def tell_failed_start(found: Analysis, error: BaseException | None, *, debug: bool) -> None:
    """Write why an application did not start, with the traceback where it was asked for."""
    if debug and error is not None:
        click.echo("".join(traceback.format_exception(error)), err=True)
    for line in str(found).splitlines():
        heading = line.startswith("The application did not start")
        part = line in {"What happened", "What to do"}
        click.secho(line, fg="red" if heading else None, bold=heading or part or None, err=True)
