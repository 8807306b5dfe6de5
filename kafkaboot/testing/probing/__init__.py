"""A record through the real handler, with nothing published and nothing committed: `kafkaboot probe`, and saved tests.

What the handler needs is built and started as `kafkaboot run` would, with one exchange: every client of Kafka is one
that captures. No consumer is made, and nothing of the engine runs.
"""

from kafkaboot.testing.probing.capture import Captured
from kafkaboot.testing.probing.given import original
from kafkaboot.testing.probing.probe import Probe
from kafkaboot.testing.probing.probed import Outcome, Probed

__all__ = ["Captured", "Outcome", "Probe", "Probed", "original"]
