"""Where the group stands on partitions that are new here: the broker is asked, and asked again.

It does not answer while a transaction with offsets of the partition is open, which a former owner has left behind or is
about to commit (KIP-447), nor while the coordinator loads or moves. Nothing of the partition is read before: what the
map beside the offset says is done, and published where transactions commit. Only such partitions wait; this member's
others go on.

librdkafka could ask by itself, and is not let (2.16, `rd_kafka_assignment_apply_offsets`): once refused it never asks
again, and the partition is not read until the next rebalance; and where other partitions come or go meanwhile, it takes
"a transaction is open" for "nothing committed".
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kafkaboot.client import RESET
from kafkaboot.consumer.backoff import Backoff
from kafkaboot.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from kafkaboot.client import TP, Committed, ConsumerPort
    from kafkaboot.clock import Clock

log = logging.getLogger("kafkaboot.consumer")

FIRST = 1.0
"""Seconds for the first question; then they wait."""
AGAIN = Backoff(0.25, 2.0, jitter=False)
"""Seconds for each further question. The poller does nothing else meanwhile, so that they are asked seldom."""
SELDOM = 4
"""How many times that long the poller is left alone in between."""
FOR_GOOD = frozenset({"GROUP_AUTHORIZATION_FAILED", "TOPIC_AUTHORIZATION_FAILED"})
"""Refusals that do not pass by themselves."""


class Stands:
    """Asks for committed offsets, on the poller's thread.

    Args:
        consumer: The client.
        group: The group's id.
        clock: Time.

    Attributes:
        awaited: Partitions that wait for the answer, the one to be asked for next first; each with the offset where it
            is to start in any case, if something else than Kafka has said so.
    """

    def __init__(self, consumer: ConsumerPort, group: str, clock: Clock) -> None:
        self.awaited: dict[TP, int | None] = {}
        self._consumer, self._group, self._clock = consumer, group, clock
        self._next, self._asked = 0.0, 0

    def of(self, partitions: Sequence[TP]) -> dict[TP, Committed]:
        """What is known of new partitions. Where it is not answered at once, they are awaited.

        Raises:
            ClientError: It is refused for good.
        """
        found = self._ask(partitions, FIRST) if partitions else {}
        if not isinstance(found, ClientError):
            return found
        self.awaited |= dict.fromkeys(partitions)
        self._next, self._asked = self._clock.monotonic(), 0
        log.warning(
            "group %s: where it stands on %s is not known yet: %s; they wait, and it is asked again; if a transaction "
            "of a former owner is open, until that process comes back or its timeout is over",
            self._group,
            ", ".join(f"{topic}[{partition}]" for topic, partition in partitions),
            found.what,
        )
        return {}

    def news(self) -> Iterator[tuple[TP, Committed]]:
        """What has become known of those that wait, which start; looks only now and then.

        Raises:
            ClientError: It is refused for good.
        """
        while self.awaited and self._clock.monotonic() >= self._next:
            tp, elsewhere = next(iter(self.awaited.items()))
            del self.awaited[tp]
            timeout = AGAIN.delay(self._asked + 1)
            found = self._start(tp, elsewhere, timeout)
            if found is None:
                self.awaited[tp] = elsewhere
                self._asked += 1
                self._next = self._clock.monotonic() + SELDOM * timeout
            else:
                self._asked = 0
                yield tp, found

    def forget(self, partitions: Iterable[TP]) -> None:
        """They are somebody else's."""
        for tp in partitions:
            self.awaited.pop(tp, None)

    def _start(self, tp: TP, elsewhere: int | None, timeout: float) -> Committed | None:
        found = self._ask([tp], timeout)
        if isinstance(found, ClientError):
            return None
        try:
            self._consumer.start(tp, _start_of(found[tp]) if elsewhere is None else elsewhere)
        except ClientError as error:
            log.debug("group %s: %s[%d] cannot start yet: %s", self._group, *tp, error)
            return None
        log.info("group %s: %s[%d] goes on", self._group, *tp)
        return found[tp]

    def _ask(self, partitions: Sequence[TP], timeout: float) -> dict[TP, Committed] | ClientError:
        """One question: its answer, or a failure that may pass."""
        try:
            return self._consumer.committed(partitions, timeout)
        except ClientError as error:
            if error.fatal or error.code in FOR_GOOD:
                raise
            return error


def starts(partitions: Sequence[TP], known: Mapping[TP, Committed]) -> dict[TP, int | None]:
    """What a `RebalanceListener` answers of new partitions, of which this is known."""
    return {tp: _start_of(known[tp]) if tp in known else None for tp in partitions}


def _start_of(committed: Committed) -> int:
    return RESET if committed.offset is None else committed.offset
