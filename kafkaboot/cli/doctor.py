"""`kafkaboot doctor`: look for what will go wrong, and say what to do."""

from __future__ import annotations

from dataclasses import asdict

import click

from kafkaboot.cli.lazy_group import examples
from kafkaboot.cli.options import Choice, as_json, which_application

MARKS = {"ok": ("ok   ", "green"), "warn": ("warn ", "yellow"), "fail": ("FAIL ", "red")}


@click.command(
    short_help="look for what will go wrong, and say what to do",
    epilog=examples("kafkaboot doctor --profile prod", "kafkaboot doctor --json"),
)
@which_application(argument=True)
@as_json
def doctor(choice: Choice, *, as_json: bool) -> None:
    """Look at settings, connection, topics, permissions, and limits that cannot hold together.

    Each finding has a verdict and what to do. Exit code 0 when nothing fails, 1 when something does, 4 when the
    broker is unreachable. Nothing is changed anywhere.
    """
    from kafkaboot.cli.examination import examine, exit_code
    from kafkaboot.cli.output import write_json

    findings = examine(choice)
    if as_json:
        write_json([asdict(one) for one in findings])
    else:
        for one in findings:
            mark, colour = MARKS[one.verdict]
            head, *rest = one.what.splitlines() or [""]
            click.echo(f"{click.style(mark, fg=colour)} {click.style(one.subject, bold=True)}: {head}")
            for line in rest:
                click.echo(f"      {line}")
            for at, line in enumerate(one.todo.splitlines()):
                click.echo(f"      {'To do: ' if at == 0 else '       '}{line}")
    click.get_current_context().exit(exit_code(findings))
