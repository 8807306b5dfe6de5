"""Publishing: `Producer`, and what handlers and components return, sent on.

Names load when they are first asked for: the settings bring pydantic along, which a program may not need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kafkaboot.producer.bind import Binding, publishing, returns_many
    from kafkaboot.producer.delivery import Delivery
    from kafkaboot.producer.envelope import Envelope, EnvelopeKind, GivenHeaders, explained
    from kafkaboot.producer.forward import Forward
    from kafkaboot.producer.health import ProducerHealth
    from kafkaboot.producer.key import key_bytes
    from kafkaboot.producer.pool import Transactions
    from kafkaboot.producer.receipt import Receipt, Receipts
    from kafkaboot.producer.sender import Producer
    from kafkaboot.producer.settings import ProducerSettings, TransactionSettings
    from kafkaboot.producer.sync import SyncProducer
    from kafkaboot.producer.transaction import SyncTransaction, Transaction

_FILES = {
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
    "SyncProducer": "sync",
    "SyncTransaction": "transaction",
    "Transaction": "transaction",
    "TransactionSettings": "settings",
    "Transactions": "pool",
    "explained": "envelope",
    "key_bytes": "key",
    "publishing": "bind",
    "returns_many": "bind",
}

__all__ = [
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
    "SyncProducer",
    "SyncTransaction",
    "Transaction",
    "TransactionSettings",
    "Transactions",
    "explained",
    "key_bytes",
    "publishing",
    "returns_many",
]


def __getattr__(name: str) -> Any:
    if name not in _FILES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_FILES[name]}"), name)
    globals()[name] = value
    return value
