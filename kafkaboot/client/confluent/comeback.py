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
from typing import TYPE_CHECKING

from kafkaboot.client.confluent import librdkafka

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger("kafkaboot.client")

LOOK = 1.0
"""Seconds between two looks."""
LAST = 30.0
"""Seconds at most until a broker is asked again; each wait is twice the one before, from `LOOK` on."""
PATIENCE_MS = 200
"""Milliseconds that a broker gets to answer."""
UNKNOWN = -1
"""The controller's id where the last answer named none: with no brokers there is none."""


class Comeback:
    """Looks once a second whether a client still knows of a broker; not thread-safe.

    The look costs a call that asks nobody. It goes by the controller, which is told together with the brokers: no error
    tells of the loss for certain.

    Args:
        config: librdkafka properties.
    """

    def __init__(self, config: Mapping[str, object]) -> None:
        self._servers = str(config.get("bootstrap.servers") or config.get("metadata.broker.list") or "")
        self._at = monotonic() + LOOK
        self._ask_at, self._wait = 0.0, LOOK

    def look(self, client: object) -> None:
        """Tell the client of its bootstrap servers again if it knows no broker and none answers for `PATIENCE_MS`.

        It is to be called often. Whoever does sees to it that the client is not closed meanwhile.
        """
        now = monotonic()
        if now < self._at:
            return
        self._at = now + LOOK
        handle = librdkafka.handle(client)
        if handle is None or _knows(handle):
            self._ask_at, self._wait = 0.0, LOOK
        elif now >= self._ask_at:
            if _answered(handle):
                self._wait = LAST  # unless one is known now, the cluster never names a controller
            else:
                log.debug("no broker answers; the client is told of %s again", self._servers)
                # Those that it knows already are left as they are.
                librdkafka.symbols().rd_kafka_brokers_add(handle, self._servers.encode())
            self._ask_at, self._wait = now + self._wait, min(self._wait * 2, LAST)


def _knows(handle: ctypes.c_void_p) -> bool:
    """Whether the last answer named a controller; nobody is asked."""
    return bool(librdkafka.symbols().rd_kafka_controllerid(handle, 0) != UNKNOWN)


def _answered(handle: ctypes.c_void_p) -> bool:
    """Whether a broker tells of brokers; asked of no more topics than the client knows already."""
    found = ctypes.POINTER(ctypes.c_int)()
    ask, free = librdkafka.symbols().rd_kafka_metadata, librdkafka.symbols().rd_kafka_metadata_destroy
    if ask(handle, 0, None, ctypes.byref(found), PATIENCE_MS):
        return False
    brokers: int = found[0]  # the first field says how many
    free(found)
    return brokers > 0
