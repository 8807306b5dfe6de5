"""The application's producer: `kafkaboot.producer`."""

from __future__ import annotations

from kafkaboot.boot.autoconfiguration import AutoConfiguration, Offer
from kafkaboot.boot.conditions import on_component, on_missing
from kafkaboot.boot.settings import ApplicationSettings
from kafkaboot.client import ClientFactory
from kafkaboot.producer import Producer, ProducerHealth, ProducerSettings

FLUSH_LIMIT = 3600.0
"""Seconds; the producer's own `flush-timeout` is what ends its close."""


def producer(clients: ClientFactory, settings: ProducerSettings, application: ApplicationSettings) -> Producer:
    """The producer that handlers, components and `@publisher` share."""
    return Producer(
        clients.producer(settings.client_properties()),
        envelope=settings.envelope,
        source=settings.source or f"/{application.name}",
        flush_timeout=settings.flush_timeout,
    )


def health(made: Producer) -> ProducerHealth:
    """Whether records get out."""
    return ProducerHealth(made)


PRODUCER = AutoConfiguration(
    "producer",
    sections={"producer": ProducerSettings},
    offers=(
        Offer(producer, when=(on_missing(Producer),), stops=(lambda made: made.sync.close(),), timeout=FLUSH_LIMIT),
        Offer(health, when=(on_component(Producer),)),
    ),
    after=("kafka",),
)
