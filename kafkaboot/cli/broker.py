"""`kafkaboot broker`: a Kafka on this desk, for as long as the command runs."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import click

from kafkaboot.cli.lazy_group import examples


@click.command(
    short_help="start a Kafka to develop against",
    epilog=examples(
        "kafkaboot broker", "kafkaboot broker --port 9092 --data-dir .kafkaboot/kafka", "kafkaboot broker --kind local"
    ),
)
@click.option(
    "--kind",
    type=click.Choice(["embedded", "local", "container"]),
    default="embedded",
    show_default=True,
    help="One in Python; a real one on the JVM (Java 17); a real one in a container (Docker).",
)
@click.option("--port", type=click.IntRange(1, 65535), help="Where it listens; a free port by default.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="Where it keeps topics between runs.")
def broker(kind: str, port: int | None, data_dir: Path | None) -> None:
    """Start a Kafka to develop against, print its address, and run until Ctrl-C.

    Other commands in this folder find it by themselves, and so does `kafkaboot run` where kafkaboot.kafka.broker is of
    the same kind: several applications can share it.
    """
    from kafkaboot.cli.run_file import RunFile, Running
    from kafkaboot.dev import broker_for
    from kafkaboot.dev.settings import BrokerSettings, EmbeddedSettings, LocalSettings

    if kind == "container" and (port is not None or data_dir is not None):
        option = "--port" if port is not None else "--data-dir"
        raise click.UsageError(f"{option} belongs to the kinds embedded and local: a container chooses its own.")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    settings = BrokerSettings(
        embedded=EmbeddedSettings(port=port, data_dir=data_dir), local=LocalSettings(port=port, data_dir=data_dir)
    )
    started = broker_for(kind, settings)
    run_file = RunFile(Path.cwd())
    with started:
        run_file.write(Running(os.getpid(), kind, started.bootstrap_servers, "broker"))
        click.secho(started.bootstrap_servers, bold=True)
        click.echo(f"  {started.describe()}")
        click.echo(f"  used in this folder by: kafkaboot run --set kafkaboot.kafka.broker={kind}")
        click.echo("Ctrl-C stops")
        stop.wait()
        run_file.remove(os.getpid())
    click.echo("stopped")
