"""kafkaboot: Spring Boot for Kafka, in Python.

The public names load when they are first used: importing the package loads no client, container, YAML, metrics or
models, and a program pays only for what it touches.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import SecretStr as Secret

    from kafkaboot import clients
    from kafkaboot.declare import (
        Header,
        Key,
        Named,
        Payload,
        RetryPolicy,
        component,
        event,
        event_handler,
        on_dead_letter,
        on_start,
        on_stop,
        publisher,
        settings,
    )
    from kafkaboot.errors import (
        BatchFailed,
        BatchPublishError,
        BrokerUnreachableError,
        CircuitOpenError,
        ClientError,
        ConfigurationError,
        DeadLetter,
        DeclarationError,
        KafkabootError,
        PublishError,
        RequestAbandonedError,
        RequestError,
        RequestFailedError,
        RequestTimeoutError,
        Retry,
        Skip,
        TransactionError,
        UndecodableError,
        UnencodableError,
        WiringError,
    )
    from kafkaboot.failure.guard import circuit
    from kafkaboot.failure.letter import Letter
    from kafkaboot.message import Context, Record
    from kafkaboot.producer import Delivery, Producer, Receipt, Transaction
    from kafkaboot.sql import Outbox

    __version__: str

_ROOMS = {
    "kafkaboot.declare": (
        "Header",
        "Key",
        "Named",
        "Payload",
        "RetryPolicy",
        "component",
        "event",
        "event_handler",
        "on_dead_letter",
        "on_start",
        "on_stop",
        "publisher",
        "settings",
    ),
    "kafkaboot.errors": (
        "BatchFailed",
        "BatchPublishError",
        "BrokerUnreachableError",
        "CircuitOpenError",
        "ClientError",
        "ConfigurationError",
        "DeadLetter",
        "DeclarationError",
        "KafkabootError",
        "PublishError",
        "RequestAbandonedError",
        "RequestError",
        "RequestFailedError",
        "RequestTimeoutError",
        "Retry",
        "Skip",
        "TransactionError",
        "UndecodableError",
        "UnencodableError",
        "WiringError",
    ),
    "kafkaboot.failure.guard": ("circuit",),
    "kafkaboot.failure.letter": ("Letter",),
    "kafkaboot.message": ("Context", "Record"),
    "kafkaboot.producer": ("Delivery", "Producer", "Receipt", "Transaction"),
    "kafkaboot.sql": ("Outbox",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "BatchFailed",
    "BatchPublishError",
    "BrokerUnreachableError",
    "CircuitOpenError",
    "ClientError",
    "ConfigurationError",
    "Context",
    "DeadLetter",
    "DeclarationError",
    "Delivery",
    "Header",
    "KafkabootError",
    "Key",
    "Letter",
    "Named",
    "Outbox",
    "Payload",
    "Producer",
    "PublishError",
    "Receipt",
    "Record",
    "RequestAbandonedError",
    "RequestError",
    "RequestFailedError",
    "RequestTimeoutError",
    "Retry",
    "RetryPolicy",
    "Secret",
    "Skip",
    "Transaction",
    "TransactionError",
    "UndecodableError",
    "UnencodableError",
    "WiringError",
    "__version__",
    "circuit",
    "clients",
    "component",
    "event",
    "event_handler",
    "on_dead_letter",
    "on_start",
    "on_stop",
    "publisher",
    "settings",
]


def __getattr__(name: str) -> Any:
    value: Any
    if name in _ROOM_OF:
        value = getattr(import_module(_ROOM_OF[name]), name)
    elif name == "Secret":
        value = import_module("pydantic").SecretStr
    elif name == "clients":
        value = import_module("kafkaboot.clients")
    elif name == "__version__":
        value = import_module("importlib.metadata").version("kafkaboot")
    else:
        raise AttributeError(f"module 'kafkaboot' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
