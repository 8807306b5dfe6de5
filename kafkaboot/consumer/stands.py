"""Where the group stands on partitions that are new here: the broker is asked, and asked again.

It does not answer while a transaction with offsets of the partition is open, which a former owner has left behind or is
about to commit (KIP-447). What a transactional handler takes has to wait for that: what the map beside the offset says
is published already. Only those partitions wait; this member's others go on.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kafkaboot.consumer.backoff import Backoff
from kafkaboot.errors import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from kafkaboot.client import TP, Committed, ConsumerPort
    from kafkaboot.clock import Clock
    from kafkaboot.consumer.backpressure import Gate
    from kafkaboot.consumer.dispatch import Dispatch

log = logging.getLogger("kafkaboot.consumer")

ASK = 10.0
"""Seconds that an answer is waited for where nothing rests on it: then the client reads the offset by itself."""
FIRST = 1.0
"""Seconds for the first question about partitions that may wait; afterwards they do."""
AGAIN = Backoff(0.25, 2.0, jitter=False)
"""Seconds for each further question. The poller does nothing else meanwhile, so that they are asked seldom."""
SELDOM = 4
"""How many times that long the poller is left alone in between."""


class Stands:
    """Asks for committed offsets, on the poller's thread.

    Args:
        consumer: The client.
        dispatch: Which handlers take a topic's records.
        clock: Time.
        gate: Where the poller waits.

    Attributes:
        awaited: Partitions that wait for the answer, the one to be asked for next first.
    """

    def __init__(self, consumer: ConsumerPort, dispatch: Dispatch, clock: Clock, gate: Gate) -> None:
        self.awaited: dict[TP, None] = {}
        self._consumer, self._dispatch, self._clock, self._gate = consumer, dispatch, clock, gate
        self._next, self._asked = 0.0, 0

    def of(self, partitions: Sequence[TP]) -> dict[TP, Committed]:
        """What is known of new partitions. Those that are missing are awaited, or begin where the client finds them.

        Raises:
            ClientError: It is refused for good.
        """
        waiting = [tp for tp in partitions if self._may_wait(tp)]
        others = [tp for tp in partitions if tp not in set(waiting)]
        return (self._at_once(others) if others else {}) | (self._first(waiting) if waiting else {})

    def news(self) -> Iterator[tuple[TP, Committed]]:
        """What has become known of those that wait, which begin; looks only now and then.

        Raises:
            ClientError: It is refused for good.
        """
        while self.awaited and self._clock.monotonic() >= self._next:
            tp = next(iter(self.awaited))
            del self.awaited[tp]
            timeout = AGAIN.delay(self._asked + 1)
            found = self._start(tp, timeout)
            if found is None:
                self.awaited[tp] = None
                self._asked += 1
                self._next = self._clock.monotonic() + SELDOM * timeout
            else:
                self._asked = 0
                yield tp, found

    def forget(self, partitions: Iterable[TP]) -> None:
        """They are somebody else's."""
        for tp in partitions:
            self.awaited.pop(tp, None)

    def _may_wait(self, tp: TP) -> bool:
        return any(route.transactional for route in self._dispatch.routes_of(tp.topic))

    def _first(self, partitions: Sequence[TP]) -> dict[TP, Committed]:
        found = self._ask(partitions, FIRST)
        if not isinstance(found, ClientError):
            return found
        self.awaited |= dict.fromkeys(partitions)
        self._next, self._asked = self._clock.monotonic(), 0
        log.warning(
            "group %s: where it stands on %s is not known yet: %s; they wait: a transaction of a former owner may be "
            "open, until that process comes back or its timeout is over",
            self._dispatch.group,
            ", ".join(f"{topic}[{partition}]" for topic, partition in partitions),
            found.line,
        )
        return {}

    def _start(self, tp: TP, timeout: float) -> Committed | None:
        found = self._ask([tp], timeout)
        if isinstance(found, ClientError):
            return None
        try:
            self._consumer.start(tp, found[tp].offset)
        except ClientError as error:
            log.debug("group %s: %s[%d] cannot begin yet: %s", self._dispatch.group, *tp, error)
            return None
        log.info("group %s: %s[%d] goes on", self._dispatch.group, *tp)
        return found[tp]

    def _at_once(self, partitions: Sequence[TP]) -> dict[TP, Committed]:
        until = self._clock.monotonic() + ASK
        while isinstance(found := self._ask(partitions, ASK), ClientError):
            if self._clock.monotonic() >= until:
                # The client reads the offset by itself then; only the map of records done beyond is unknown.
                log.warning("group %s: where it stands is not known yet: %s", self._dispatch.group, found)
                return {}
            self._gate.wait(0.1)
        return found

    def _ask(self, partitions: Sequence[TP], timeout: float) -> dict[TP, Committed] | ClientError:
        """One question: its answer, or a failure that may pass."""
        try:
            return self._consumer.committed(partitions, timeout)
        except ClientError as error:
            if error.fatal or not error.retriable:
                raise
            return error
