"""Brings the index of a topic of letters up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kafkaboot.failure.replay import catalogue, index
from kafkaboot.failure.replay.index import Contents

if TYPE_CHECKING:
    from collections.abc import Callable

    from kafkaboot.client import ClientFactory
    from kafkaboot.failure.replay.catalogue import Catalogue


def refresh(clients: ClientFactory, topic: str, heard: Callable[[int, int], None] | None = None) -> Catalogue:
    """Bring a topic's index up to date, and make it where it is missing; answers what was read and folded for it.

    Raises:
        MissingTopicError: There is no such topic of letters.
        ClientError: The cluster does not answer, or refuses.
    """
    keeper = Keeper(clients)
    try:
        return keeper.refresh(topic, heard)
    finally:
        keeper.close()


class Keeper:
    """Brings indexes up to date again and again, with the same clients, and reads what it has written only once.

    Args:
        clients: Makes its clients.
    """

    def __init__(self, clients: ClientFactory) -> None:
        self._admin, self._reader = clients.admin(), clients.reader()
        self._producer = clients.producer(index.PRODUCER)
        self._before: dict[str, Contents] = {}

    def refresh(self, topic: str, heard: Callable[[int, int], None] | None = None) -> Catalogue:
        """See the function of that name."""
        found = catalogue.look(self._reader, self._admin, topic, self._before.pop(topic, None))
        catalogue.fold(found, self._reader, heard)
        if not found.indexed:
            index.create(self._admin, topic)
        gone = found.contents.gone(found.begins)
        if found.folded or gone:
            index.write(self._producer, topic, found.folded, gone)
        # Kept only now: what could not be written is read and folded again.
        self._before[topic] = Contents(blocks=dict(found.blocks))
        return found

    def close(self) -> None:
        """Drop the connections."""
        self._producer.close(index.TIMEOUT)
        self._reader.close()
        self._admin.close()
