"""The application's databases and its outbox: `kafkaboot.databases` and `kafkaboot.outbox`."""

from __future__ import annotations

from kafkaboot.boot.autoconfiguration import AutoConfiguration, Offer
from kafkaboot.boot.conditions import Answer, Surroundings, on_component, on_missing, on_setting
from kafkaboot.boot.settings import ApplicationSettings
from kafkaboot.client import ClientFactory
from kafkaboot.clock import Clock
from kafkaboot.producer import Envelope, ProducerSettings
from kafkaboot.sql import Database, Databases, DatabaseSettings, Outbox, OutboxSettings

STOP_LIMIT = 30.0
"""Seconds; the relay's own limits end its stop."""


def some_database(here: Surroundings) -> Answer:
    """Yes if the configuration has databases, or the application brings one."""
    said = on_setting("kafkaboot.databases")(here)
    return said if said.yes else on_component(Database)(here)


def databases(settings: dict[str, DatabaseSettings], own: list[Database]) -> Databases:
    """The databases by name; those that the application brings as components win."""
    return Databases(settings, own)


def outbox(
    settings: OutboxSettings,
    found: Databases,
    clients: ClientFactory,
    producer: ProducerSettings,
    application: ApplicationSettings,
    clock: Clock | None,
) -> Outbox:
    """What writes rows, and the relay that publishes them with a producer of its own."""
    from kafkaboot.sql import Relay

    made = Outbox(Envelope(producer.envelope, producer.source or f"/{application.name}"))
    where = "kafkaboot.outbox.database"
    database = found.get(settings.database, what="the outbox", where=where)
    made.relay = Relay(made, database, clients, settings, producer.client_properties(), clock)
    return made


DATABASES = AutoConfiguration(
    "databases",
    sections={"databases": dict[str, DatabaseSettings]},
    offers=(Offer(databases, when=(some_database, on_missing(Databases)), stops=(Databases.dispose,)),),
)

OUTBOX = AutoConfiguration(
    "outbox",
    sections={"outbox": OutboxSettings},
    when=(on_setting("kafkaboot.outbox"),),
    offers=(Offer(outbox, starts=(Outbox.start,), stops=(Outbox.stop,), timeout=STOP_LIMIT),),
    after=("kafka", "topics", "producer", "databases"),
)
