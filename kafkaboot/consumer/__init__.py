"""The path of a record: polled, handed to the user's function, settled, its offset committed."""

from kafkaboot.consumer.backoff import Backoff
from kafkaboot.consumer.group import ConsumerGroup
from kafkaboot.consumer.invoke import Calls
from kafkaboot.consumer.route import (
    Again,
    Around,
    Away,
    BatchCall,
    Call,
    Counters,
    Detour,
    Failed,
    Failing,
    Forwarding,
    Halt,
    Positions,
    Route,
    Settled,
    Verdict,
)
from kafkaboot.consumer.settings import ConsumerSettings, EnclosedSettings, HandlerSettings
from kafkaboot.consumer.transacting import Transacting

__all__ = [
    "Again",
    "Around",
    "Away",
    "Backoff",
    "BatchCall",
    "Call",
    "Calls",
    "ConsumerGroup",
    "ConsumerSettings",
    "Counters",
    "Detour",
    "EnclosedSettings",
    "Failed",
    "Failing",
    "Forwarding",
    "Halt",
    "HandlerSettings",
    "Positions",
    "Route",
    "Settled",
    "Transacting",
    "Verdict",
]
