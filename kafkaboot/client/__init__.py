"""What the house asks of Kafka. The adapters behind it are side doors of `boot` and `testing`."""

from kafkaboot.client.ports import (
    RESET,
    TP,
    AdminPort,
    ClientFactory,
    Committed,
    ConsumerPort,
    ProducerPort,
    ReaderPort,
    RebalanceListener,
    ServesBursts,
    TopicInfo,
    TopicSetting,
    TopicSpec,
    TransactionalPort,
)

__all__ = [
    "RESET",
    "TP",
    "AdminPort",
    "ClientFactory",
    "Committed",
    "ConsumerPort",
    "ProducerPort",
    "ReaderPort",
    "RebalanceListener",
    "ServesBursts",
    "TopicInfo",
    "TopicSetting",
    "TopicSpec",
    "TransactionalPort",
]
