"""The cluster that a command looks at: the application's own, or the broker that runs for this folder."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kafkaboot.cli.output import say
from kafkaboot.cli.run_file import RunFile, Running
from kafkaboot.errors import BrokerUnreachableError, KafkabootError

if TYPE_CHECKING:
    from kafkaboot.boot.application import Application
    from kafkaboot.boot.blueprint import Blueprint
    from kafkaboot.cli.options import Choice
    from kafkaboot.client import ClientFactory
    from kafkaboot.config import Configuration

TIMEOUT = 5.0
"""Seconds that one question to the cluster may take."""


@dataclass(slots=True)
class Connection:
    """What a command works with.

    Attributes:
        application: As configured.
        blueprint: What it declares; `None` where there is no application, or it cannot be wired.
        clients: Clients of the cluster.
        trouble: Why the application cannot be wired.
        single_broker: It is a broker of the desk, which holds one copy of each record.
    """

    application: Application
    blueprint: Blueprint | None
    clients: Any
    trouble: KafkabootError | None = None
    single_broker: bool = False

    def reach(self) -> None:
        """Ask the cluster for an answer.

        Raises:
            BrokerUnreachableError: There is none.
        """
        admin = self.clients.admin()
        try:
            admin.topics(TIMEOUT)
        finally:
            admin.close()


def connect(choice: Choice) -> Connection:
    """Find the cluster and the application's types. Nothing is asked of the cluster yet.

    Raises:
        BrokerUnreachableError: A broker of the desk is configured, and none runs for this folder.
        ConfigurationError: The settings of the connection cannot be used.
    """
    from kafkaboot.client.settings import KafkaSettings

    application, running = found(choice)
    blueprint, trouble = None, None
    try:
        application.wire()
        blueprint = application.blueprint
    except KafkabootError as error:
        trouble = error
    hush()
    configuration = application.configure()
    if application.launch.app is None and not configuration.mentions("kafkaboot.application.packages"):
        trouble = None  # there is no application, which is no trouble for a look at records
    settings = configuration.bind("kafkaboot.kafka", KafkaSettings)
    if settings.broker != "external" and running is None:
        raise BrokerUnreachableError(
            f"the configuration asks for a broker of kind {settings.broker}, and none runs for this folder",
            where=str(RunFile(application.launch.directory).path),
            todo="start `kafkaboot run` or `kafkaboot broker` in another terminal, in the same folder",
        )
    clients = clients_of(configuration, blueprint, running)
    return Connection(application, blueprint, clients, trouble, single_broker=running is not None)


def clients_of(configuration: Configuration, blueprint: Blueprint | None, running: Running | None) -> Any:
    """The clients that the application itself would use, of the broker that runs where one is meant."""
    from kafkaboot.boot.settings import ApplicationSettings
    from kafkaboot.boot.wiring.kafka import clients
    from kafkaboot.client.settings import KafkaSettings

    application = blueprint.application if blueprint is not None else ApplicationSettings(name="kafkaboot-cli")
    return clients(configuration.bind("kafkaboot.kafka", KafkaSettings), application, configuration, running)


def found(choice: Choice) -> tuple[Application, Running | None]:
    """The application, and the broker of the desk that is meant.

    A broker that runs for this folder is meant wherever nothing else was said: the second terminal need not repeat the
    profile of the first.
    """
    from kafkaboot.client.settings import KafkaSettings

    application = choice.application()
    running = RunFile(application.launch.directory).read()
    if running is None:
        return application, None
    if not choice.profiles and not choice.overrides and not choice.config:
        say(f"broker: {running}", dim=True)
        again = type(choice)(choice.app, (), [name for name in running.profiles if name != "default"], ())
        return again.application(), running
    wanted: Any = application.configure().bind("kafkaboot.kafka", KafkaSettings).broker
    return application, running if wanted == running.kind else None


def refuse_missing(clients: ClientFactory, topic: str) -> None:
    """Look whether a topic is there: a subscription would wait for it without a word.

    Raises:
        MissingTopicError: It is not; the text names those that are.
    """
    import difflib

    from kafkaboot.topics import MissingTopicError

    admin = clients.admin()
    try:
        known = admin.topics(TIMEOUT)
    finally:
        admin.close()
    if topic not in known:
        near = difflib.get_close_matches(topic, known, n=3)
        listed = ", ".join(sorted(name for name in known if not name.startswith("__"))) or "none"
        raise MissingTopicError(
            f"topic {topic!r} does not exist",
            todo=f"did you mean {', '.join(near)}?" if near else f"topics that exist: {listed}",
        )


def hush() -> None:
    """Let only warnings through: the log of a look is not what was asked for."""
    logging.getLogger().setLevel(logging.WARNING)
