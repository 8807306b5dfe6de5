"""`kafkaboot dev`: broker, application, reload on save, tests and events on a key."""

from __future__ import annotations

import sys

import click

from kafkaboot.cli.lazy_group import examples
from kafkaboot.cli.options import Choice, which_application

KEYS = """

\b
Keys, where standard input is a terminal:
  t  run the tests that import what you saved, else all
  e  send an event to the first handler, made from its type; never to an external broker
  r  restart the application
  q  quit, as Ctrl-C does
"""


@click.command(
    short_help="run an application while you write it",
    epilog=examples("kafkaboot dev", "kafkaboot dev shop --profile dev") + KEYS,
)
@which_application(argument=True)
@click.option("--debug", is_flag=True, help="Say what was wired and why; tracebacks of failed starts.")
def dev(choice: Choice, *, debug: bool) -> None:
    """Run an application while you write it: what you save is live in a moment, with offsets kept.

    It starts the broker that the profile asks for, which lives until the end, and the application. A saved .py or
    .yaml file is tried beside the running application and takes its place when everything fits together; until then,
    and while a file has an error, the application goes on with what it had. Reload needs watchfiles.

    In a folder that `kafkaboot new` wrote, the first start sends an event by itself.
    """
    from kafkaboot.cli.dev_loop import DevLoop

    sys.exit(DevLoop(choice, flags=["--debug"] if debug else []).run())
