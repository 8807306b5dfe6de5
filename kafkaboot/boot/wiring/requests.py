"""Requests and their answers: `kafkaboot.requests`."""

from __future__ import annotations

from kafkaboot.boot.autoconfiguration import AutoConfiguration, Offer
from kafkaboot.boot.conditions import on_missing
from kafkaboot.boot.desk import DeskBroker
from kafkaboot.boot.settings import ApplicationSettings
from kafkaboot.client import ClientFactory
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.config import Configuration
from kafkaboot.producer import Requests, RequestSettings
from kafkaboot.topics import TopicSettings, TopicUse, look_up, naming
from kafkaboot.topics.uses import Action

STOP_LIMIT = 5.0
"""Seconds; the reader is told to stop, and looks up from its poll at once."""


def reply_topic(settings: RequestSettings, application: str) -> str:
    """Where answers to the application's requests go."""
    return settings.topic or naming.replies(application)


def reply_use(topic: str, where: str = "") -> TopicUse:
    """The same as the look at topics knows it."""
    return TopicUse(topic, "answers to this application's requests are read from it", where, reads=True)


def requests(
    clients: ClientFactory,
    settings: RequestSettings,
    application: ApplicationSettings,
    kafka: KafkaSettings,
    topics: dict[str, TopicSettings] | None,
    broker: DeskBroker | None,
    configuration: Configuration,
) -> Requests:
    """What all producers of the application ask with; nothing is made before somebody does, or `start`."""
    topic = reply_topic(settings, application.name or "")

    def see_to() -> None:
        if kafka.topics == "off":
            return
        own: Action = "validate" if kafka.topics == "validate" else "create"
        admin = clients.admin()
        try:
            look_up(admin, [reply_use(topic)], topics or {}, "validate", own=own, single_broker=broker is not None)
        finally:
            admin.close()

    eager = configuration.mentions("kafkaboot.requests")
    return Requests(clients, topic, see_to=see_to, dialect=settings.dialect, eager=eager)


def start(made: Requests) -> None:
    """Find the answers' place now, where the configuration speaks of requests."""
    if made.eager:
        made.open()


REQUESTS = AutoConfiguration(
    "requests",
    sections={"requests": RequestSettings},
    offers=(
        Offer(
            requests,
            when=(on_missing(Requests),),
            starts=(start,),
            stops=(lambda made: made.close(),),
            timeout=STOP_LIMIT,
        ),
    ),
    after=("kafka", "topics"),
)
