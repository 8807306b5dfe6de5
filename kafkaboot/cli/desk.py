"""A broker of the desk that one process holds and others use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kafkaboot.cli.run_file import RunFile
from kafkaboot.errors import KafkabootError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kafkaboot.boot.application import Application
    from kafkaboot.cli.run_file import Running
    from kafkaboot.config import Configuration
    from kafkaboot.dev import Broker

DESK = ("embedded", "local", "container")


def kind_of(configuration: Configuration) -> str:
    """What `kafkaboot.kafka.broker` says."""
    from kafkaboot.client.settings import KafkaSettings

    return configuration.bind("kafkaboot.kafka", KafkaSettings).broker


def using(configuration: Configuration, kind: str, address: str) -> list[str]:
    """The overrides that let an application use a broker that another process holds.

    The embedded broker answers no admin requests about topics: who holds it creates them, or the first record that is
    published does. On the others missing topics are created as they would be on a broker of the application's own.
    """
    from kafkaboot.client.settings import KafkaSettings

    topics = configuration.bind("kafkaboot.kafka", KafkaSettings).topics
    if kind == "embedded":
        topics = "off"
    elif topics == "auto":
        topics = "create"
    overrides = [
        "kafkaboot.kafka.broker=external",
        f"kafkaboot.kafka.bootstrap-servers={address}",
        f"kafkaboot.kafka.topics={topics}",
    ]
    session = "kafkaboot.consumer.session-timeout"
    if kind == "embedded" and not configuration.mentions(session):
        # librdkafka's mock lets nobody join in the place of a member that left before that one's session has run out:
        # an application that is restarted would get its first record after the default of 45 s.
        overrides.append(f"{session}=2s")
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


def create_topics(broker: Broker, configuration: Configuration, names: Iterable[str]) -> None:
    """Create topics on a broker that answers no admin requests; others create them when they are asked by an admin."""
    create: Any = getattr(broker, "create_topic", None)
    if create is None:
        return
    from kafkaboot.boot.wiring.topics import EMBEDDED_PARTITIONS
    from kafkaboot.topics import TopicSettings

    settings = configuration.bind("kafkaboot.topics", dict[str, TopicSettings])
    for name in dict.fromkeys([*settings, *names]):
        partitions = settings[name].partitions if name in settings else None
        create(name, partitions or EMBEDDED_PARTITIONS)
