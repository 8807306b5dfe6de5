"""How long a lane waits before it tries its record again."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kafkaboot.consumer.route import Again

if TYPE_CHECKING:
    from kafkaboot.consumer.route import Failed


@dataclass(frozen=True, slots=True)
class Backoff:
    """Growing delays with jitter.

    Attributes:
        initial: Seconds before the second attempt.
        maximum: The longest delay, in seconds.
        multiplier: By how much each delay grows.
        jitter: Draw each delay between nothing and its full length, so that lanes that failed together do not
            all come back together.
    """

    initial: float = 0.2
    maximum: float = 30.0
    multiplier: float = 2.0
    jitter: bool = True
    random: random.Random = field(default_factory=random.Random, compare=False, repr=False)

    def delay(self, attempt: int) -> float:
        """Seconds to wait after attempt number `attempt` (1 is the first) has failed."""
        exponent = min(attempt - 1, 64)
        whole = min(self.maximum, self.initial * self.multiplier**exponent)
        return whole * self.random.random() if self.jitter else whole

    def judge(self, failed: Failed) -> Again:
        """The simplest `Failing`: the record is tried again for as long as it fails."""
        return Again(self.delay(failed.attempt))
