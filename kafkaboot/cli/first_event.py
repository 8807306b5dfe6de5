"""An event for an application's first handler, made from the type that the handler takes."""

from __future__ import annotations

import time
from dataclasses import make_dataclass
from typing import TYPE_CHECKING, Any

from kafkaboot.errors import KafkabootError

if TYPE_CHECKING:
    from kafkaboot.boot.application import Application
    from kafkaboot.boot.blueprint import Blueprint

MARK = "first-event"
"""The file in `.kafkaboot/` that asks `kafkaboot dev` to send one by itself, once. `kafkaboot new` leaves it."""


class NoEventError(KafkabootError):
    """There is no handler that an event could be made for."""


def publish_to_first_handler(application: Application) -> dict[str, Any]:
    """Publish an event as another application would, and answer what it is and where it stands.

    Raises:
        NoEventError: No handler takes a topic.
        KafkabootError: It cannot be made or delivered.
    """
    from kafkaboot.cli.connection import clients_of
    from kafkaboot.cli.payloads import name_of
    from kafkaboot.message import encode
    from kafkaboot.producer import Producer, ProducerSettings

    blueprint = application.blueprint
    assert blueprint is not None
    handler, topic, payload_type = first_handler(blueprint)
    payload = made_of(payload_type)
    configuration = blueprint.configuration
    settings = configuration.bind("kafkaboot.producer", ProducerSettings)
    clients = clients_of(configuration, blueprint, None)
    properties = {**settings.client_properties(), "linger.ms": 0, "message.timeout.ms": 10_000}
    with Producer(clients.producer(properties), envelope=settings.envelope, source="/kafkaboot-dev") as producer:
        receipt = producer.sync.publish(topic, payload)
    return {
        "handler": handler,
        "type": name_of(payload_type),
        "value": (encode(payload) or b"").decode("utf-8", "replace"),
        "place": f"{receipt.topic}[{receipt.partition}]@{receipt.offset}",
    }


def first_handler(blueprint: Blueprint) -> tuple[str, str, Any]:
    """The first handler's id, its topic, and the type of its payload; of those that take one where any does.

    Raises:
        NoEventError: No handler takes a topic.
    """
    from kafkaboot.declare import Kind
    from kafkaboot.message import without_none

    found: list[tuple[str, str, Any]] = []
    for handler in blueprint.handlers:
        if not handler.spec.topics:
            continue  # what a pattern matches exists already, or does not exist
        for one in handler.signature.parameters:
            if one.kind in {Kind.PAYLOAD, Kind.BATCH}:
                return handler.spec.id, handler.spec.topics[0], without_none(one.annotation)[0]
        found.append((handler.spec.id, handler.spec.topics[0], str))
    if not found:
        raise NoEventError("no handler names a topic that an event could be sent to")
    return found[0]


def made_of(payload_type: Any) -> Any:
    """An event of a type, another one each time. It may be of any type, and samples are made of types with fields.

    Raises:
        DeclarationError: Nothing can be made of the type, or it refuses what is made.
    """
    from kafkaboot.testing import generate

    holding = make_dataclass("Record", [("payload", payload_type)])
    samples: list[Any] = generate(holding, seed=time.time_ns())
    return samples[0].payload
