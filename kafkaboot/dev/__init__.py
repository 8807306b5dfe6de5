"""Kafka on your desk: a real one on the JVM, one in a container, one inside this process."""

from __future__ import annotations

from kafkaboot.dev.broker import Broker, BrokerStartError, NotInstalledError

__all__ = ["Broker", "BrokerStartError", "NotInstalledError"]
