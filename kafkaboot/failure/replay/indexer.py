"""Keeps the index of an application's dead letters, while they are written."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from kafkaboot.errors import KafkabootError

if TYPE_CHECKING:
    from kafkaboot.client import ClientFactory
    from kafkaboot.failure.replay.keeper import Keeper

log = logging.getLogger("kafkaboot.failure")

PERIOD = 1.0
"""Seconds between two looks at a topic to which letters are written."""
FAILED = 30.0
"""Seconds after which indexing is tried again when it failed."""


class Indexer:
    """Indexes topics of letters on a thread of its own, at most once a second, and only when letters were written.

    What it does not get to is read by whoever lists the letters: it is never in the way of a record.

    Args:
        clients: Makes its clients; none is made before the first letter.
        period: Seconds between two looks at a topic to which letters are written.
    """

    def __init__(self, clients: ClientFactory, period: float = PERIOD) -> None:
        self._clients, self._period = clients, period
        self._waiting: set[str] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ending = threading.Event()
        self._keeper: Keeper | None = None
        self._told: dict[str, str] = {}
        self._thread = threading.Thread(target=self._run, name="kafkaboot-dead-letter-index", daemon=True)

    def start(self) -> None:
        """Wait for letters."""
        self._thread.start()

    def on_dead_letter(self, handler: str, where: str, error: BaseException, letter: str) -> None:  # noqa: ARG002
        """See `OnDeadLetter`: only notes the topic."""
        with self._lock:
            self._waiting.add(letter.rpartition("[")[0])
        self._wake.set()

    def stop(self) -> None:
        """Index what was written last, and end. Blocks."""
        self._ending.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            ending = self._ending.is_set()
            with self._lock:
                topics, self._waiting = self._waiting, set()
            left = {topic for topic in topics if not self._indexed(topic)}
            if ending:
                self._drop()
                return
            if left:
                with self._lock:
                    self._waiting |= left
                self._wake.set()
            self._ending.wait(FAILED if left else self._period)

    def _indexed(self, topic: str) -> bool:
        from kafkaboot.failure.replay.keeper import Keeper  # not at a start: most applications write no letter

        try:
            if self._keeper is None:
                self._keeper = Keeper(self._clients)
            self._keeper.refresh(topic)
        except KafkabootError as error:
            self._drop()
            if self._told.get(topic) != error.line:  # once, not every time that it is tried again
                self._told[topic] = error.line
                log.warning(
                    "the index of dead letters %s is behind: %s; a list reads the letters themselves meanwhile",
                    topic,
                    error.line,
                )
            return False
        self._told.pop(topic, None)
        return True

    def _drop(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.close()
