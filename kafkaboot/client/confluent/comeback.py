"""How a client that knows no broker any more finds them again.

The last broker of a cluster that is about to stop answers that there are none. librdkafka then forgets all that it
knows, bootstrap servers included, and asks nobody ever again: no call of its Python face brings it back, whatever
`metadata.recovery.strategy` says (librdkafka #5301, open with 2.16: the timer that would begin anew is stopped by the
very answer). A function in C does, and the client goes on with all that it has: what waits to be written, its place in
the group.
"""

from __future__ import annotations

import ctypes
import logging
from time import monotonic
from typing import TYPE_CHECKING, Any

from kafkaboot.client.confluent import librdkafka

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger("kafkaboot.client")

FIRST, LAST = 1.0, 30.0
"""Seconds from the moment when all brokers were down until the first look, and at most between two; each is twice the
one before."""
PATIENCE_MS = 200
"""Milliseconds that a broker gets to answer a look."""
NEVER = float("inf")


class Comeback:
    """Looks whether a client still finds a broker, from the moment when all were down until one answers.

    Args:
        config: librdkafka properties.
    """

    def __init__(self, config: Mapping[str, object]) -> None:
        self._at = NEVER
        self._servers = str(config.get("bootstrap.servers") or config.get("metadata.broker.list") or "")
        self._wait = FIRST

    def heard(self, error: Any) -> None:
        """What the client calls with an error; from any thread."""
        log.debug("librdkafka: %s", error)
        if error.name() == "_ALL_BROKERS_DOWN":  # said once an outage
            self._soon()

    def needed(self) -> None:
        """A broker does not answer, it may be for this reason; from any thread."""
        if self._at == NEVER:
            self._soon()

    def _soon(self) -> None:
        self._wait = FIRST
        self._at = min(self._at, monotonic() + FIRST)

    def look(self, client: Any) -> None:
        """When a look is due, ask for a broker; if none answers, tell the client of its bootstrap servers.

        Whoever calls it sees to it that the client is not closed meanwhile.
        """
        if monotonic() < self._at:
            return
        handle = librdkafka.handle(client)
        if handle is None or _answered(handle):
            self._at = NEVER
            return
        log.debug("no broker answers; the client is told of %s again", self._servers)
        # Those that it knows already are left as they are.
        librdkafka.symbols().rd_kafka_brokers_add(handle, self._servers.encode())
        self._wait = min(self._wait * 2, LAST)
        self._at = monotonic() + self._wait


def _answered(handle: ctypes.c_void_p) -> bool:
    """Whether a broker tells of brokers; asked of no more topics than the client knows already."""
    found = ctypes.POINTER(ctypes.c_int)()
    ask, free = librdkafka.symbols().rd_kafka_metadata, librdkafka.symbols().rd_kafka_metadata_destroy
    if ask(handle, 0, None, ctypes.byref(found), PATIENCE_MS):
        return False
    brokers: int = found[0]  # the first field says how many
    free(found)
    return brokers > 0
