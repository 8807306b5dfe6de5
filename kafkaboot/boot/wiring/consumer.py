"""The groups that run the handlers: `kafkaboot.consumer`, `kafkaboot.handlers` and `kafkaboot.retry`."""

from __future__ import annotations

from kafkaboot.boot.autoconfiguration import AutoConfiguration
from kafkaboot.boot.conditions import on_handlers
from kafkaboot.boot.control import Control
from kafkaboot.boot.groups import Groups
from kafkaboot.consumer import ConsumerSettings, HandlerSettings
from kafkaboot.failure import RetrySettings

CONSUMER = AutoConfiguration(
    "consumer",
    sections={
        "consumer": ConsumerSettings,
        "handlers": dict[str, HandlerSettings],
        "retry": dict[str, RetrySettings],
    },
    when=(on_handlers(),),
    offers=(Groups, Control),
    after=("kafka", "producer"),
)
