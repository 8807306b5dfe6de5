"""The broker on the desk: a single-node Kafka broker in Python, for development and tests."""

from __future__ import annotations

from kafkaboot.dev.embedded.process import EmbeddedKafka

__all__ = ["EmbeddedKafka"]
