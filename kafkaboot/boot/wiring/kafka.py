"""The way to the cluster: `kafkaboot.kafka`, and the factory that every client comes from."""

from __future__ import annotations

import logging

from kafkaboot.boot.autoconfiguration import AutoConfiguration, Offer
from kafkaboot.boot.conditions import on_missing
from kafkaboot.boot.desk import DeskBroker
from kafkaboot.boot.settings import ApplicationSettings
from kafkaboot.client import ClientFactory
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.config import Configuration

log = logging.getLogger("kafkaboot.boot")


def clients(
    settings: KafkaSettings, application: ApplicationSettings, configuration: Configuration, broker: DeskBroker | None
) -> ClientFactory:
    """Clients of the configured cluster, or of the broker that was started for this application."""
    from kafkaboot.client.confluent.factory import ConfluentClients

    warning = settings.transport_warning(configuration.profiles)
    if warning:
        log.warning("%s", warning)
    servers = broker.bootstrap_servers if broker is not None else None
    return ConfluentClients(settings, bootstrap_servers=servers, client_id=application.name or "")


KAFKA = AutoConfiguration(
    "kafka",
    sections={"kafka": KafkaSettings},
    offers=(Offer(clients, when=(on_missing(ClientFactory),)),),
    after=("broker",),
)
