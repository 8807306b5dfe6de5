"""`kafkaboot run`: the main job."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import click

from kafkaboot.cli.lazy_group import examples
from kafkaboot.cli.options import Choice, which_application

if TYPE_CHECKING:
    from kafkaboot.boot.application import Application

INTERRUPTED = 130

EXIT_CODES = """

\b
Exit codes:
  0  drained and stopped            4  the broker is unreachable
  1  failed to start                5  stopped with records undrained
  2  wrong usage                    6  a subscription died
  3  the configuration is wrong
"""


@click.command(
    short_help="run an application until Ctrl-C or SIGTERM",
    epilog=examples(
        "kafkaboot run",
        "kafkaboot run shop --profile dev",
        "kafkaboot run --profile prod --workers 4",
        "kafkaboot run --set kafkaboot.kafka.bootstrap-servers=kafka:9092",
    )
    + EXIT_CODES,
)
@which_application(argument=True)
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Run N processes, and restart one that dies.")
@click.option("--reload", is_flag=True, help="Restart, drained, when a .py or .yaml file changes.")
@click.option("--debug", is_flag=True, help="Say what was wired and why; tracebacks of failed starts.")
@click.option("--traceback", is_flag=True, help="Only the tracebacks of failed starts.")
def run(choice: Choice, *, workers: int | None, reload: bool, debug: bool, traceback: bool) -> None:
    """Run an application until Ctrl-C or SIGTERM.

    APP is a package, a folder or a YAML file. Without it, application.yaml is looked for in this folder and in
    config/, and kafkaboot.application.packages says what to run.

    The first Ctrl-C or SIGTERM finishes the records at work and commits; a second one ends at once. With --workers,
    each process finds its number in KB_WORKER: `instance-id: "pod-${KB_WORKER:0}"`.
    """
    from kafkaboot.cli.worker import SUPERVISED

    if SUPERVISED in os.environ:
        from kafkaboot.cli.worker import work

        _leave(work(choice, traceback=traceback or debug))
    if workers is not None or reload:
        from kafkaboot.cli.supervisor import Supervisor

        flags = ["--debug"] if debug else ["--traceback"] if traceback else []
        _leave(Supervisor(choice, workers or 1, reload=reload, flags=flags).run())
    _leave(_alone(choice, debug=debug, traceback=traceback))


def _alone(choice: Choice, *, debug: bool, traceback: bool) -> int:
    from kafkaboot.cli.desk import already_there, using
    from kafkaboot.cli.told import Told

    try:
        application: Application = choice.application()
        running = already_there(application)
        narrator = Told(debug=debug, traceback=traceback or debug, shared=running)
        more = using(application.configure(), running.address) if running is not None else []
        application = choice.application(narrator, more=more)
        narrator.application = application
        return application.run()
    except KeyboardInterrupt:
        return INTERRUPTED


def _leave(code: int) -> None:
    """End the process. Where records were left undrained, threads of handlers may never end: nobody waits for them."""
    from kafkaboot.boot.analysis import UNDRAINED

    if code == UNDRAINED:
        from kafkaboot.boot.signals import exit_now

        exit_now(code)
    sys.exit(code)
