"""The path of a record: polled, handed to the user's function, settled, its offset committed."""

from kafkaboot.consumer.backoff import Backoff
from kafkaboot.consumer.group import ConsumerGroup
from kafkaboot.consumer.invoke import Calls
from kafkaboot.consumer.route import BatchCall, Call, Counters, Forwarding, Route
from kafkaboot.consumer.settings import ConsumerSettings, HandlerSettings, RetrySettings

__all__ = [
    "Backoff",
    "BatchCall",
    "Call",
    "Calls",
    "ConsumerGroup",
    "ConsumerSettings",
    "Counters",
    "Forwarding",
    "HandlerSettings",
    "RetrySettings",
    "Route",
]
