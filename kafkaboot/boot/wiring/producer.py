"""The application's producer: `kafkaboot.producer`."""

from __future__ import annotations

from kafkaboot.boot.autoconfiguration import AutoConfiguration, Offer
from kafkaboot.boot.conditions import on_missing
from kafkaboot.boot.settings import ApplicationSettings
from kafkaboot.client import ClientFactory
from kafkaboot.producer import Producer, ProducerSettings


def producer(clients: ClientFactory, settings: ProducerSettings, application: ApplicationSettings) -> Producer:
    """The producer that handlers, components and `@publisher` share."""
    return Producer(
        clients.producer(settings.client_properties()),
        envelope=settings.envelope,
        source=f"/{application.name}",
        flush_timeout=settings.flush_timeout,
    )


PRODUCER = AutoConfiguration(
    "producer",
    sections={"producer": ProducerSettings},
    offers=(
        Offer(producer, when=(on_missing(Producer),), stops=(lambda made: made.sync.close(),), timeout=120.0),
    ),
    after=("kafka",),
)
