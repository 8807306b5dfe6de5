"""How much is measured, and who is told how far it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.consumer import ConsumerSettings
    from kafkaboot.producer import ProducerSettings

MOST_BYTES = 192 * 2**20
"""Bytes that one side of a measurement writes where nobody says how many records: a broker has to keep them a while."""
MOST_RECORDS = 300_000
"""Records of one side of a measurement where nobody says how many."""
ANSWER = 30.0
"""Seconds that a broker has for whatever a measurement waits for."""


class Progress(Protocol):
    """Who is told what goes on."""

    def __call__(self, what: str, count: Callable[[], int] | None = None, of: int = 0) -> None:
        """A step begins; `count` answers how many of `of` are done."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a measurement is made.

    Attributes:
        producer: `kafkaboot.producer`.
        consumer: `kafkaboot.consumer`.
        records: Of each side of a measurement, in all of its rounds; `None`: as many as `MOST_BYTES` and
            `MOST_RECORDS` allow.
        seconds: The same in time.
        rounds: Pairs of rounds, in turn.
        partitions: Of the topics.
        rate: Records a second where latency is measured.
    """

    producer: ProducerSettings
    consumer: ConsumerSettings
    records: int | None = None
    seconds: float = 6.0
    rounds: int = 3
    partitions: int = 4
    rate: float = 1000.0

    def records_of_round(self, size: int, most: int = MOST_RECORDS) -> int:
        """Records of one round, of values of so many bytes; `most` of one side where nobody says how many."""
        most = self.records if self.records is not None else min(most, max(100, MOST_BYTES // max(1, size)))
        return max(1, math.ceil(most / self.rounds))

    @property
    def seconds_of_round(self) -> float:
        """Seconds of one round."""
        return self.seconds / self.rounds

    def publishing(self) -> dict[str, object]:
        """The producer's properties; a broker that is gone is told within `ANSWER`, unless the settings say."""
        found = self.producer.client_properties()
        if "message.timeout.ms" not in found and "delivery.timeout.ms" not in found:
            found["message.timeout.ms"] = int(ANSWER * 1000)
        return found
