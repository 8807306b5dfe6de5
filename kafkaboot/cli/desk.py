"""A broker of the desk that one process holds and others use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.cli.run_file import RunFile
from kafkaboot.errors import KafkabootError

if TYPE_CHECKING:
    from kafkaboot.boot.application import Application
    from kafkaboot.cli.run_file import Running
    from kafkaboot.config import Configuration
    from kafkaboot.dev import Broker

DESK = ("embedded", "local", "container")
SESSION = "kafkaboot.consumer.session-timeout"
DESK_SESSION = "6s"
"""The least that a real Kafka takes unless it is told otherwise."""


def kind_of(configuration: Configuration) -> str:
    """What `kafkaboot.kafka.broker` says."""
    from kafkaboot.client.settings import KafkaSettings

    return configuration.bind("kafkaboot.kafka", KafkaSettings).broker


def using(configuration: Configuration, address: str) -> list[str]:
    """The overrides that let an application use a broker that another process holds.

    Missing topics are created as they would be on a broker of the application's own.
    """
    from kafkaboot.client.settings import KafkaSettings

    topics = configuration.bind("kafkaboot.kafka", KafkaSettings).topics
    if topics == "auto":
        topics = "create"
    overrides = [
        "kafkaboot.kafka.broker=external",
        f"kafkaboot.kafka.bootstrap-servers={address}",
        f"kafkaboot.kafka.topics={topics}",
    ]
    if not configuration.mentions(SESSION):
        # Nobody waits at a desk until what a killed process held is given to another: 45 s by default.
        overrides.append(f"{SESSION}={DESK_SESSION}")
    return overrides


def already_there(application: Application) -> Running | None:
    """The broker of the wanted kind that `kafkaboot broker` holds for this folder, if it runs."""
    running = RunFile(application.launch.directory).read()
    if running is None or running.command != "broker":
        return None
    try:
        wanted = kind_of(application.configure())
    except KafkabootError:
        return None  # the start itself meets the same error, and tells it
    return running if running.kind == wanted else None


def start_for(configuration: Configuration) -> Broker | None:
    """Start the broker that the configuration asks for; `None` for an external one.

    Raises:
        KafkabootError: The settings cannot be used, or the broker does not start.
    """
    kind = kind_of(configuration)
    if kind not in DESK:
        return None
    from kafkaboot.dev import broker_for
    from kafkaboot.dev.settings import BrokerSettings

    broker = broker_for(kind, configuration.bind("kafkaboot.broker", BrokerSettings))
    broker.start()
    return broker
