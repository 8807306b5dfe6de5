"""Keeps the index of an application's dead letters, while they are written."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from kafkaboot.errors import KafkabootError
from kafkaboot.failure.replay import catalogue, index

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.client import ClientFactory
    from kafkaboot.failure.replay.catalogue import Catalogue

log = logging.getLogger("kafkaboot.failure")

PERIOD = 1.0
"""Seconds between two looks at a topic to which letters are written."""
FAILED = 30.0
"""Seconds after which indexing is tried again when it failed."""


def refresh(clients: ClientFactory, topic: str, heard: Callable[[int, int], None] | None = None) -> Catalogue:
    """Bring a topic's index up to date, and make it where it is missing; answers what was read and folded for it.

    Raises:
        MissingTopicError: There is no such topic of letters.
        ClientError: The cluster does not answer, or refuses.
    """
    admin, reader = clients.admin(), clients.reader()
    try:
        found = catalogue.load(reader, admin, topic, heard)
        if not found.indexed:
            index.create(admin, topic)
        if found.folded or not found.indexed:
            producer = clients.producer(index.PRODUCER)
            try:
                index.write(producer, topic, found.folded)
            finally:
                producer.close(index.TIMEOUT)
        return found
    finally:
        reader.close()
        admin.close()


class Indexer:
    """Indexes topics of letters on a thread of its own, at most once a second, and only when letters were written.

    What it does not get to is read by whoever lists the letters: it is never in the way of a record.

    Args:
        clients: Makes its clients; none is made before the first letter.
    """

    def __init__(self, clients: ClientFactory) -> None:
        self._clients = clients
        self._waiting: set[str] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._ending = False
        self._thread: threading.Thread | None = None

    def on_dead_letter(self, handler: str, where: str, error: BaseException, letter: str) -> None:  # noqa: ARG002
        """See `OnDeadLetter`: only notes the topic."""
        with self._lock:
            self._waiting.add(letter.rpartition("[")[0])
            if self._thread is None and not self._ending:
                self._thread = threading.Thread(target=self._run, name="kafkaboot-dead-letter-index", daemon=True)
                self._thread.start()
        self._wake.set()

    def stop(self) -> None:
        """Index what was written last, and end. Blocks."""
        with self._lock:
            self._ending, thread = True, self._thread
        self._wake.set()
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        pause = PERIOD
        while True:
            self._wake.wait()
            self._wake.clear()
            began = time.monotonic()
            with self._lock:
                topics, self._waiting = self._waiting, set()
                ending = self._ending
            left = {topic for topic in topics if not self._indexed(topic)}
            if ending:
                return
            pause = FAILED if left else PERIOD
            with self._lock:
                self._waiting |= left
            if left:
                self._wake.set()
            self._rest(began + pause)

    def _rest(self, until: float) -> None:
        while not self._ending and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))

    def _indexed(self, topic: str) -> bool:
        try:
            refresh(self._clients, topic)
        except KafkabootError as error:
            log.warning(
                "the index of dead letters %s is behind: %s; a list reads the letters themselves meanwhile",
                topic,
                error.line,
            )
            return False
        return True
