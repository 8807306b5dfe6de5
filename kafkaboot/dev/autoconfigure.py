"""What `dev` offers to boot: the broker that `kafkaboot.kafka.broker` asks for, started before everything else."""

from __future__ import annotations

from kafkaboot.boot.autoconfiguration import AutoConfiguration, Offer
from kafkaboot.boot.conditions import on_missing, on_property
from kafkaboot.boot.desk import DeskBroker
from kafkaboot.client.settings import KafkaSettings
from kafkaboot.dev import broker_for
from kafkaboot.dev.settings import BrokerSettings

PATIENCE = 300.0
"""Seconds for a start: the first one may load artefacts or an image. Each kind has a shorter deadline of its own."""


def desk_broker(kafka: KafkaSettings, settings: BrokerSettings) -> DeskBroker:
    """The broker, not yet started."""
    return broker_for(kafka.broker, settings)


BROKER = AutoConfiguration(
    "broker",
    sections={"broker": BrokerSettings},
    when=(on_property("kafkaboot.kafka.broker", "local", "container", "embedded"),),
    offers=(
        Offer(
            desk_broker,
            when=(on_missing(DeskBroker),),
            starts=(lambda broker: broker.start(),),
            stops=(lambda broker: broker.stop(),),
            timeout=PATIENCE,
        ),
    ),
)
