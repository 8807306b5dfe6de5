"""Publishing: `Producer`, and what handlers and components return, sent on.

Names load when they are first asked for: the settings bring pydantic along, which a program may not need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kafkaboot.producer.answers import Answers, answering
    from kafkaboot.producer.attempts import Attempts
    from kafkaboot.producer.bind import Binding, outputs, publishing, returns_many
    from kafkaboot.producer.delivery import FELL, Delivery
    from kafkaboot.producer.envelope import Envelope, EnvelopeKind, GivenHeaders, explained
    from kafkaboot.producer.forward import Forward
    from kafkaboot.producer.health import ProducerHealth
    from kafkaboot.producer.key import key_bytes
    from kafkaboot.producer.pool import Transactions
    from kafkaboot.producer.receipt import Receipt, Receipts
    from kafkaboot.producer.requests import Requests
    from kafkaboot.producer.seat import Seat
    from kafkaboot.producer.sender import Producer
    from kafkaboot.producer.settings import ProducerSettings, RequestSettings, TransactionSettings
    from kafkaboot.producer.shared import SharedPorts
    from kafkaboot.producer.sync import SyncProducer
    from kafkaboot.producer.transaction import SyncTransaction, Transaction

_FILES = {
    "Attempts": "attempts",
    "Answers": "answers",
    "answering": "answers",
    "FELL": "delivery",
    "Binding": "bind",
    "Delivery": "delivery",
    "Envelope": "envelope",
    "EnvelopeKind": "envelope",
    "Forward": "forward",
    "GivenHeaders": "envelope",
    "Producer": "sender",
    "ProducerHealth": "health",
    "ProducerSettings": "settings",
    "Receipt": "receipt",
    "Receipts": "receipt",
    "RequestSettings": "settings",
    "Requests": "requests",
    "SharedPorts": "shared",
    "Seat": "seat",
    "SyncProducer": "sync",
    "SyncTransaction": "transaction",
    "Transaction": "transaction",
    "TransactionSettings": "settings",
    "Transactions": "pool",
    "explained": "envelope",
    "key_bytes": "key",
    "outputs": "bind",
    "publishing": "bind",
    "returns_many": "bind",
}

__all__ = [
    "FELL",
    "Answers",
    "Attempts",
    "Binding",
    "Delivery",
    "Envelope",
    "EnvelopeKind",
    "Forward",
    "GivenHeaders",
    "Producer",
    "ProducerHealth",
    "ProducerSettings",
    "Receipt",
    "Receipts",
    "RequestSettings",
    "Requests",
    "Seat",
    "SharedPorts",
    "SyncProducer",
    "SyncTransaction",
    "Transaction",
    "TransactionSettings",
    "Transactions",
    "answering",
    "explained",
    "key_bytes",
    "outputs",
    "publishing",
    "returns_many",
]


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_FILES[name]}"), name)
    globals()[name] = value
    return value
